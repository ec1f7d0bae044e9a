import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SpentTokens, windowMsOf } from '../base/spent-tokens.ts'
import { SimulatedNode } from './test-node.ts'

/**
 * What is admitted, against one ideal bucket that sees every request: whatever the traffic does, whoever dies, however
 * late messages come.
 */

interface Schedule {
  readonly workers: number
  readonly burst: number
  /** Tokens per second. */
  readonly rate: number
  readonly window: 'fixed' | 'sliding' | null
  /** Which part of the traffic each worker has, for `phaseMs` each, in turn. */
  readonly phases: readonly (readonly number[])[]
  readonly phaseMs: number
  /** Messages take one of these, in turn. */
  readonly delaysMs: readonly number[]
  readonly deaths: readonly Death[]
}

/** One after another: who knows of a bucket must not be gone all at once. */
interface Death {
  /** After the one before it is over. */
  readonly atMs: number
  /** 0: the supervisor. */
  readonly who: number
  /** Without it. */
  readonly gapMs: number
}

const DURATION_MS = 8_000
const DEATH_PERIOD_MS = 2_000
const SHARES = [0, 0, 1, 1, 9]

type Shape = Pick<Schedule, 'burst' | 'rate' | 'window'>

const BUCKETS: fc.Arbitrary<Shape> = fc.record({
  burst: fc.integer({ min: 100, max: 1_000 }),
  rate: fc.integer({ min: 10, max: 400 }),
  window: fc.constant(null),
})

const WINDOWS: fc.Arbitrary<Shape> = fc
  .record({
    burst: fc.integer({ min: 100, max: 1_000 }),
    windowMs: fc.integer({ min: 1_000, max: 4_000 }),
    window: fc.constantFrom('fixed' as const, 'sliding' as const),
  })
  .map(({ burst, windowMs, window }) => ({ burst, rate: (burst * 1_000) / windowMs, window }))

const schedule = (
  deaths: 'nobody' | 'supervisor' | 'anybody',
  shapes: fc.Arbitrary<Shape> = BUCKETS,
): fc.Arbitrary<Schedule> =>
  fc.tuple(fc.integer({ min: 1, max: 4 }), shapes).chain(([workers, shape]) =>
    fc.record({
      workers: fc.constant(workers),
      burst: fc.constant(shape.burst),
      rate: fc.constant(shape.rate),
      window: fc.constant(shape.window),
      phases: fc.array(fc.array(fc.constantFrom(...SHARES), { minLength: workers, maxLength: workers }), {
        minLength: 1,
        maxLength: 6,
      }),
      // What was used of a window comes back to where it was used, and is fetched from there every 100 ms at most.
      phaseMs: fc.integer({ min: shape.window === null ? 50 : 400, max: 3_000 }),
      delaysMs: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 7 }),
      deaths: fc.array(
        fc.record({
          atMs: fc.integer({ min: 0, max: 800 }),
          who: deaths === 'supervisor' ? fc.constant(0) : fc.integer({ min: 0, max: workers }),
          gapMs: fc.integer({ min: 50, max: 900 }),
        }),
        deaths === 'nobody' ? { maxLength: 0 } : { minLength: 1, maxLength: 3 },
      ),
    }),
  )

interface Outcome {
  readonly admitted: number
  /** What the ideal bucket would have admitted of the same requests. */
  readonly ideal: number
  /** By how much any window had more than `burst` and what flowed in meanwhile. */
  readonly excess: number
}

/** What an exact limiter that sees every request would have left. */
interface Ideal {
  left(ms: number): number
  use(ms: number): void
}

function idealOf({ burst, rate, window }: Shape, startMs: number): Ideal {
  if (window !== null) {
    const spent = new SpentTokens(window, windowMsOf(rate, burst), startMs)
    let left = burst
    return {
      left: (ms) => (left += spent.recycle(startMs + ms)),
      use(ms) {
        left += spent.recycle(startMs + ms) - 1
        spent.spend(1)
      },
    }
  }
  let level = burst
  let filledAt = 0
  const fill = (ms: number): number => {
    level = Math.min(burst, level + (rate / 1_000) * (ms - filledAt))
    filledAt = ms
    return level
  }
  return {
    left: fill,
    use(ms) {
      level = fill(ms) - 1
    },
  }
}

/** `load`: requests in a millisecond, as a multiple of what flows in. */
function run(schedule: Schedule, load: number): Outcome {
  const { workers, burst, rate, window, phases, phaseMs, delaysMs, deaths } = schedule
  const node = new SimulatedNode({ workers })
  let message = 0
  node.delayMs = () => delaysMs[message++ % delaysMs.length] ?? 0
  const shape = { key: 'k', rate, burst, window }
  const perMs = rate / 1_000
  // Whole windows: in the beginning of one, tokens are not yet where they are wanted.
  const windowMs = window === null ? 1 : windowMsOf(rate, burst)
  node.advance(windowMs - (node.clock.nowMs() % windowMs))
  const durationMs = DURATION_MS - (DURATION_MS % windowMs)
  const ideal = idealOf(schedule, node.clock.nowMs())
  const real = idealOf(schedule, node.clock.nowMs())
  const outcome = { admitted: 0, ideal: 0, excess: 0 }
  const due = new Map<number, number>()
  const servingFrom = new Map<number, number>()
  for (let ms = 0; ms < durationMs; ms += 1) {
    for (const [index, { atMs, who, gapMs }] of deaths.entries()) {
      const from = DEATH_PERIOD_MS * (index + 0.5) + atMs
      if (ms === from) die(node, who)
      if (ms !== from + gapMs) continue
      revive(node, who)
      // A process takes its time to load what it serves.
      servingFrom.set(who, ms + 50)
    }
    const shares = phases[Math.floor(ms / phaseMs) % phases.length] ?? []
    const total = shares.reduce((sum, share) => sum + share, 0)
    for (let worker = 1; worker <= workers; worker += 1) {
      if (!node.hasWorker(worker) || ms < (servingFrom.get(worker) ?? 0)) continue
      const more = total === 0 ? 0 : (load * perMs * (shares[worker - 1] ?? 0)) / total
      const requests = (due.get(worker) ?? 0) + more
      due.set(worker, requests % 1)
      const { quota } = node.services(worker)
      for (let count = Math.floor(requests); count > 0; count -= 1) {
        if (ideal.left(ms) >= 1) {
          ideal.use(ms)
          outcome.ideal += 1
        }
        if (!quota(shape).allowed) continue
        real.use(ms)
        outcome.admitted += 1
        outcome.excess = Math.max(outcome.excess, -real.left(ms))
      }
    }
    node.advance(1)
  }
  return outcome
}

function die(node: SimulatedNode, who: number): void {
  if (who === 0) node.killSupervisor()
  else if (node.hasWorker(who)) node.killWorker(who)
}

function revive(node: SimulatedNode, who: number): void {
  if (who === 0) node.startSupervisor()
  else node.spawnWorker(who)
}

const RUNS = Number(process.env.CARDEA_QUOTA_RUNS ?? 25)
/** `CARDEA_FUZZ_SEED` looks at other schedules than those of every run. */
const SEED = Number(process.env.CARDEA_FUZZ_SEED ?? 20_261_125)

test('quota() admits between 0.95 and 1.05 of the limit, wherever the traffic goes', () => {
  fc.assert(
    fc.property(schedule('nobody'), fc.constantFrom(0.5, 0.9, 1.1, 3, 20), (given, load) => {
      const { admitted, ideal, excess } = run(given, load)
      assert.ok(excess <= 0.05 * given.burst, `${excess} more than the bucket had`)
      // One token may be on its way to each.
      assert.ok(admitted >= 0.95 * ideal - given.workers, `${admitted} of ${ideal}`)
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

test('quota() admits between 0.95 and 1.05 of the limit when the supervisor is killed and started again', () => {
  fc.assert(
    fc.property(schedule('supervisor'), fc.constantFrom(3, 20), (given, load) => {
      // Without a supervisor a worker has what it holds and its part of what flows in. The rest is kept, up to the burst,
      // and given out afterwards: nothing is lost of a bucket that is empty before and asked for all the time.
      fc.pre(given.rate <= given.burst && (load - 1) * given.rate >= given.burst)
      fc.pre(given.phases.every((shares) => shares.some((share) => share > 0)))
      const { admitted, ideal, excess } = run(given, load)
      assert.ok(excess <= 0.05 * given.burst, `${excess} more than the bucket had`)
      assert.ok(admitted >= 0.95 * ideal - given.workers, `${admitted} of ${ideal}`)
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

test('quota() never admits more than 1.05 of the limit, whoever dies', () => {
  fc.assert(
    fc.property(schedule('anybody'), fc.constantFrom(0.5, 3, 20), (given, load) => {
      const { excess } = run(given, load)
      assert.ok(excess <= 0.05 * given.burst, `${excess} more than the bucket had`)
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

test('quota() admits between 0.95 and 1.05 of the limit of a window, wherever the traffic goes', () => {
  fc.assert(
    fc.property(schedule('nobody', WINDOWS), fc.constantFrom(0.5, 0.9, 3, 20), (given, load) => {
      const { admitted, ideal, excess } = run(given, load)
      assert.ok(excess <= 0.05 * given.burst, `${excess} more than the window had`)
      // Where about as much is asked for as there is, what comes back to another worker is fetched too late for some.
      const least = load > 2 ? 0.95 : 0.9
      assert.ok(admitted >= least * ideal - given.workers, `${admitted} of ${ideal}`)
    }),
    { numRuns: RUNS, seed: SEED },
  )
})

test('quota() never admits more than 1.05 of the limit of a window, whoever dies', () => {
  fc.assert(
    fc.property(schedule('anybody', WINDOWS), fc.constantFrom(0.5, 3, 20), (given, load) => {
      const { excess } = run(given, load)
      assert.ok(excess <= 0.05 * given.burst, `${excess} more than the window had`)
    }),
    { numRuns: RUNS, seed: SEED },
  )
})
