import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process, told from a later one that got the same number. */
export interface ProcessIdentity {
  readonly pid: number
  /** From /proc, in clock ticks since boot; null where there is no /proc. */
  readonly startTime: string | null
}

export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) }
}

/**
 * Kills those processes that are still there after the grace: a worker whose event loop is blocked never notices that
 * the master is gone, and would hold the port for ever.
 */
export async function endOrphans(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const endsAt = performance.now() + graceMs
  const alive = (): ProcessIdentity[] => processes.filter(isStillThere)
  while (alive().length > 0 && performance.now() < endsAt) await sleep(20)
  for (const { pid } of alive()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in this very moment.
    }
  }
}

function isStillThere({ pid, startTime }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return startTime === null || startTimeOf(pid) === startTime
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); null for a zombie too: it has ended. */
function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the name in parentheses and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}
