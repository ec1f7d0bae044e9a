import { versionLabel } from '../base/version-label.ts'
import type { Failure } from './failure.ts'
import type { FaultEvent, HarmKind } from './faults.ts'
import type { ListenAddress, LostAddress } from './listen-address.ts'
import type { PluginFault, PluginStage, PluginStatus } from './plugin-state.ts'
import type { WorkerCensus } from './supervisor-worker.ts'
import type { ExchangeTrace } from './trace.ts'

/**
 * Command line and supervisor, over the Unix domain socket `.cardea/control.sock` (mode 0600): one JSON value a line.
 * Each request is answered by one `ok` or `failed` with its id, 0 where it had none; `watch` is followed by events until
 * the socket closes. A change is for whoever waits for it: once a client has left, what it asked for is not begun any more.
 */
export type ControlRequest = { readonly id: number; readonly who: string } & ControlCommand

export type ControlCommand =
  | { readonly command: 'status' }
  | { readonly command: 'history'; readonly limit: number }
  /** `generation` null: the last one before that is another by its content, and no way forward again (store/way-back.ts). */
  | { readonly command: 'rollback'; readonly generation: number | null }
  /** `heldId`: only what has these losses; without it whatever is held by then. */
  | { readonly command: 'approve'; readonly heldId?: string }
  /** `unit` null: all; otherwise a plugin's name, or `config`. */
  | { readonly command: 'release'; readonly unit: string | null }
  | { readonly command: 'plugin-versions'; readonly plugin: string }
  /**
   * `version` null: the last one before that did not fail, and no way forward again (store/version-before.ts); otherwise a
   * version number or the beginning of a content hash.
   */
  | { readonly command: 'plugin-rollback'; readonly plugin: string; readonly version: string | null }
  | { readonly command: 'plugin-enable'; readonly plugin: string }
  | { readonly command: 'plugin-disable'; readonly plugin: string }
  | { readonly command: 'plugin-reload'; readonly plugin: string }
  | { readonly command: 'plugin-info'; readonly plugin: string }
  | { readonly command: 'config-diff'; readonly generation: number | null }
  /** Events from now on; `traces`: every exchange too. */
  | { readonly command: 'watch'; readonly traces: boolean }

export type ControlResponse =
  | { readonly kind: 'ok'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: Failure }
  /** Each second that an answer takes, until it comes. `wait`: the change that waits for room, its own or one before it. */
  | { readonly kind: 'pending'; readonly id: number; readonly wait: ChangeWait | null }
  | { readonly kind: 'event'; readonly event: ControlEvent }

/** What the result of each command is. */
export interface ControlResults {
  readonly status: GatewayStatus
  /** Newest first. */
  readonly history: readonly HistoryEntry[]
  readonly rollback: ChangeReport
  readonly approve: ChangeReport
  readonly release: ChangeReport
  readonly 'plugin-versions': readonly PluginVersion[]
  readonly 'plugin-rollback': ChangeReport
  readonly 'plugin-enable': ChangeReport
  readonly 'plugin-disable': ChangeReport
  readonly 'plugin-reload': ChangeReport
  readonly 'plugin-info': PluginInfo
  readonly 'config-diff': ConfigDiff
  readonly watch: null
}

/** Why a change was tried. `of`: what led to that which was approved. Records of an older version do not say. */
export type ChangeCause = FirstCause | { readonly kind: 'approve'; readonly of?: FirstCause }

/** What leads to a change that may be held. */
export type FirstCause =
  | { readonly kind: 'start' }
  /** A supervisor that was started anew looks at the files. */
  | { readonly kind: 'recovery' }
  /** What was saved. None: nobody is known to have saved any, and they were looked at after a command. */
  | { readonly kind: 'files'; readonly files: readonly string[] }
  | { readonly kind: 'rollback'; readonly generation: number }
  | { readonly kind: 'plugin-rollback'; readonly plugin: string; readonly version: string }
  | { readonly kind: 'enable' | 'disable' | 'reload'; readonly plugin: string }
  | { readonly kind: 'release'; readonly unit: string | null }
  /** A new version failed at run time and was taken back. `failed`: its content hash. Records of an older version do not say. */
  | {
      readonly kind: 'probation'
      readonly plugin: string
      readonly version: string
      readonly failed?: string
    }
  /** Its breaker opened: made anew. */
  | { readonly kind: 'restart'; readonly plugin: string }
  /** Records of an older version do not say what it did. */
  | { readonly kind: 'quarantine'; readonly plugin: string; readonly harm?: HarmKind }

/** What led to a change, whether somebody had to approve it or not. */
export function firstCause(cause: ChangeCause): ChangeCause {
  return cause.kind === 'approve' ? (cause.of ?? cause) : cause
}

/** What became of one change, as the log line, the history and the command line show it. */
export interface ChangeReport {
  readonly outcome: 'committed' | 'unchanged' | 'failed' | 'held'
  /** The generation it made, or would have made; when unchanged the one that serves. */
  readonly generation: number
  /** Unix time, milliseconds. */
  readonly at: number
  readonly cause: ChangeCause
  /** The user that asked; `gateway` for what it did by itself. */
  readonly who: string
  /** What is different, in short sentences: `plugin auth 1.0.0 → 1.1.0`, `route api: upstream changed`. */
  readonly changes: readonly string[]
  /** Names of the instances that were made anew. */
  readonly started: readonly string[]
  /** Of those that were carried over. Records of an older version, and of too many names, only say how many. */
  readonly carried: readonly string[] | number
  /** Milliseconds by stage, in the order they ran. `total` is from the first sign of the change to commit. */
  readonly stages: readonly StageTiming[]
  /** Between the first worker's swap and the last one's; null unless committed by several. */
  readonly skewMs: number | null
  /** Why not, when failed. Never empty then. */
  readonly problems: readonly ChangeProblem[]
  /** What runs in another form than it stands on disk since it is live: as `PinStatus.unit`. Records of an older version do not say. */
  readonly heldBack?: readonly string[]
  /** When held: what would be lost. When committed: what is lost, with somebody's approval. */
  readonly held: readonly HeldLoss[]
  /** Names exactly what is in `held`, for `cardea approve`; null when that is empty. */
  readonly heldId: string | null
  /** What is worth knowing all the same: `workers: 4 takes effect at the next start`. */
  readonly notices: readonly string[]
}

export interface StageTiming {
  readonly stage: string
  readonly ms: number
}

export interface ChangeProblem extends PluginFault {
  readonly stage: PluginStage | 'config' | 'trial' | 'stage' | 'decide'
  /** The instance's or plugin's name, or null. */
  readonly plugin: string | null
  /** Lines around the place, as a person reads them; null when there is no file to show. */
  readonly frame: string | null
  readonly stack: string | null
}

/** Why a change waits for somebody's word. */
export type HeldLoss =
  | LostPlugin
  /**
   * Nobody can tell whether one would: what served last cannot be read any more. `reason`: a sentence. Who approves has
   * looked at what would serve: `digest` is of that. Hex.
   */
  | { readonly kind: 'unknown'; readonly reason: string; readonly digest: string }
  /** There are more losses than are listed before it. Who approves agrees to all: `digest` is of every one. Hex. */
  | { readonly kind: 'more'; readonly count: number; readonly digest: string }

/** Requests of a route would meet a security plugin no more. */
export interface LostPlugin {
  readonly kind: 'loss'
  /** The route that has them now. */
  readonly route: string
  /** The route that would have them: the same one, or another that takes them. There the config says that it is meant. */
  readonly to: string
  /** The name of its instance. */
  readonly plugin: string
  /** What runs under that name in `to` and is no substitute, by the plugin's name; null for nothing. */
  readonly instead: string | null
  /** `plugin "auth" is gone from plugins/`, `… is disabled`. */
  readonly reason: string
}

/** A change that has to wait, since streams keep too many generations alive. */
export interface ChangeWait {
  readonly cause: ChangeCause
  readonly who: string
  /** Unix time, milliseconds. */
  readonly since: number
  /** The one that has to end; null when no worker tells just now. */
  readonly generation: number | null
  /** What runs on it, for people. */
  readonly streams: readonly string[]
  /** `changes.generations_live_max`. */
  readonly generationsLiveMax: number
}

export interface HistoryEntry {
  readonly number: number
  readonly at: number
  readonly cause: ChangeCause
  readonly who: string
  readonly changes: readonly string[]
  /** Whether it serves now, and whether it can be rolled back to. */
  readonly isLive: boolean
  readonly isStored: boolean
  /** Whether a rollback that names no generation goes to it. */
  readonly isWayBack: boolean
}

export interface GatewayStatus {
  readonly generation: number
  readonly startedAt: number
  readonly directory: string
  /** The config file, absolute; null for `cardea --to URL`. */
  readonly config: string | null
  /** Those that are listened on. */
  readonly addresses: readonly ListenAddress[]
  /** Those of the generation that serves that nobody can listen on; each is tried again by itself. */
  readonly lostAddresses: readonly LostAddress[]
  readonly workers: readonly { readonly worker: number; readonly census: WorkerCensus | null }[]
  readonly plugins: readonly PluginStatus[]
  readonly instances: readonly InstanceStatus[]
  /** The newest change of what stands on disk, when it failed or is held. */
  readonly pending: ChangeReport | null
  /** The newest change of what serves, when it is held: asked for, or decided by the gateway. */
  readonly asked: ChangeReport | null
  /** The change that waits for room. */
  readonly waiting: ChangeWait | null
  readonly pins: readonly PinStatus[]
  readonly events: readonly ControlEvent[]
}

export interface InstanceStatus {
  readonly name: string
  readonly plugin: string
  readonly version: string
  readonly state: 'active' | 'breaker-open' | 'half-open' | 'quarantined'
  readonly failures: number
}

/** Something that runs in another form than it stands on disk. */
export interface PinStatus {
  /** `config` or a plugin's name. */
  readonly unit: string
  readonly runs: HeldContent
  readonly since: number
  readonly who: string
}

/** What runs instead of what is held back. */
export type HeldContent =
  /** The config of that generation. */
  | { readonly kind: 'generation'; readonly number: number }
  /** That version; `contentHash`: hex. `version` null: it is not known any more. */
  | { readonly kind: 'plugin'; readonly version: string | null; readonly contentHash: string }
  | { readonly kind: 'nothing' }

/** The middle of a sentence on what is held back. */
export function heldText(runs: HeldContent): string {
  if (runs.kind === 'nothing') return 'does not run, although it stands on disk'
  const what = runs.kind === 'generation' ? `generation ${runs.number}` : versionLabel(runs)
  return `runs as ${what}, not as it stands on disk`
}

export interface PluginVersion {
  readonly version: string
  /** Hex. */
  readonly contentHash: string
  /** Those that it ran in, of those that are kept; oldest first. */
  readonly generations: readonly GenerationRange[]
  /** When it ran for the first time. */
  readonly at: number
  /** It runs: it is that of the generation that serves, which has an instance of the plugin. */
  readonly isLive: boolean
  /** It was taken back on its probation or quarantined, and nobody let it in again since: only its number or hash brings it back. */
  readonly hasFailed: boolean
  /** Whether a rollback of the plugin that names no version goes to it. */
  readonly isWayBack: boolean
}

/** Numbers that follow on one another, both ends included. */
export interface GenerationRange {
  readonly first: number
  readonly last: number
}

export interface PluginInfo {
  readonly name: string
  readonly version: string | null
  readonly description: string
  readonly folder: string
  readonly state: PluginStatus['state']
  /** What runs is not what stands in `folder`; null: it is. */
  readonly pin: PinStatus | null
  readonly category: string | null
  readonly dependencies: Readonly<Record<string, string>>
  readonly permissions: readonly string[]
  readonly instances: readonly (InstanceStatus & {
    readonly routes: readonly string[]
    readonly config: Readonly<Record<string, unknown>>
    /** JSON Pointer of each value to where it comes from. */
    readonly sources: Readonly<Record<string, string>>
  })[]
  readonly versions: readonly PluginVersion[]
}

export interface ConfigDiff {
  readonly from: string
  readonly to: string
  /** Unified diff; '' when equal. */
  readonly text: string
}

export type ControlEvent =
  | { readonly kind: 'change'; readonly report: ChangeReport }
  | { readonly kind: 'fault'; readonly at: number; readonly worker: number; readonly fault: FaultEvent }
  /** A decision by the gateway itself, as a sentence. */
  | { readonly kind: 'decision'; readonly at: number; readonly plugin: string; readonly text: string }
  | { readonly kind: 'worker'; readonly at: number; readonly worker: number; readonly text: string }
  | { readonly kind: 'trace'; readonly trace: ExchangeTrace }
  /** So many traces came faster than they were read, here or on their way, and were left out. */
  | { readonly kind: 'skipped'; readonly traces: number }
