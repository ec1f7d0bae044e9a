import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeClock } from '../../base/node-clock.ts'
import type { QuotaGrant, QuotaLease } from './quota-lease.ts'
import { QuotaWaiting } from './quota-waiting.ts'

const CLOCK: NodeClock = { nowMs: () => 0, after: () => () => {}, atTurnEnd() {} }

/** Nothing for this worker so far. */
const grant = (left: number) => ({ tokens: 0, left, isWaiting: true }) as QuotaGrant

test('QuotaWaiting takes fractions that add up to a token for one that is elsewhere', async () => {
  const waiting = new QuotaWaiting(CLOCK)
  const lease = {} as QuotaLease
  let isOver = false
  void waiting.join(lease, 1, 1)?.then(() => {
    isOver = true
  })
  assert.equal(waiting.say(lease), true)
  waiting.answered(lease, grant(1 - 2 ** -50))
  await new Promise(setImmediate)
  assert.equal(isOver, false)
  waiting.answered(lease, grant(0.9))
  await new Promise(setImmediate)
  assert.equal(isOver, true)
})
