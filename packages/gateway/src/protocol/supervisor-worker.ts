import type { Failure } from './failure.ts'
import type { FaultEvent } from './faults.ts'
import type { NodeAnswer, NodeRequest } from './node-services.ts'
import type { PackedPlan } from './packed-plan.ts'
import type { ExchangeTrace } from './trace.ts'

/**
 * Supervisor and worker; the master carries these. A change reaches every worker in two steps: `stage` makes all that
 * may fail (instances), `commit` is one pointer swap. Every request is answered once, with its `id`.
 */
export type SupervisorToWorker =
  | { readonly kind: 'stage'; readonly id: number; readonly plan: PackedPlan }
  /**
   * Only for the generation staged last. Answers `committed`, also when it is committed already; `stage-failed` where an
   * instance that was started for it has done harm since it was staged, such as to block the event loop.
   */
  | { readonly kind: 'commit'; readonly id: number; readonly generation: number }
  /** Not a request: the staged generation will not be committed. Nothing happens when another one is staged. */
  | { readonly kind: 'discard'; readonly generation: number }
  | { readonly kind: 'census'; readonly id: number }
  /** The live state of the plugins named, for the dry run of a migration. */
  | { readonly kind: 'states'; readonly id: number; readonly plugins: readonly string[] }
  /** Not a request: no hook of the instances with this key is called from now on. A generation that says so follows. */
  | { readonly kind: 'quarantine'; readonly key: string }
  /** Not a request: whether every exchange is reported as a `trace`. */
  | { readonly kind: 'tracing'; readonly on: boolean }
  | { readonly kind: 'node'; readonly answer: NodeAnswer }

export type WorkerToSupervisor =
  | { readonly kind: 'staged'; readonly id: number }
  /** It has not all that the plan only names. Nothing is staged, and the whole plan is asked for. */
  | { readonly kind: 'bundles-missing'; readonly id: number }
  | { readonly kind: 'stage-failed'; readonly id: number; readonly failure: Failure }
  | {
      readonly kind: 'committed'
      readonly id: number
      /**
       * When it swapped, milliseconds with fractions by the clock that all processes of the machine share and nobody sets; the
       * skew between workers is made of it.
       */
      readonly at: number
    }
  | { readonly kind: 'census'; readonly id: number; readonly census: WorkerCensus }
  | { readonly kind: 'states'; readonly id: number; readonly states: readonly PluginStateCopy[] }
  /** Not an answer: the last exchange of that generation has ended here, and what only it used is stopped. */
  | { readonly kind: 'retired'; readonly generation: number }
  | { readonly kind: 'fault'; readonly event: FaultEvent }
  | { readonly kind: 'trace'; readonly trace: ExchangeTrace }
  /** So many traces were left out: they came faster than they were read on their way. */
  | { readonly kind: 'skipped'; readonly traces: number }
  | { readonly kind: 'node'; readonly request: NodeRequest }

/** What a worker holds, oldest generation first. */
export interface WorkerCensus {
  readonly pid: number
  /** Resident memory. */
  readonly rssBytes: number
  readonly heapBytes: number
  readonly connections: number
  readonly exchanges: number
  readonly requestsTotal: number
  readonly generations: readonly GenerationCensus[]
}

export interface GenerationCensus {
  readonly number: number
  /** Exchanges that still run on it, tunnels and streams included. */
  readonly exchanges: number
  /** Of the oldest of them, for people: `GET /events (route sse)`. At most 5. */
  readonly oldest: readonly string[]
}

/** One `host.state` as it is now, if it can be cloned and is not too large. */
export interface PluginStateCopy {
  readonly plugin: string
  readonly name: string
  readonly version: number
  readonly value: unknown
}
