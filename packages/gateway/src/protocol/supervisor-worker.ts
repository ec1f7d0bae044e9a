import type { Failure } from './failure.ts'
import type { GenerationPlan } from './generation.ts'

/**
 * Supervisor and worker; the master carries these. A change reaches every worker in two steps: `stage` makes all that
 * may fail (instances), `commit` is one pointer swap. Every request is answered once, with its `id`.
 */

export type SupervisorToWorker =
  | { readonly kind: 'stage'; readonly id: number; readonly plan: GenerationPlan }
  /** Only for the generation staged last. */
  | { readonly kind: 'commit'; readonly id: number; readonly generation: number }

export type WorkerToSupervisor =
  | { readonly kind: 'staged'; readonly id: number }
  | { readonly kind: 'stage-failed'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'committed'; readonly id: number }
  /** Not an answer: the last exchange of that generation has ended here, and its instances are stopped. */
  | { readonly kind: 'retired'; readonly generation: number }
