import type { Failure } from './failure.ts'
import type { GenerationPlan } from './generation.ts'
import type { PluginStateCopy } from './supervisor-worker.ts'

/** Supervisor and trial process, on a channel of their own. */
export type SupervisorToTrial = {
  readonly kind: 'try'
  readonly id: number
  /** Only the instances to be tried and those they depend on; no routes. */
  readonly plan: GenerationPlan
  /** What migrations are tried on. */
  readonly states: readonly PluginStateCopy[]
}

export type TrialToSupervisor =
  /** It takes messages. */
  | { readonly kind: 'ready' }
  /** The step that begins now: whose fault it is when nothing follows. */
  | { readonly kind: 'trying'; readonly id: number; readonly instance: string; readonly step: string }
  | { readonly kind: 'tried'; readonly id: number; readonly failure: Failure | null }
