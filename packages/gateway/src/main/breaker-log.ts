import type { Log } from '@cardea/sdk'
import type { FaultEvent } from '../protocol/faults.ts'

/**
 * Writes what a breaker does. Its worker does it, not the supervisor, which may be gone: what clients get from then on has no
 * line of its own.
 */
export function logBreaker(event: FaultEvent, log: Log): void {
  if (event.kind !== 'breaker') return
  const { instance, plugin, state, calls, faults } = event
  const fields = { plugin, code: 'PLUGIN_BREAKER_OPEN' }
  if (state === 'open') {
    const many = `${faults} of ${calls} ${calls === 1 ? 'call' : 'calls'}`
    const message = `The breaker of "${instance}" is open: ${many} timed out. Its on_failure decides until a probe ends in time`
    log.error(message, fields)
  } else if (state === 'half-open')
    log.info(`The breaker of "${instance}" is half-open: a probe is let through`, { plugin })
  else log.info(`The breaker of "${instance}" is closed: a probe ended in time`, { plugin })
}
