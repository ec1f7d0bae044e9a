import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StallWatch } from './stall-watch.ts'

const LIMITS = { stallMs: 1_000, waitingFactor: 3, pollMs: 50 }

/** Polls every `pollMs` until it is stalled, and says when that was, by which limit; null when it is not within a minute. */
function stalledAfterMs(cpuMs: (now: number) => number | null, beatMs = Number.POSITIVE_INFINITY) {
  return stallOf(cpuMs, beatMs)?.now ?? null
}

function stallOf(cpuMs: (now: number) => number | null, beatMs = Number.POSITIVE_INFINITY) {
  const watch = new StallWatch(LIMITS, 0)
  for (let now = LIMITS.pollMs; now < 60_000; now += LIMITS.pollMs) {
    if (now % beatMs === 0) watch.beat()
    const limitMs = watch.exceededMs(now, cpuMs(now))
    if (limitMs !== null) return { now, limitMs }
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

test('StallWatch says which silence was granted', () => {
  assert.equal(stallOf(busy)?.limitMs, 1_000)
  assert.equal(stallOf((now) => now / 2)?.limitMs, 1_000)
  assert.equal(stallOf(() => null)?.limitMs, 1_000)
  assert.equal(stallOf(() => 17)?.limitMs, 3_000)
})

test('StallWatch does not count the CPU time before the last sign of life', () => {
  const watch = new StallWatch(LIMITS, 0)
  watch.exceededMs(50, 900)
  watch.beat()
  for (let now = 100; now <= 2_000; now += 50) assert.equal(watch.exceededMs(now, 900), null)
})

test('StallWatch counts a poll that comes late as two at most: its own process stood still', () => {
  const watch = new StallWatch(LIMITS, 0)
  assert.equal(watch.exceededMs(30_000, 30_000), null)
  watch.beat()
  assert.equal(watch.exceededMs(60_000, 60_000), null)
})
