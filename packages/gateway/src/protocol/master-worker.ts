import type { DrainBounds } from './drain-bounds.ts'
import type { Failure } from './failure.ts'
import type { GatewaySettings, GenerationPlan } from './generation.ts'
import type { ListenAddress } from './listen-address.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from './supervisor-worker.ts'

/**
 * Master and worker.
 *
 *   start → started → [first generation, from the supervisor through `relay` → serving] → listen (one per listener, with
 *   the handle) → listening → … → drain → drained, and the worker exits.
 *
 * A worker started anew gets the committed generation with `start`, and `started` says that it serves it.
 */

export type MasterToWorker =
  | {
      readonly kind: 'start'
      readonly id: number
      /** From 1; a worker started anew keeps the number of the one it stands in for. */
      readonly worker: number
      readonly settings: GatewaySettings
      /** The gateway's folder, absolute. */
      readonly directory: string
      /** Null until a generation has been committed. */
      readonly committed: GenerationPlan | null
    }
  /** Accept connections on the handle that comes with this message. */
  | { readonly kind: 'listen'; readonly id: number; readonly address: ListenAddress }
  /** Not a request: accept no more on this address; its connections live on. */
  | { readonly kind: 'unlisten'; readonly address: ListenAddress }
  | { readonly kind: 'drain'; readonly id: number; readonly bounds: DrainBounds }
  /** Not a request: the files of sinks were moved away; open them again under their names. */
  | { readonly kind: 'reopen-logs' }
  | { readonly kind: 'relay'; readonly message: SupervisorToWorker }

export type WorkerToMaster =
  /** `generation`: what it serves, 0 for none yet. */
  | { readonly kind: 'started'; readonly id: number; readonly generation: number }
  /** The committed generation cannot be started here; the worker exits. */
  | { readonly kind: 'start-failed'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'serving'; readonly generation: number }
  | { readonly kind: 'listening'; readonly id: number }
  /** `systemCode`: see `ListenFailure`. */
  | {
      readonly kind: 'listen-failed'
      readonly id: number
      readonly failure: Failure
      readonly systemCode: string | null
    }
  | { readonly kind: 'drained'; readonly id: number; readonly cutExchanges: number }
  /** It serves, but something in it is out of order: start another in its place, then let it drain. */
  | { readonly kind: 'replace-me'; readonly reason: string }
  | { readonly kind: 'relay'; readonly message: WorkerToSupervisor }
