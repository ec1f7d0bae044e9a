import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSchedStat, waitedMostly } from './thread-load.ts'

test('parseSchedStat() reads nanoseconds on a core and on the run queue', () => {
  assert.deepEqual(parseSchedStat('120000000 3500000 42\n'), { cpuMs: 120, waitMs: 3.5 })
  for (const text of ['', '1 2', '1 2 three', '-1 2 3', '0 0 0\n'])
    assert.equal(parseSchedStat(text), null, text)
})

test('waitedMostly() tells a thread that has no core from one that sleeps or runs', () => {
  const before = { cpuMs: 1_000, waitMs: 50 }
  assert.equal(waitedMostly(before, { cpuMs: 1_010, waitMs: 430 }, 400), true)
  // Asleep, then at work.
  assert.equal(waitedMostly(before, { cpuMs: 1_000, waitMs: 50 }, 400), false)
  assert.equal(waitedMostly(before, { cpuMs: 1_390, waitMs: 60 }, 400), false)
  assert.equal(waitedMostly(null, before, 400), false)
  assert.equal(waitedMostly(before, null, 400), false)
})
