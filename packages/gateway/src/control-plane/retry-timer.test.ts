import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RetryTimer } from './retry-timer.ts'

test('RetryTimer waits twice as long each time, up to its bound, and from the first again after a reset', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const timer = new RetryTimer({ firstMs: 100, maxMs: 300 })
  let runs = 0
  const waits = [100, 200, 300, 300]
  for (const ms of waits) {
    assert.equal(timer.nextMs, ms)
    timer.start(() => runs++)
    t.mock.timers.tick(ms - 1)
    const before = runs
    t.mock.timers.tick(1)
    assert.deepEqual([before, runs], [before, before + 1])
  }
  timer.reset()
  assert.equal(timer.nextMs, 100)
})

test('RetryTimer runs only what was started last, and nothing that was cancelled or after its close', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const timer = new RetryTimer({ firstMs: 100, maxMs: 100 })
  const ran: string[] = []
  timer.start(() => ran.push('first'))
  timer.start(() => ran.push('second'))
  t.mock.timers.tick(100)
  timer.start(() => ran.push('cancelled'))
  timer.cancel()
  t.mock.timers.tick(100)
  timer.start(() => ran.push('closed'))
  timer.close()
  timer.start(() => ran.push('late'))
  t.mock.timers.tick(100)
  assert.deepEqual(ran, ['second'])
})
