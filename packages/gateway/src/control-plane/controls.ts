import type { PluginControls } from './store/types.ts'

/** Nobody has switched, reloaded or quarantined anything. */
export const NO_CONTROLS: PluginControls = { disabled: [], incarnations: {}, quarantined: [] }
