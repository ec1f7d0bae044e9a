import type { Log } from '@cardea/sdk'
import { type GatewayError, messageOf } from '../base/errors.ts'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeReport, ChangeWait } from '../protocol/control.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import {
  applyChange,
  type ChangeGround,
  type ChangeRequest,
  type MasterPort,
  type Reference,
  serveReference,
} from './change.ts'
import { begunNow, ChangeQueue, gatewayRequest, mayGiveWay } from './change-queue.ts'
import { askerLeft, ChangeHeld, ending, failedByThrow } from './change-result.ts'
import type { Overlay, Workshop } from './gather.ts'
import { isOnLive, overlayOf } from './gather-next.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import { type CurrentChange, isDecision, type Pending, PendingChanges, targetsOf } from './pending-changes.ts'
import { PluginProgress } from './plugin-progress.ts'
import type { Former, Recollection } from './recollect.ts'
import { reportOf, tell } from './report.ts'
import { RetryTimer } from './retry-timer.ts'
import { type Missing, type StandIn, StoodIn } from './stand-in.ts'
import type { TrialRunner } from './trial-runner.ts'
import type { Workers } from './workers.ts'

export interface EngineOptions {
  readonly workshop: Workshop
  readonly log: Log
  readonly trials: TrialRunner
  readonly workers: Workers
  readonly master: MasterPort
  /** Whether a start may serve what served last, or nothing but 503, when it cannot serve what the files say. */
  readonly hasFallback: boolean
  /** Has the files looked at as after a save, when nobody is writing to them. */
  lookAtFiles(): void
  /** Everything that a change came to, but "unchanged". */
  onReport(report: ChangeReport): void
  /** That generation, which served last, serves before the change does that the start makes. */
  onStoodIn(generation: number, missing: Missing): void
  /** A generation serves. */
  onCommitted(reference: Reference, previous: Reference | null): void
  readonly findMoves: ChangeGround['findMoves']
  /** For the log of a plugin's steps. */
  newLifecycle(): PluginLifecycle
}

/** Something else comes first, nobody waits for it any more, or what served last does not wait for it any more. */
type GivenUp = 'superseded' | 'abandoned' | 'stood in'

/**
 * Makes changes, one after another. Changes of files that come while one is being made are one change after it; what
 * fails because a process died under it is tried again.
 */
export class ChangeEngine {
  readonly #options: EngineOptions
  readonly #queue = new ChangeQueue()
  #reference: Reference | null = null
  #former: Former | null = null
  #isServing = false
  /** What the workers had when this supervisor took over, where it cannot be the reference, until the next commit. */
  #adopted: GenerationPlan | null = null
  #isRunning = false
  #isClosed = false
  /** Of those who wait for a change. */
  readonly #rejects = new Set<(reason: GatewayError) => void>()
  #workerCount = 0
  readonly #pending = new PendingChanges()
  #wait: ChangeWait | null = null
  /** Of the latest change, unless it came to nothing: then of what serves. */
  readonly #progress = new PluginProgress()
  #current: CurrentChange | null = null
  #supersedeTimer: NodeJS.Timeout | undefined
  readonly #startRetry = new RetryTimer({
    firstMs: CHANGE_LIMITS.startRetryMs,
    maxMs: CHANGE_LIMITS.startRetryMsMax,
  })
  readonly #decideRetry = new RetryTimer({
    firstMs: CHANGE_LIMITS.decideRetryMs,
    maxMs: CHANGE_LIMITS.decideRetryMsMax,
  })

  constructor(options: EngineOptions) {
    this.#options = options
  }

  /** The committed generation, or at the start the one that was committed last; null: there is none. */
  get reference(): Reference | null {
    return this.#reference
  }

  get isServing(): boolean {
    return this.#isServing
  }

  get isChanging(): boolean {
    return this.#isRunning
  }

  /** What serves, also when nothing but its plan is known; null for nothing. */
  get livePlan(): GenerationPlan | null {
    return this.#isServing ? (this.#reference?.candidate.plan ?? null) : this.#adopted
  }

  /** The number of the generation that serves; 0 for none. */
  get live(): number {
    return this.livePlan?.number ?? 0
  }

  /** What commands have laid over the files. */
  get overlay(): Overlay {
    return overlayOf({ reference: this.#reference, former: this.#former })
  }

  /** The newest change of what stands on disk, when it failed or is held. */
  get pending(): Pending | null {
    return this.#pending.files
  }

  /** The newest change of what serves, when it is held. */
  get asked(): Pending | null {
    return this.#pending.asked
  }

  /** What waits for somebody's word, newest first. */
  get held(): readonly Pending[] {
    return this.#pending.held
  }

  /** What a change is to bring back that is being made, waits, or is held: until then it must stay whole. */
  get targets(): ReturnType<typeof targetsOf> {
    return targetsOf([this.#current, ...this.#queue.waiting, ...this.held])
  }

  /** The change that waits until fewer generations are alive. */
  get waiting(): ChangeWait | null {
    return this.#wait
  }

  /** As far as the newest change of what stands on disk got them. */
  get plugins(): PluginLifecycle {
    return this.#pending.files?.lifecycle ?? this.#progress.shown
  }

  /** What was committed last here. Before the first `request` of a gateway that serves nothing yet. */
  recall({ reference, former }: Recollection): void {
    this.#reference = reference
    this.#former = former
  }

  /** The listeners are open and the workers there. */
  opened(settings: GatewaySettings): void {
    this.#workerCount = settings.workers
    if (this.#reference !== null) this.#reference = { ...this.#reference, settings }
  }

  /** Takes over a gateway whose workers serve `live`. Without a reference they serve it on until the next change. */
  adopt({ reference, former }: Recollection, live: GenerationPlan, workerCount: number): void {
    this.#reference = reference
    this.#former = former
    this.#isServing = reference !== null
    this.#adopted = reference === null ? live : null
    this.#workerCount = workerCount
    if (reference !== null) this.#progress.show(reference.candidate.lifecycle)
  }

  /** Makes a change, after those before it. Never rejects, and never resolves when `close` comes first. */
  request(request: ChangeRequest): Promise<ChangeReport> {
    const { promise, resolve } = Promise.withResolvers<ChangeReport>()
    this.#queue.add(request, resolve)
    this.#supersedeLater()
    void this.#run()
    return promise
  }

  /**
   * The same for somebody who waits for it, until the signal says that they have left: throws CONTROL_LOST then, and
   * GATEWAY_ENDING once no change begins any more.
   */
  async requestAndWait(request: ChangeRequest & { readonly signal: AbortSignal }): Promise<ChangeReport> {
    const { signal } = request
    if (this.#isClosed) throw ending()
    if (signal.aborted) throw askerLeft()
    const { promise: closed, reject } = Promise.withResolvers<never>()
    const leave = (): void => reject(askerLeft())
    this.#rejects.add(reject)
    signal.addEventListener('abort', leave)
    try {
      return await Promise.race([this.request(request), closed])
    } finally {
      this.#rejects.delete(reject)
      signal.removeEventListener('abort', leave)
    }
  }

  /** No change begins any more. */
  close(): void {
    this.#isClosed = true
    for (const reject of this.#rejects) reject(ending())
    this.#startRetry.close()
    this.#decideRetry.close()
    clearTimeout(this.#supersedeTimer)
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    const { log } = this.#options
    for (let next = this.#queue.take(); next !== null && !this.#isClosed; next = this.#queue.take()) {
      const report = await this.#make(next.request)
      if (report === 'superseded')
        log.info(`A change that took long has given way to what was ${this.#queue.putBack(next)} since`)
      else if (report === 'stood in') this.#queue.putFirst(next)
      else if (report === 'abandoned') log.info('A change is not made: whoever asked for it has left')
      else for (const resolve of next.callers) resolve(report)
    }
    this.#isRunning = false
  }

  /**
   * Nobody need wait for what a save hangs at: its change is given up for what was saved or asked for since. Not when it
   * would come along quickly; and for another save not for ever, else files that change all the time would never go live.
   */
  #supersedeLater(): void {
    const current = this.#current
    const { next } = this.#queue
    if (current === null || next === null || !mayGiveWay(current.request, this.live)) return
    const now = performance.now()
    const { supersedeAfterMs, supersedeWithinMs } = CHANGE_LIMITS
    if (this.#queue.isOfFiles && now - current.request.firstSignAt > supersedeWithinMs) return
    const giveUp = (): void => current.giveUp.abort(new Error('Given up: something else came since'))
    clearTimeout(this.#supersedeTimer)
    this.#supersedeTimer = setTimeout(giveUp, Math.max(0, current.startedAt + supersedeAfterMs - now))
  }

  async #make(request: ChangeRequest): Promise<ChangeReport | GivenUp> {
    const isLive = isOnLive(request, this.#ground())
    let report = await this.#try(request)
    for (let repeat = 1; repeat <= CHANGE_LIMITS.repeatsMax && report === 'again'; repeat++) {
      report = await this.#try(begunNow(request), repeat)
    }
    // The last repeat never says so.
    if (report === 'again') throw new Error('A change was to be tried again once too often')
    if (typeof report === 'string' || (isLive && report.outcome === 'failed')) this.#showServing()
    if (typeof report === 'string') return report
    const wasPending = this.pending !== null
    const change = { request, report, lifecycle: this.#progress.shown }
    if (isLive) this.#noteLive(change)
    else if (this.#pending.noteFiles(change)) this.#noteFiles(change)
    else this.#showServing()
    const isMended = wasPending && this.pending === null
    if (report.outcome !== 'unchanged' || isMended) tell(this.#options, ({ onReport }) => onReport(report))
    const mayFallBack = this.#options.hasFallback || report.outcome === 'unchanged'
    if (this.live === 0 && mayFallBack) await this.#serveWhatThereIs(report)
    return report
  }

  /** What was asked for may have been all that files waited for: to be without a plugin that fails, or to be looked at. */
  #noteLive(change: Pending): void {
    this.#pending.noteLive(change)
    if (change.report.outcome === 'committed' && !isDecision(change.request)) this.#options.lookAtFiles()
  }

  #noteFiles({ request, report }: Pending): void {
    const isUnkept = report.problems.some(({ stage }) => stage === 'decide')
    if (this.pending === null) this.#decideRetry.reset()
    // The files say something else by now, which has been looked at.
    if (!isUnkept) this.#decideRetry.cancel()
    // What was approved of is for whoever did so to approve again.
    if (isUnkept && request.approved === undefined) this.#retryDecision(request)
  }

  /** The disk was full, or gone: nobody has anything to mend in the files, and nobody would save them again. */
  #retryDecision(request: ChangeRequest): void {
    if (this.#isClosed) return
    const { nextMs: retryMs } = this.#decideRetry
    this.#options.log.warn('The change could not be kept on disk, and is tried again', { retryMs })
    this.#decideRetry.start(() => void this.request(begunNow(request)))
  }

  async #try(request: ChangeRequest, repeat = 0): Promise<ChangeReport | 'again' | GivenUp> {
    const giveUp = new AbortController()
    const signals = [giveUp.signal, ...(request.signal === undefined ? [] : [request.signal])]
    this.#current = { request, startedAt: performance.now(), giveUp }
    this.#supersedeLater()
    const base = { cause: request.cause, who: request.who, live: this.#reference?.candidate.plan.number ?? 0 }
    try {
      const outcome = await applyChange(request, this.#ground(), AbortSignal.any(signals))
      if (outcome.kind === 'unchanged') {
        this.#showServing()
        return reportOf(base, outcome)
      }
      const { candidate, report } = outcome
      this.#committed({ candidate, settings: candidate.plan.settings })
      return reportOf(base, { kind: 'committed', parts: report })
    } catch (thrown) {
      if (request.signal?.aborted === true) return 'abandoned'
      if (thrown instanceof StoodIn) return 'stood in'
      if (giveUp.signal.aborted) return 'superseded'
      this.#progress.showBegun()
      const number = this.#options.workshop.store.nextNumber()
      if (thrown instanceof ChangeHeld) return reportOf(base, { kind: 'held', number, held: thrown })
      const failed = failedByThrow('config', null, thrown)
      if (failed.isPassing && repeat < CHANGE_LIMITS.repeatsMax) return 'again'
      return reportOf(base, { kind: 'failed', number, failed })
    } finally {
      this.#current = null
      clearTimeout(this.#supersedeTimer)
    }
  }

  /** Of a change that nothing is left of: plugins are what they were before. */
  #showServing(): void {
    if (this.#reference !== null) this.#progress.show(this.#reference.candidate.lifecycle)
  }

  /** A start whose files cannot be served: what served last does, or nothing, and then it is tried again later. */
  async #serveWhatThereIs({ outcome }: ChangeReport): Promise<void> {
    const { log, master } = this.#options
    const { reference } = this
    if (reference !== null && (await this.#serveReference(reference))) return
    if (!this.#options.hasFallback) return
    master.listenAnyway()
    const until =
      outcome === 'held' ? '"cardea approve" is run, or the files are mended' : 'the files are mended'
    log.error(`No generation can be served: every request is answered 503 until ${until}`, {
      retryMs: this.#startRetry.nextMs,
    })
    // Nobody's word comes by itself. What kept plugins from starting may pass by itself: a database that was down.
    if (outcome === 'held' && reference === null) return
    this.#startRetry.start(() => {
      if (!this.#isServing) void this.request(gatewayRequest({ kind: 'start' }))
    })
  }

  async #serveReference(reference: Reference, signal = new AbortController().signal): Promise<boolean> {
    const { candidate } = reference
    const { number, settings } = candidate.plan
    try {
      await serveReference(reference, this.#ground(), signal)
    } catch (thrown) {
      const reason = thrown instanceof ChangeHeld ? 'routes would lack security plugins' : messageOf(thrown)
      const what = `Cannot serve generation ${number}, which served last`
      if (!signal.aborted) this.#options.log.error(`${what}: ${reason}`)
      return false
    }
    // Until then the settings are those that the listeners were opened with.
    this.#committed({ candidate, settings })
    return true
  }

  /** Nothing serves yet, and nothing but the last generation itself is what changes are compared with. */
  get #standIn(): StandIn | null {
    const reference = this.#reference
    const mayServe = this.#options.hasFallback && this.live === 0 && this.#former === null
    if (!mayServe || reference === null) return null
    const serve: StandIn['serve'] = async (missing, signal) => {
      const serves = await this.#serveReference(reference, signal)
      if (serves) this.#options.onStoodIn(reference.candidate.plan.number, missing)
      return serves
    }
    return { reference, serve }
  }

  #committed({ candidate, settings }: Reference): void {
    const previous = this.#isServing ? this.#reference : null
    const reference = { candidate, settings: { ...settings, workers: this.#workerCount } }
    this.#reference = reference
    this.#former = null
    this.#adopted = null
    this.#isServing = true
    this.#progress.show(candidate.lifecycle)
    tell(this.#options, ({ onCommitted }) => onCommitted(reference, previous))
  }

  #ground(): ChangeGround {
    const { workshop, log, trials, workers, master, findMoves, newLifecycle } = this.#options
    return {
      ...workshop,
      log,
      trials,
      workers,
      master,
      reference: this.#reference,
      former: this.#former,
      isServing: this.#isServing,
      live: this.livePlan,
      standIn: this.#standIn,
      workerCount: this.#workerCount,
      findMoves,
      onWait: (wait) => {
        this.#wait = wait
      },
      newLifecycle: () => this.#progress.begin(newLifecycle()),
      onPrepared: () => this.#progress.showBegun(),
    }
  }
}
