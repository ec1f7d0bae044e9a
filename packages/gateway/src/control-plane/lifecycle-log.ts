import type { Log } from '@cardea/sdk'
import type { GatewayError } from '../base/errors.ts'
import type { PluginStatus } from '../protocol/plugin-state.ts'

/** Writes one step of a plugin, for debugging: what failed stands in the report of its change too. */
export function logStep(log: Log, { folder, name, version, state }: PluginStatus): void {
  const fields = { plugin: name, version, folder }
  if (state.kind !== 'failed') {
    const generation = 'generation' in state ? { generation: state.generation } : {}
    log.debug(`Plugin "${name}" is ${state.kind}`, { ...fields, state: state.kind, ...generation })
    return
  }
  const { stage, faults } = state
  const [first] = faults
  log.debug(`Plugin "${name}" failed at stage ${stage}`, {
    ...fields,
    state: state.kind,
    stage,
    code: first?.code,
    file: first?.file,
    line: first?.line,
    faults: faults.length,
  })
}

/** What went wrong in our books of a generation that is decided, and so is no failure of its change. */
export function logMistake(log: Log, mistake: GatewayError): void {
  const why =
    'An invariant of the gateway did not hold, which changes nothing of what serves; please report it'
  log.error(`${why}: ${mistake.message}`, { code: mistake.code })
}
