import type { Failure } from './failure.ts'
import type { GenerationPlan, InstancePlan } from './generation.ts'
import type { NeighbourPlan } from './neighbours.ts'
import type { PluginStateCopy } from './supervisor-worker.ts'

/**
 * Supervisor and trial process, on a channel of their own.
 *
 *   ready → try → trying … (one a step) → tried → rested → try → …
 *
 * From `try` to `rested` the process says every `beatMs` that its event loop turns. It takes one trial at a time.
 */
export type SupervisorToTrial = {
  readonly kind: 'try'
  readonly id: number
  /** Only the instances to be tried and those they depend on; no routes. */
  readonly plan: GenerationPlan
  /** What migrations are tried on. */
  readonly states: readonly PluginStateCopy[]
  /** By id: the config of the live instance that differs in nothing else. Its `updateConfig` is tried. */
  readonly formerConfigs: Readonly<Record<number, InstancePlan['config']>>
  /** All instances of those plugins in the generation, of which the plan is a part. */
  readonly neighbours: readonly NeighbourPlan[]
  readonly deadlines: TrialDeadlines
}

export interface TrialDeadlines {
  /** For each step of an instance's start. */
  readonly startTimeoutMs: number
  /** For the `stop` of a middleware. */
  readonly stopTimeoutMs: number
  /** From one `alive` to the next. */
  readonly beatMs: number
  /** Silence after which the process tells where it stands, if it can. */
  readonly tellStallMs: number
}

/** The pipe on which it tells that, one line of JSON each: its channel belongs to the thread that stands still. */
export const STALL_DESCRIPTOR = 4

export interface StallStack {
  /** Of the trial. */
  readonly id: number
  /** As V8 writes the frames of a stack. */
  readonly frames: string
}

export type TrialToSupervisor =
  /** It takes messages. */
  | { readonly kind: 'ready' }
  /** The step that begins now: whose fault it is when nothing follows. */
  | { readonly kind: 'trying'; readonly id: number; readonly instance: string; readonly step: string }
  | { readonly kind: 'alive'; readonly id: number }
  | { readonly kind: 'tried'; readonly id: number; readonly failure: Failure | null }
  /** The trial is over. `remains` names what plugin code left in the process; nothing: it can have another one. */
  | { readonly kind: 'rested'; readonly id: number; readonly remains: readonly string[] }
  /**
   * Nobody caught an exception or a rejection, and what the process does from now on says nothing. `id` is null between
   * trials; `failure.plugin` is null when it cannot be said that code of this very trial threw it.
   */
  | { readonly kind: 'uncaught'; readonly id: number | null; readonly failure: Failure }
