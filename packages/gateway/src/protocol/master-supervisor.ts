import type { Failure } from './failure.ts'
import type { FaultEvent } from './faults.ts'
import type { GatewaySettings, GenerationPlan, ListenerPlan } from './generation.ts'
import type { ListenAddress, LostAddress } from './listen-address.ts'
import type { PackedPlan } from './packed-plan.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from './supervisor-worker.ts'

/**
 * Master and supervisor. The supervisor decides, the master does: it opens the listeners, runs the workers, keeps the
 * committed generation for those that must be started anew, and carries letters to and from workers unread.
 *
 * First start:
 *   start → started → open → opened → worker-spawned, worker-started (each) → [stage and commit, through `relay`;
 *   `commit` → `committed` between them] → worker-listening (each) → ready
 * Supervisor started anew: start (with `running`) → started.
 *
 * A message with an `id` is a request or the answer to one; the asking side holds a timeout for it.
 */

export type MasterToSupervisor =
  | {
      readonly kind: 'start'
      readonly id: number
      readonly options: ServeOptions
      /** Unix time of the gateway's start, milliseconds. */
      readonly startedAt: number
      /** What the supervisor's predecessor left; null at the first start. */
      readonly running: RunningGateway | null
    }
  | { readonly kind: 'opened'; readonly id: number; readonly result: OpenResult }
  | { readonly kind: 'committed'; readonly id: number }
  /** Not committed: not all that the plan only names is there. The whole one is asked for. */
  | { readonly kind: 'bundles-missing'; readonly id: number }
  /** The process exists; it may be anything but ready. */
  | { readonly kind: 'worker-spawned'; readonly worker: number; readonly pid: number }
  /** It takes messages. `generation` is the one it serves already, or 0. */
  | { readonly kind: 'worker-started'; readonly worker: number; readonly generation: number }
  | { readonly kind: 'worker-listening'; readonly worker: number }
  | { readonly kind: 'worker-failed'; readonly worker: number; readonly failure: Failure }
  /**
   * It is being replaced and no member any more: from now on its messages come, and its end is told, under `as`, a
   * number that no other process ever has, and under which it still takes messages. `worker-spawned` of its successor
   * follows under the number it had.
   */
  | { readonly kind: 'worker-retiring'; readonly worker: number; readonly as: number }
  | { readonly kind: 'worker-ended'; readonly worker: number; readonly reason: string }
  /** All that cannot be listened on now. */
  | { readonly kind: 'lost-addresses'; readonly lost: readonly LostAddress[] }
  | { readonly kind: 'relay'; readonly worker: number; readonly message: WorkerToSupervisor }
  /** Is it there? Whatever it says next is the answer, `pong` if nothing else. */
  | { readonly kind: 'ping' }
  /** The gateway ends: the workers finish what is in flight. `stop` follows when they are gone. */
  | { readonly kind: 'draining' }
  | { readonly kind: 'stop' }

export type SupervisorToMaster =
  | { readonly kind: 'started'; readonly id: number }
  | { readonly kind: 'pong' }
  /** Open the listeners and start the workers. Asked once, at the first start. */
  | { readonly kind: 'open'; readonly id: number; readonly settings: GatewaySettings }
  /**
   * Open what of these listeners is not open yet, beside the others. Answered by `opened`. `isDecided`: what cannot be opened
   * is no reason against the others; once committed it is tried again.
   */
  | {
      readonly kind: 'stage-listeners'
      readonly id: number
      readonly listeners: readonly ListenerPlan[]
      readonly isDecided: boolean
    }
  /** Close what was opened by `stage-listeners`: the change failed. */
  | { readonly kind: 'discard-listeners' }
  /** From now on workers start with this generation; staged listeners replace those there are. */
  | { readonly kind: 'commit'; readonly id: number; readonly plan: PackedPlan }
  /** There is no generation that could serve: accept connections all the same, and answer 503. */
  | { readonly kind: 'listen-anyway' }
  /** End this worker now; its successor starts on the committed generation. */
  | { readonly kind: 'replace'; readonly worker: number; readonly reason: string }
  /** Every worker serves; what to tell the person who started the gateway. */
  | { readonly kind: 'ready'; readonly summary: ReadySummary }
  /** The first start failed; the reasons are printed. The gateway ends with this exit code. */
  | { readonly kind: 'give-up'; readonly exitCode: number }
  | { readonly kind: 'relay'; readonly worker: number; readonly message: SupervisorToWorker }

export type OpenResult =
  | { readonly ok: true; readonly addresses: readonly ListenAddress[] }
  | { readonly ok: false; readonly failure: Failure }

/** What `cardea serve`, `cardea dev` or `cardea --to` was asked to do. */
export interface ServeOptions {
  readonly source: ServeSource
  /** As `debug: true` in the config, whatever that says. */
  readonly debug: boolean
  /** A start without a generation that could serve, or on another than the files say, ends with exit code 1. */
  readonly strict: boolean
  /**
   * `cardea dev` shows changes, faults and decisions itself: they are not in the log too, which has nothing below `warn`
   * then but what plugins log.
   */
  readonly quiet: boolean
}

/** What was asked for beyond the source, when nothing was. */
export const SERVE_OPTIONS_DEFAULT: Omit<ServeOptions, 'source'> = {
  debug: false,
  strict: false,
  quiet: false,
}

export type ServeSource =
  /** Absolute path. */
  | { readonly kind: 'file'; readonly file: string }
  /** `port` null: the default one. */
  | {
      readonly kind: 'target'
      readonly url: string
      readonly port: number | null
      readonly directory: string
    }

export interface RunningGateway {
  /** Null when none could be served so far. */
  readonly plan: GenerationPlan | null
  readonly settings: GatewaySettings
  readonly addresses: readonly ListenAddress[]
  /** Those of them that nobody listens on. */
  readonly lost: readonly LostAddress[]
  readonly workers: readonly RunningWorker[]
  /** Those that were replaced and drain, by the numbers they left with; see `worker-retiring`. */
  readonly retiring: readonly RunningWorker[]
  /** Of the predecessor's time, whether it heard of them or not: stalls that nothing has followed from, and breakers. */
  readonly faults: readonly StandingFault[]
}

export interface StandingFault {
  readonly worker: number
  readonly event: FaultEvent
}

export interface RunningWorker {
  readonly worker: number
  readonly pid: number
  /** What it serves as far as the master has heard, 0 for nothing; null while it starts: `worker-started` follows then. */
  readonly generation: number | null
}

/** What the start output shows. */
export interface ReadySummary {
  readonly generation: number
  readonly workers: number
  readonly routes: readonly RouteSummary[]
}

export interface RouteSummary {
  readonly name: string
  readonly hosts: readonly string[]
  readonly paths: readonly string[]
  readonly methods: readonly string[]
  /** `upstream api (http://127.0.0.1:3000)`, `responds 404`, `redirects to /new`. */
  readonly action: string
  /** `name` or `name (plugin)`, in chain order. */
  readonly chain: readonly string[]
}
