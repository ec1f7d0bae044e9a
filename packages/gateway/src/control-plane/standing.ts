import type { Log } from '@cardea/sdk'
import { heldText } from '../protocol/control.ts'
import { HARMS } from '../protocol/faults.ts'
import type { Candidate } from './gather.ts'
import { pinStatus } from './store/pins.ts'
import type { StoredGeneration } from './store/types.ts'

/**
 * Writes what was decided before a gateway was started and still holds, so that it does something else than its files say: what is
 * held back, switched off, or quarantined. Nothing else in the log of this run tells of it.
 */
export function logStanding(
  { overlay, lifecycle }: Candidate,
  live: StoredGeneration | null,
  log: Log,
): void {
  for (const pin of overlay.pins) {
    const { unit, runs, since, who } = pinStatus(pin, live)
    const what = unit === 'config' ? 'The config' : `Plugin "${unit}"`
    const wayOut = `"cardea release ${unit}" or a change of its files ends that`
    log.warn(`${what} ${heldText(runs)}: ${wayOut}`, {
      since: new Date(since).toISOString(),
      who,
    })
  }
  for (const { name, state } of lifecycle.plugins) {
    if (state.kind === 'disabled' && state.by === 'command') {
      log.warn(`Plugin "${name}" is switched off by command: "cardea plugin enable ${name}" ends that`, {
        plugin: name,
      })
    }
    if (state.kind !== 'quarantined') continue
    for (const { name: instance, harm } of state.instances) {
      const why = harm === null ? 'it harmed a worker' : `it ${HARMS[harm]}`
      const wayOut = `Mend and save it, or run "cardea plugin reload ${name}"`
      log.warn(`"${instance}" is quarantined: ${why}. Its on_failure decides for every request. ${wayOut}`, {
        plugin: name,
      })
    }
  }
}
