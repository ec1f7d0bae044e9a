import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StallWatch } from './stall-watch.ts'

const LIMITS = { stallMs: 1_000, waitingFactor: 3, pollMs: 50 }

/** Polls every `pollMs` until it is stalled, and says when that was; null when it is not within a minute. */
function stalledAfterMs(cpuMs: (now: number) => number | null, beatMs = Number.POSITIVE_INFINITY) {
  const watch = new StallWatch(LIMITS, 0)
  for (let now = LIMITS.pollMs; now < 60_000; now += LIMITS.pollMs) {
    if (now % beatMs === 0) watch.beat()
    if (watch.isStalled(now, cpuMs(now))) return now
  }
  return null
}

const busy = (now: number): number => now

test('StallWatch finds a thread that is silent and busy after stallMs, and any where nothing is known', () => {
  assert.equal(stalledAfterMs(busy), 1_000)
  assert.equal(
    stalledAfterMs(() => null),
    1_000,
  )
})

test('StallWatch lets a thread be that gives signs of life', () => {
  assert.equal(stalledAfterMs(busy, 500), null)
  assert.equal(
    stalledAfterMs(() => null, 500),
    null,
  )
})

test('StallWatch waits for a thread that hardly computes, but not for ever', () => {
  assert.equal(
    stalledAfterMs(() => 17),
    3_000,
  )
  const halfACore = stalledAfterMs((now) => now / 2) ?? 0
  assert.ok(halfACore >= 1_500 && halfACore <= 1_600, `${halfACore}`)
})

test('StallWatch does not count the CPU time before the last sign of life', () => {
  const watch = new StallWatch(LIMITS, 0)
  watch.isStalled(50, 900)
  watch.beat()
  for (let now = 100; now <= 2_000; now += 50) assert.equal(watch.isStalled(now, 900), false)
})

test('StallWatch counts a poll that comes late as two at most: its own process stood still', () => {
  const watch = new StallWatch(LIMITS, 0)
  assert.equal(watch.isStalled(30_000, 30_000), false)
  watch.beat()
  assert.equal(watch.isStalled(60_000, 60_000), false)
})
