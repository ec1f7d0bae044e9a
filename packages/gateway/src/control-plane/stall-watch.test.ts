import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ThreadLoad } from './process-meter.ts'
import { StallWatch } from './stall-watch.ts'

const LIMITS = { stallMs: 1_000, starvedFactor: 5, pollMs: 50 }

/** Polls every `pollMs` until it is stalled, and says when that was; null when it is not within a minute. */
function stalledAfterMs(watch: StallWatch, load: (now: number) => ThreadLoad | null, beatMs = Infinity) {
  for (let now = LIMITS.pollMs; now < 60_000; now += LIMITS.pollMs) {
    if (now % beatMs === 0) watch.beat()
    if (watch.isStalled(now, load(now))) return now
  }
  return null
}

const busy = (now: number): ThreadLoad => ({ cpuMs: now, isRunnable: true })

test('StallWatch finds a thread that is silent and busy, and one that waits, after stallMs', () => {
  assert.equal(stalledAfterMs(new StallWatch(LIMITS, 0), busy), 1_000)
  const waiting = (): ThreadLoad => ({ cpuMs: 17, isRunnable: false })
  assert.equal(stalledAfterMs(new StallWatch(LIMITS, 0), waiting), 1_000)
  assert.equal(
    stalledAfterMs(new StallWatch(LIMITS, 0), () => null),
    1_000,
  )
})

test('StallWatch lets a thread be that gives signs of life', () => {
  assert.equal(stalledAfterMs(new StallWatch(LIMITS, 0), busy, 500), null)
})

test('StallWatch waits for a thread that gets no core, but not for ever', () => {
  const starved = (now: number): ThreadLoad => ({ cpuMs: now / 10, isRunnable: true })
  assert.equal(stalledAfterMs(new StallWatch(LIMITS, 0), starved), 5_000)
  const half = (now: number): ThreadLoad => ({ cpuMs: now / 3, isRunnable: true })
  const found = stalledAfterMs(new StallWatch(LIMITS, 0), half) ?? 0
  assert.ok(found >= 1_500 && found <= 1_700, `${found}`)
})

test('StallWatch does not count the CPU time before the last sign of life', () => {
  const watch = new StallWatch(LIMITS, 0)
  watch.isStalled(50, { cpuMs: 900, isRunnable: true })
  watch.beat()
  const load: ThreadLoad = { cpuMs: 900, isRunnable: true }
  for (let now = 100; now <= 2_000; now += 50) assert.equal(watch.isStalled(now, load), false)
})

test('StallWatch counts a poll that comes late as two at most: its own process stood still', () => {
  const watch = new StallWatch(LIMITS, 0)
  assert.equal(watch.isStalled(30_000, busy(30_000)), false)
  watch.beat()
  assert.equal(watch.isStalled(60_000, busy(60_000)), false)
})
