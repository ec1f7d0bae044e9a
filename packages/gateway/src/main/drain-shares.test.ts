import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROCESS_LIMITS, SINK_LIMITS } from '../config/limits.ts'
import type { DrainBounds } from '../protocol/drain-bounds.ts'
import { drainShares, replacedShares } from './drain-shares.ts'

const spent = ({ deadlineMs, closingMs, flushMs }: DrainBounds): number =>
  deadlineMs + 2 * closingMs + flushMs

/** From here on all that follows on the exchanges has its full time. */
const LONG_MS = 5 * PROCESS_LIMITS.drainReserveMs

test('drainShares() gives nothing more time than there is, whatever the deadline', () => {
  const edges = [0, 1, 7, 100, 499, 500, 501, 2_499, 2_500, 2_501, LONG_MS - 1, LONG_MS, LONG_MS + 1, 30_000]
  for (const drainMs of [...edges, 24 * 24 * 3_600_000]) {
    const shares = drainShares(drainMs)
    const { deadlineMs, closingMs, flushMs, idleGraceMs } = shares
    for (const ms of [deadlineMs, closingMs, flushMs, idleGraceMs]) assert.ok(ms >= 0, `${ms} of ${drainMs}`)
    assert.ok(spent(shares) <= drainMs + 1e-9, `${spent(shares)} of ${drainMs}`)
    assert.ok(deadlineMs >= 0.8 * drainMs - 1e-9, 'exchanges come first')
    assert.ok(flushMs <= drainMs / 10 + 1e-9 && flushMs <= SINK_LIMITS.endFlushMs, `${flushMs} of ${drainMs}`)
  }
})

test('drainShares() gives the last lines half a second of a long deadline, and a tenth of a short one', () => {
  const flushes = [30_000, LONG_MS, 2_500, 1_000, 10].map((drainMs) => drainShares(drainMs).flushMs)
  assert.deepEqual(flushes, [500, 500, 250, 100, 1])
})

test('replacedShares() are over before the worker is killed', () => {
  assert.ok(spent(replacedShares()) <= PROCESS_LIMITS.replaceDrainMs + PROCESS_LIMITS.drainReserveMs)
})
