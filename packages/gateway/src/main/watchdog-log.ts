import type { Log } from '@cardea/sdk'
import type { WatchdogReport } from '../protocol/watchdog.ts'

/** Writes what the watchdog thread of a worker says. `blamed`: the name of the instance whose hook was running. */
export function logWatchdog(report: WatchdogReport, worker: number, blamed: string | null, log: Log): void {
  if (report.kind === 'standing') {
    const { stalledMs, frames } = report.stall
    const where = frames.map(
      ({ functionName, path, line, column }) => `${functionName} (${path}:${line}:${column})`,
    )
    log.warn(`The event loop of worker ${worker} stands still, and no plugin is to blame`, {
      stalledMs,
      where,
    })
    return
  }
  const { stalledMs, reason } = report
  log.error(`Worker ${worker} is ended by its watchdog: ${reason}`, { stalledMs, plugin: blamed })
}
