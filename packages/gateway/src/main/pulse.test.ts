import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Pulse } from './pulse.ts'

const LIMITS = { periodMs: 1_000, missedMax: 3 }

function start(t: TestContext): { pulse: Pulse; said: (string | number)[]; pass(periods: number): void } {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const said: (string | number)[] = []
  const pulse = new Pulse({
    limits: LIMITS,
    ask: () => void said.push('ask'),
    onSilence: (silentMs) => void said.push(silentMs),
  })
  pulse.start()
  const pass = (periods: number): void => {
    for (let period = 0; period < periods; period++) t.mock.timers.tick(LIMITS.periodMs)
  }
  return { pulse, said, pass }
}

test('a process that never answers is told of once, after the last question had its time', (t) => {
  const { said, pass } = start(t)
  pass(3)
  assert.deepEqual(said, ['ask', 'ask', 'ask'])
  pass(1)
  assert.deepEqual(said.slice(3), [3_000])
  pass(10)
  assert.equal(said.length, 4)
})

test('one answer makes up for all that it missed', (t) => {
  const { pulse, said, pass } = start(t)
  for (let round = 0; round < 5; round++) {
    pass(3)
    pulse.heard()
  }
  assert.deepEqual(new Set(said), new Set(['ask']))
})

test('a successor is not held to what its predecessor missed, and nobody is asked after stop()', (t) => {
  const { pulse, said, pass } = start(t)
  pass(3)
  pulse.start()
  pass(3)
  assert.deepEqual(new Set(said), new Set(['ask']))
  pulse.stop()
  pass(10)
  assert.equal(said.length, 6)
})
