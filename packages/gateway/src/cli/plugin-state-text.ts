import { HARMS } from '../protocol/faults.ts'
import type { PluginState, Quarantined } from '../protocol/plugin-state.ts'

const DISABLED_BY = {
  'plugin.json': 'disabled in plugin.json',
  config: 'disabled in the config',
  command: 'disabled by "cardea plugin disable"',
} as const satisfies Record<Extract<PluginState, { kind: 'disabled' }>['by'], string>

/** How far a plugin has come, in a cell of a table: of its problems the first, since all of them stand elsewhere. */
export function pluginStateText(plugin: string, state: PluginState, isIdle = false): string {
  switch (state.kind) {
    case 'failed': {
      const more = state.faults.length - 1
      const rest = more === 0 ? '' : ` (and ${more} more ${more === 1 ? 'problem' : 'problems'})`
      return `failed at ${state.stage}: ${state.faults[0]?.message}${rest}`
    }
    case 'quarantined':
      return `quarantined: ${state.instances.map(harmText).join(', ')}; mend and save it, or "cardea plugin reload ${plugin}"`
    case 'disabled':
      return DISABLED_BY[state.by]
    default:
      return isIdle ? `${state.kind}, on no route` : state.kind
  }
}

function harmText({ name, harm }: Quarantined): string {
  return harm === null ? `"${name}" harmed a worker` : `"${name}" ${HARMS[harm]}`
}
