import { setTimeout as sleep } from 'node:timers/promises'
import { isRunning, type ProcessIdentity } from '../base/process-identity.ts'

/**
 * Kills those processes that are still there after the grace: a worker whose event loop is blocked never notices that
 * the master is gone, and would hold the port for ever.
 */
export async function endOrphans(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const endsAt = performance.now() + graceMs
  const alive = (): ProcessIdentity[] => processes.filter(isRunning)
  while (alive().length > 0 && performance.now() < endsAt) await sleep(20)
  for (const { pid } of alive()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in this very moment.
    }
  }
}
