import { readFileSync } from 'node:fs'

/** What Linux tells of another process; null where there is no /proc, or the process has ended. */

/** The unit of times in /proc, 1/100 s on every architecture (USER_HZ). */
const TICK_MS = 10

/** Resident memory. From `status` and not `statm`, which counts in pages of a size that Node cannot ask for. */
export function residentBytes(pid: number): number | null {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return kibibytes === undefined ? null : Number(kibibytes) * 1_024
}

/** CPU time, user and system, of the main thread: the one with the event loop. */
export function mainThreadCpuMs(pid: number): number | null {
  const stat = read(`/proc/${pid}/task/${pid}/stat`)
  if (stat === null) return null
  // The second field is the name in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return Number.isFinite(ticks) ? ticks * TICK_MS : null
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
