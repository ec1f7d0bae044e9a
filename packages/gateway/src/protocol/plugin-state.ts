import type { ErrorCode } from '../base/errors.ts'
import type { HarmKind } from './faults.ts'

/**
 * Where a plugin stands on its way into a generation and out of it. docs/reference/plugin-states.md is the same for
 * users; control-plane/lifecycle.ts holds which state may follow which.
 */
export type PluginState =
  /** Its folder was found; nothing in it has been read. */
  | { readonly kind: 'discovered' }
  /** Its plugin.json is valid, its name its own, and its entry file there. */
  | { readonly kind: 'verified' }
  /** Its code is one bundle. */
  | { readonly kind: 'built' }
  /** Every config that it is given holds. */
  | { readonly kind: 'validated' }
  /** A trial process has run it. A change tries only what is new in it. */
  | { readonly kind: 'tried' }
  /** Every worker serves the generation that runs it. */
  | { readonly kind: 'active'; readonly generation: number }
  /** The same, but hooks of these instances are not called. Never none. */
  | { readonly kind: 'quarantined'; readonly generation: number; readonly instances: readonly Quarantined[] }
  /** New exchanges do not get it any more; those that began with it may. */
  | { readonly kind: 'draining'; readonly generation: number }
  /** No worker runs it any more. */
  | { readonly kind: 'stopped'; readonly generation: number }
  /** `faults` is never empty. */
  | { readonly kind: 'failed'; readonly stage: PluginStage; readonly faults: readonly PluginFault[] }
  /** Somebody does not want it to run. */
  | { readonly kind: 'disabled'; readonly by: 'plugin.json' | 'config' | 'command' }

export interface Quarantined {
  /** The instance's name. */
  readonly name: string
  /** What it did; null when nobody knows any more. */
  readonly harm: HarmKind | null
}

/** What can fail of a plugin's way. `start` is the part that runs its code, in the workers. */
export type PluginStage = 'discover' | 'verify' | 'build' | 'validate' | 'start'

/** One reason of a failure. A place that is not known better is the first line of the file. */
export interface PluginFault {
  readonly code: ErrorCode
  /** A sentence. */
  readonly message: string
  /** Absolute. */
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface PluginStatus {
  /** Absolute; what identifies the plugin before its name is known. */
  readonly folder: string
  /** The folder's own name until plugin.json has been read. */
  readonly name: string
  /** Null until plugin.json has been read. */
  readonly version: string | null
  readonly state: PluginState
}
