import { readFileSync } from 'node:fs'

/** What the kernel has counted for a thread so far. */
export interface ThreadLoad {
  readonly cpuMs: number
  /** It could have run, and had no core. */
  readonly waitMs: number
}

/** Of the main thread; null where the kernel does not tell. */
export function mainThreadLoad(): ThreadLoad | null {
  try {
    return parseSchedStat(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1'))
  } catch {
    return null
  }
}

/** Nanoseconds on a core, nanoseconds on the run queue, time slices. All 0 where the kernel was told not to count. */
export function parseSchedStat(text: string): ThreadLoad | null {
  const [, cpuNs, waitNs] = /^(\d+) (\d+) \d+\s*$/.exec(text) ?? []
  const load = { cpuMs: Number(cpuNs) / 1e6, waitMs: Number(waitNs) / 1e6 }
  return load.cpuMs > 0 ? load : null
}

/** Whether it waited for a core for most of the time between two readings: neither asleep nor at work then. */
export function waitedMostly(
  before: ThreadLoad | null,
  after: ThreadLoad | null,
  elapsedMs: number,
): boolean {
  return before !== null && after !== null && after.waitMs - before.waitMs > elapsedMs / 2
}
