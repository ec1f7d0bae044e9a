import { setTimeout as delay } from 'node:timers/promises'
import { ask } from './clients.ts'

const ROUNDS = 3
const BETWEEN_ROUNDS_MS = 100
const ASKED_AT_ONCE = 8
const TRIES_MAX = 100
/** V8 makes its last machine code of a function after 3,000 calls. */
const WARM_UP_ANSWERS = 3_500

/** What one worker holds after garbage was collected. */
export interface MemoryReading {
  readonly pid: number
  readonly heapBytes: number
  readonly rssBytes: number
  readonly externalBytes: number
  /** Exchanges whose hooks came from two generations. */
  readonly mixed: number
}

/** The least of several readings of each worker: what is on its way out is nothing that stays. */
export async function readMemory(port: number, pids: readonly number[]): Promise<MemoryReading[]> {
  const least = new Map<number, MemoryReading>()
  for (let round = 0; round < ROUNDS; round++) {
    for (const reading of await readOnce(port, pids)) {
      const known = least.get(reading.pid)
      least.set(reading.pid, known === undefined ? reading : leastOf(known, reading))
    }
    await delay(BETWEEN_ROUNDS_MS)
  }
  return pids.flatMap((pid) => least.get(pid) ?? [])
}

/**
 * Has every worker answer the probe so often that V8 has compiled what answers it, without collecting garbage. Else that
 * happens while memory is read, and counts: *measured* in heap snapshots after 700 and 1,200 swaps with 100 readings in
 * between, 12 of the 25 functions with new machine code were of the answers to the probe and of nothing else.
 */
export async function warmUpProbe(port: number, pids: readonly number[]): Promise<void> {
  const answers = new Map<number, number>(pids.map((pid) => [pid, 0]))
  while ([...answers.values()].some((count) => count < WARM_UP_ANSWERS)) {
    for (const { pid } of await askProbes(port, '/probe/as-it-is')) {
      answers.set(pid, (answers.get(pid) ?? 0) + 1)
    }
  }
}

/** Asks over new connections until every worker has had one. */
async function readOnce(port: number, pids: readonly number[]): Promise<MemoryReading[]> {
  const found = new Map<number, MemoryReading>()
  for (let tries = 0; pids.some((pid) => !found.has(pid)); tries++) {
    if (tries === TRIES_MAX) throw new Error(`Only the workers ${[...found.keys()]} of ${pids} answer`)
    for (const reading of await askProbes(port, '/probe')) found.set(reading.pid, reading)
  }
  return [...found.values()]
}

async function askProbes(port: number, path: string): Promise<MemoryReading[]> {
  const asked = Array.from({ length: ASKED_AT_ONCE }, () => ask(port, { path, agent: false }))
  return (await Promise.all(asked)).map(({ status, body }) => {
    if (status !== 200) throw new Error(`The probe is answered ${status}: ${body}`)
    const reading = JSON.parse(body) as MemoryReading & { readonly isCollected: boolean }
    if (!reading.isCollected) throw new Error('Workers do not run with --expose-gc')
    return reading
  })
}

function leastOf(one: MemoryReading, other: MemoryReading): MemoryReading {
  return {
    pid: one.pid,
    heapBytes: Math.min(one.heapBytes, other.heapBytes),
    rssBytes: Math.min(one.rssBytes, other.rssBytes),
    externalBytes: Math.min(one.externalBytes, other.externalBytes),
    mixed: Math.max(one.mixed, other.mixed),
  }
}

/**
 * Bytes a swap: the median of the slopes between all readings of a worker from `fromSwaps` on (Theil and Sen), so that
 * no single reading decides; the worst worker counts. Null with fewer than three readings.
 */
export function growth(
  memory: readonly { readonly swaps: number; readonly workers: readonly MemoryReading[] }[],
  of: 'heapBytes' | 'rssBytes',
  fromSwaps: number,
): number | null {
  const late = memory.filter(({ swaps }) => swaps >= fromSwaps)
  const pids = late[0]?.workers.map(({ pid }) => pid) ?? []
  if (late.length < 3) return null
  return Math.max(
    ...pids.map((pid) => {
      const points = late.flatMap(({ swaps, workers }) => {
        const reading = workers.find((worker) => worker.pid === pid)
        return reading === undefined ? [] : [{ x: swaps, y: reading[of] }]
      })
      const slopes = points.flatMap((from, index) =>
        points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x)),
      )
      slopes.sort((a, b) => a - b)
      return slopes[slopes.length >> 1] ?? 0
    }),
  )
}
