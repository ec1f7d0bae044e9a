import { isDeepStrictEqual } from 'node:util'
import type { Log } from '@cardea/sdk'
import type { ChangeCause, ChangeReport, ChangeWait, HeldLoss } from '../protocol/control.ts'
import type {
  ChangeSettings,
  GatewaySettings,
  GenerationPlan,
  ListenerPlan,
  RoutePlan,
} from '../protocol/generation.ts'
import { neighboursIn } from '../protocol/neighbours.ts'
import { lastKnown, noticesOf, startedAndCarried } from './change-account.ts'
import { failedByThrow } from './change-result.ts'
import { compare, refuseLosses } from './compare.ts'
import { type FormerConfigs, formerConfigs } from './former-configs.ts'
import type { Candidate, Overlay, OverlayEdit, Workshop } from './gather.ts'
import { gatherNext, isOnLive } from './gather-next.ts'
import { PluginLifecycle } from './lifecycle.ts'
import type { Former } from './recollect.ts'
import { recordOf } from './record.ts'
import { awaitRoom } from './room.ts'
import type { RouteMove } from './security-loss.ts'
import { roundedMs, StageTimes } from './stage-times.ts'
import { orStandIn, type StandIn } from './stand-in.ts'
import type { TrialRunner } from './trial-runner.ts'
import { SilentWorker } from './worker-state.ts'
import type { Workers } from './workers.ts'

export interface ChangeRequest {
  readonly cause: ChangeCause
  readonly who: string
  /** `performance.now()` of what led to it. */
  readonly firstSignAt: number
  readonly edit?: OverlayEdit
  /** What is edited: the files on disk (default), or what serves, whatever stands on disk. */
  readonly base?: 'disk' | 'live'
  /** Of a rollback: the generation whose content it is to have. */
  readonly backTo?: number
  /** Of a plugin's way back: the content hash of the version that is to run. */
  readonly runs?: string
  /** With `live`, by name: the plugin whose files count as they stand on disk all the same. */
  readonly filesOf?: string
  /** The losses that somebody was shown and agreed to. */
  readonly approved?: readonly HeldLoss[]
  /** Aborted when whoever asked has left: what is not decided by then is not to come of it. */
  readonly signal?: AbortSignal
}

/** What the supervisor asks of the master for a change. */
export interface MasterPort {
  /** Opens listeners beside those there are. Throws LISTEN_FAILED. */
  stageListeners(listeners: readonly ListenerPlan[]): Promise<void>
  discardListeners(): void
  /** Workers accept connections although there is no generation: they answer 503. */
  listenAnyway(): void
  /** Workers that start from now on serve this. */
  commit(plan: GenerationPlan): Promise<void>
  replaceWorker(worker: number, reason: string): void
}

/** All that a change works on. */
export interface ChangeGround extends Workshop {
  readonly log: Log
  readonly trials: TrialRunner
  readonly workers: Workers
  readonly master: MasterPort
  /** The generation that everything is compared with: what serves, or at the start what served last. */
  readonly reference: Reference | null
  /** Counts instead of `reference`, which is older then, or null: security plugins are not lost with a store. */
  readonly former: Former | null
  /** False at the start: then the reference serves nobody yet. */
  readonly isServing: boolean
  /** What the workers serve, also where it cannot be the reference: one that their master has told of. Null for nothing. */
  readonly live: GenerationPlan | null
  /** Null when nothing may serve before the change does, or something serves. */
  readonly standIn: StandIn | null
  /** The number of workers, which no change can change. */
  readonly workerCount: number
  /** Called when the change looks for its plugins; `onPrepared` follows once it knows them all, and something changes. */
  newLifecycle(): PluginLifecycle
  onPrepared(): void
  /** It waits for room; null: not any more. */
  onWait(wait: ChangeWait | null): void
  /** Where the requests of the first routes go when the second ones serve: the data plane knows how routes match. */
  findMoves(from: readonly RoutePlan[], to: readonly RoutePlan[]): readonly RouteMove[]
}

/** A committed generation as the next change sees it. */
export interface Reference {
  readonly candidate: Candidate
  /** For the listeners: those of the start may differ from the plan's while it is being made. */
  readonly settings: GatewaySettings
}

export type ChangeOutcome =
  | { readonly kind: 'unchanged'; readonly heldBack: readonly string[] }
  | { readonly kind: 'committed'; readonly candidate: Candidate; readonly report: CommittedParts }

/** What is known of a change that was committed. */
export type CommittedParts = Pick<
  ChangeReport,
  | 'generation'
  | 'at'
  | 'changes'
  | 'started'
  | 'carried'
  | 'stages'
  | 'skewMs'
  | 'held'
  | 'notices'
  | 'heldBack'
>

/**
 * The way from one generation to the next: gather (discover → verify → build → validate → resolve) → compare → trial → stage →
 * decide → commit. Up to `decide` a throw is the rollback: what was acquired is let go in reverse order, and nobody
 * notices. From then on everything rolls forward.
 *
 * Throws ChangeFailed and ChangeHeld, and StoodIn at a start; also something else once the signal is aborted, which counts
 * up to `decide`.
 */
export async function applyChange(
  request: ChangeRequest,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<ChangeOutcome> {
  await using undo = new AsyncDisposableStack()
  const stages = new StageTimes(request.firstSignAt)
  stages.passed('notice')
  await waitForRoom(request, ground, signal)
  stages.passed('wait')
  const candidate = await gatherNext(request, ground, signal)
  stages.passed('prepare')
  signal.throwIfAborted()
  const comparison = compare(candidate, ground, request.approved ?? [])
  if (comparison === null) {
    if (!isOnLive(request, ground)) ground.reference?.candidate.lifecycle.lookedAgain(candidate.lifecycle)
    return { kind: 'unchanged', heldBack: heldUnits(candidate.overlay) }
  }
  const { changes, held } = comparison
  ground.onPrepared()
  stages.passed('compare')
  const fresh = freshPart(candidate.plan, lastKnown(ground))
  const trial = (until: AbortSignal): Promise<void> => tryOut(candidate, fresh, ground, until)
  await orStandIn(trial, { candidate, changes, ground }, signal)
  stages.passed('trial')
  await stage(candidate, ground, undo, signal)
  stages.passed('stage')
  const record = await decide(candidate, changes, request, ground)
  stages.passed('decide')
  undo.move()
  const skewMs = await commit(candidate, ground)
  stages.passed('commit')
  const report = {
    generation: candidate.plan.number,
    at: record.at,
    changes,
    ...startedAndCarried(candidate.plan, ground.live),
    stages: stages.timings,
    skewMs,
    held,
    notices: noticesOf(candidate, request.cause, ground),
    heldBack: heldUnits(candidate.overlay),
  }
  return { kind: 'committed', candidate, report }
}

/**
 * Brings the reference to workers that serve nothing yet. Throws ChangeFailed and ChangeHeld, and once the signal is aborted
 * its reason, as long as nothing is committed.
 */
export async function serveReference(
  { candidate }: Reference,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<void> {
  // Where it is an older one than what counts.
  if (ground.former !== null) refuseLosses(candidate, ground, [], [])
  await using undo = new AsyncDisposableStack()
  await stage(candidate, ground, undo, signal)
  undo.move()
  await commit(candidate, ground)
}

async function waitForRoom(request: ChangeRequest, ground: ChangeGround, signal: AbortSignal): Promise<void> {
  const { workers, reference, log, onWait } = ground
  const { cause, who } = request
  const settings = reference?.settings.changes ?? null
  const foresee = (): Promise<ChangeSettings | null> => foreseen(request, ground, signal)
  await awaitRoom({ cause, who, settings, workers, log, onWait, foresee }, signal)
}

/** The settings that would come; null where nothing would. What stands against it the change itself tells. */
async function foreseen(
  request: ChangeRequest,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<ChangeSettings | null> {
  const unseen = { ...ground, newLifecycle: () => new PluginLifecycle() }
  try {
    const candidate = await gatherNext(request, unseen, signal)
    const isSame = compare(candidate, ground, request.approved ?? []) === null
    return isSame ? null : candidate.plan.settings.changes
  } catch {
    return null
  }
}

/** What runs in another form than it stands on disk: as `PinStatus.unit`. */
function heldUnits({ pins }: Overlay): readonly string[] {
  return [...new Set(pins.map(({ name }) => name))]
}

/** The instances that no worker has yet, and those they depend on: all that a trial can learn something of. */
function freshPart(plan: GenerationPlan, reference: GenerationPlan | null): GenerationPlan {
  const known = new Set(reference?.instances.map(({ key }) => key))
  const byId = new Map(plan.instances.map((instance) => [instance.id, instance]))
  const wanted = new Set<number>()
  const want = (id: number): void => {
    if (wanted.has(id)) return
    wanted.add(id)
    for (const dependency of byId.get(id)?.dependencies ?? []) want(dependency)
  }
  for (const { id, key } of plan.instances) if (!known.has(key)) want(id)
  const instances = plan.instances.filter(({ id }) => wanted.has(id))
  const used = new Set(instances.map(({ codeHash }) => codeHash))
  const bundles = plan.bundles.filter(({ codeHash }) => used.has(codeHash))
  return { ...plan, routes: [], upstreams: [], instances, bundles }
}

async function tryOut(
  candidate: Candidate,
  fresh: GenerationPlan,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<void> {
  if (fresh.instances.length === 0) return
  const plugins = [...new Set(fresh.instances.map(({ plugin }) => plugin))]
  try {
    const states = ground.isServing ? await ground.workers.states(plugins) : []
    const neighbours = neighboursIn(candidate.plan, new Set(plugins))
    const formerConfigs = formerConfigsOf(fresh, ground)
    await ground.trials.try({ plan: fresh, states, formerConfigs, neighbours }, signal)
  } catch (thrown) {
    if (thrown instanceof SilentWorker) ground.master.replaceWorker(thrown.worker, thrown.message)
    signal.throwIfAborted()
    candidate.lifecycle.failedToStart(fresh, thrown)
    throw failedByThrow('trial', candidate.plan, thrown)
  }
  candidate.lifecycle.tried(fresh)
}

/** At the start no worker has a live instance that could be updated. */
function formerConfigsOf(fresh: GenerationPlan, { isServing, reference }: ChangeGround): FormerConfigs {
  return isServing && reference !== null ? formerConfigs(reference.candidate.plan, fresh) : {}
}

async function stage(
  candidate: Candidate,
  { reference, master, workers }: ChangeGround,
  undo: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<void> {
  const { plan } = candidate
  const discard = (): void => workers.discardUnfinished(plan.number)
  try {
    signal.addEventListener('abort', discard)
    if (!isDeepStrictEqual(reference?.settings.listeners, plan.settings.listeners)) {
      undo.defer(() => master.discardListeners())
      await master.stageListeners(plan.settings.listeners)
    }
    undo.defer(() => workers.discard(plan.number))
    await workers.stage(plan)
    signal.throwIfAborted()
  } catch (thrown) {
    if (thrown instanceof SilentWorker) master.replaceWorker(thrown.worker, thrown.message)
    signal.throwIfAborted()
    // What served last is tried again, and was sound when it did.
    if (candidate !== reference?.candidate) candidate.lifecycle.failedToStart(plan, thrown)
    throw failedByThrow('stage', plan, thrown)
  } finally {
    signal.removeEventListener('abort', discard)
  }
}

/** The last step that may fail. */
async function decide(
  candidate: Candidate,
  changes: readonly string[],
  request: ChangeRequest,
  ground: ChangeGround,
): Promise<{ readonly at: number }> {
  try {
    const { record, blobs } = recordOf(candidate, { ...request, changes }, ground)
    await ground.store.decide(record, blobs)
    return record
  } catch (thrown) {
    throw failedByThrow('decide', candidate.plan, thrown)
  }
}

/**
 * Never throws: the generation is decided. The master comes first, so that whatever starts from now on starts on it; a
 * worker that does not acknowledge is replaced by one that does. Returns the skew between the workers.
 */
async function commit(candidate: Candidate, { master, workers, log }: ChangeGround): Promise<number | null> {
  const { plan, lifecycle, overlay } = candidate
  try {
    await master.commit(plan)
  } catch (thrown) {
    // Without the master there is no gateway: it ends, and its successor starts on what was decided.
    log.error(`The master does not answer: ${String(thrown)}`)
  }
  const { swappedAt, failed } = await workers.commit(plan)
  for (const { worker, reason } of failed) master.replaceWorker(worker, reason)
  lifecycle.committed(plan, overlay.controls.quarantined)
  return swappedAt.length < 2 ? null : roundedMs(Math.max(...swappedAt) - Math.min(...swappedAt))
}
