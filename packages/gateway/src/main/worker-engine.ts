import { join } from 'node:path'
import { GatewayError, messageOf } from '../base/errors.ts'
import { nextTurn } from '../base/next-turn.ts'
import { machineClock } from '../base/node-clock.ts'
import { LOGS_FOLDER } from '../base/own-folders.ts'
import { isMarkOf, NOBODY, runningMark } from '../base/running-mark.ts'
import { inSlices } from '../base/steps.ts'
import { PLUGIN_LIMITS, PROCESS_LIMITS } from '../config/limits.ts'
import { DataPlane, type StagedGeneration } from '../data-plane/data-plane.ts'
import { createLog, type GatewayLog } from '../observe/log.ts'
import { SYSTEM } from '../plugin-host/host.ts'
import { InstancePool } from '../plugin-host/instance-pool.ts'
import { NodeClient } from '../plugin-host/node-services/node-client.ts'
import type { DrainBounds } from '../protocol/drain-bounds.ts'
import type { Failure } from '../protocol/failure.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { StagedInstances } from '../protocol/instance.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import type { MasterToWorker } from '../protocol/master-worker.ts'
import type { NodeAnswer } from '../protocol/node-services.ts'
import type { SlimPlan } from '../protocol/slim-plan.ts'
import type { PluginStateCopy, WorkerCensus, WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { logBreaker } from './breaker-log.ts'
import { LooseFailures } from './loose-failures.ts'
import { openFilesMax } from './open-files.ts'
import { StallRecovery } from './stall-recovery.ts'
import { markStep, type Staging, type Suspect, suspectsOf } from './suspects.ts'
import { exitOf, type Uncaught, uncaughtOf } from './uncaught.ts'
import { Watchdog } from './watchdog.ts'
import { within } from './within.ts'

/** The parts of a worker, and how they are wired: this is the only place that knows all of them. */

export interface WorkerEngineOptions {
  readonly start: MasterToWorker & { readonly kind: 'start' }
  /** Gets what is for the supervisor. */
  tell(message: WorkerToSupervisor): void
  /** Told each generation that was live and of which nothing is left. */
  onRetired(generation: number): void
  /** A plugin blocked the event loop and was ended, or threw where nobody catches it. */
  onHarmed(error: GatewayError): void
}

export class WorkerEngine {
  readonly #dataPlane: DataPlane
  readonly #pool: InstancePool
  readonly #loose: LooseFailures
  readonly #node: NodeClient
  readonly #log: GatewayLog
  readonly #onRetired: (generation: number) => void
  readonly #onHarmed: (error: GatewayError) => void
  readonly #watchdog: Watchdog
  readonly #recovery: StallRecovery
  readonly #tell: WorkerEngineOptions['tell']
  /** What code was refused that wanted to end the process. */
  readonly #refused = new WeakSet<GatewayError>()
  /** Nobody knew whose code that was, which is said once: a timer would say it for ever. */
  #hasRefusedUnknown = false
  /** Hashes of code that threw where nobody catches it, or was refused the end of the process, as far as frames show them. */
  readonly #uncaught = new Set<string>()
  /** The one that is being staged, and what gives it up. */
  #staging: Staging | null = null
  #staged: (StagedGeneration & { readonly staging: Staging }) | null = null
  /** Why the generation that was staged last is not to be committed, where an instance that it started did harm since. */
  #spoiled: { readonly generation: number; readonly error: GatewayError } | null = null
  /** What was committed here and is not retired, with its number: one of that number that was discarded may stop later. */
  readonly #unretired = new Map<StagedInstances, number>()
  #generation = 0
  #committedAt = 0
  #isDraining = false

  constructor({ start, tell, onRetired, onHarmed }: WorkerEngineOptions) {
    const { worker: number, settings, directory } = start
    this.#onHarmed = onHarmed
    this.#tell = tell
    this.#log = createLog({ settings: settings.log, process: 'worker', workerNumber: number })
    this.#dataPlane = new DataPlane({
      settings,
      log: this.#log,
      workerNumber: number,
      openFilesMax: openFilesMax(),
      onFault: (event) => {
        logBreaker(event, this.#log.events)
        tell({ kind: 'fault', event })
      },
      onTrace: (trace) => tell({ kind: 'trace', trace }),
    })
    this.#node = new NodeClient({
      workers: settings.workers,
      logs: join(directory, LOGS_FOLDER),
      log: this.#log,
      send: (request) => tell({ kind: 'node', request }),
    })
    this.#pool = new InstancePool({
      log: this.#log.plugins,
      surroundings: { ...SYSTEM, node: this.#node, onFailure: (failure) => this.#loose.onFailure(failure) },
      onStep: (instance) => markStep(instance, this.#pool.living, this.#staging),
    })
    this.#loose = new LooseFailures({
      log: this.#log,
      dataPlane: this.#dataPlane,
      living: () => this.#pool.living,
      searched: () => ({ suspects: this.#suspects, stopped: this.#stopped }),
    })
    this.#onRetired = onRetired
    this.#recovery = new StallRecovery({
      log: this.#log,
      faultLog: this.#log.events,
      dataPlane: this.#dataPlane,
      suspects: () => this.#suspects,
      onFault: (event) => tell({ kind: 'fault', event }),
      onRecovered: (error, blamed) => this.#harmed(error, blamed),
    })
    this.#watchdog = new Watchdog({
      log: this.#log,
      onSeized: (stall, ...stack) => this.#recovery.seize(stall, stack),
      onEnded: () => this.#recovery.recover(),
      onPassed: (stall) => this.#recovery.notePassed(stall),
    })
  }

  /** The number of the committed one; 0 before the first. */
  get generation(): number {
    return this.#generation
  }

  /** What `stage` takes; null when the plan names what this worker does not have. */
  whole(plan: SlimPlan): GenerationPlan | null {
    return this.#pool.whole(plan)
  }

  /**
   * Makes everything of a generation that may fail, in place of one that was staged before, and lets requests have their
   * turns meanwhile: it takes longer than all that they need themselves. Throws what `stage` of its parts throws.
   */
  async stage(plan: GenerationPlan): Promise<void> {
    this.#giveUpStaging('another generation is to be staged')
    const { promise: failed, reject } = Promise.withResolvers<never>()
    const before = new Set(this.#pool.living.map(({ plan }) => plan.key))
    const giveUp = new AbortController()
    const fail = (error: GatewayError): void => {
      reject(error)
      giveUp.abort(error)
    }
    const staging = { plan, giveUp, before, fail }
    this.#staging = staging
    try {
      if (plan.instances.length > 0) await this.#watchdog.start(plan.settings.faults.stallMs)
      // Given up by then, it would connect to what nobody lets go of, in place of what its successor connects to.
      giveUp.signal.throwIfAborted()
      await this.#node.prepare(plan.settings.state)
      await nextTurn()
      // Until the last step: what has started may fail of its own accord while routes are compiled.
      const staged = await Promise.race([this.#make(plan, giveUp.signal), failed])
      this.#staged = { ...staged, staging }
    } finally {
      if (this.#staging === staging) {
        this.#staging = null
        // It failed: nobody needs what it has connected to.
        if (this.#staged === null) this.#node.discard()
      }
    }
  }

  /** Its instances, then its routes. Nothing is held when it throws, also when nobody waits for it any more. */
  async #make(plan: GenerationPlan, signal: AbortSignal): Promise<StagedGeneration> {
    const staged = await this.#compile(plan, await this.#pool.stage(plan, signal), signal)
    // Whose fault it is that something was ended a moment ago is told in a later turn.
    await this.#recovery.recovering
    if (!signal.aborted) return staged
    this.#dataPlane.discard(staged)
    throw signal.reason
  }

  async #compile(
    plan: GenerationPlan,
    held: StagedInstances,
    signal: AbortSignal,
  ): Promise<StagedGeneration> {
    try {
      await nextTurn()
      const owned: StagedInstances = {
        ...held,
        release: () => held.release().then(() => this.#retire(owned)),
      }
      const steps = this.#dataPlane.stage(plan, owned)
      return await inSlices(steps, PROCESS_LIMITS.stageSliceMs, signal)
    } catch (thrown) {
      await held.release()
      throw thrown
    }
  }

  #retire(owned: StagedInstances): void {
    const generation = this.#unretired.get(owned)
    if (this.#unretired.delete(owned) && generation !== undefined) this.#onRetired(generation)
  }

  /** Why that generation cannot be committed although it was staged; null for any other. */
  async spoiledBy(generation: number): Promise<GatewayError | null> {
    // What was read while a plugin blocked, such as a commit, comes before the word of the watchdog that it has ended it.
    await this.#recovery.recovering
    return this.#spoiled?.generation === generation ? this.#spoiled.error : null
  }

  /** From here on new exchanges run on the staged generation. Returns when by `machineClock`, also when that was before. */
  commit(generation: number): number {
    if (generation === this.#generation) return this.#committedAt
    const staged = this.#staged
    if (staged?.generation.number !== generation) {
      throw new GatewayError('INTERNAL_ERROR', `Cannot commit generation ${generation}: it is not staged`)
    }
    this.#staged = null
    this.#unretired.set(staged.held, generation)
    this.#dataPlane.commit(staged)
    this.#committedAt = machineClock.nowMs()
    this.#generation = generation
    const { log, faults, state } = staged.generation.settings
    this.#node.commit(state)
    this.#log.apply(log)
    this.#watchdog.apply(faults.stallMs)
    return this.#committedAt
  }

  /** Nothing happens unless that one is staged, or about to be. */
  discard(generation: number): void {
    const number = this.#staging?.plan.number ?? this.#staged?.generation.number
    if (number === generation) this.#giveUpStaging('it was discarded')
  }

  census(): WorkerCensus {
    return this.#dataPlane.census()
  }

  trace(on: boolean): void {
    this.#dataPlane.setTracing(on)
  }

  /** Here too none of its tasks runs any more: what made one fail in another worker would come over this one next. */
  quarantine(key: string): void {
    this.#dataPlane.quarantine(key)
    this.#pool.quarantine(key)
  }

  onNodeAnswer(answer: NodeAnswer): void {
    this.#node.receive(answer)
  }

  reopenLogs(): void {
    this.#node.reopenSinks()
  }

  /** The process ends at once: what sinks hold is written. */
  flushSync(): void {
    this.#node.flushSync()
  }

  /** After `flushSync` or `stopInstances`: see `MasterChannel.sendLast`. */
  get isStuck(): boolean {
    return this.#node.isStuck
  }

  states(plugins: readonly string[]): readonly PluginStateCopy[] {
    return this.#pool.states(plugins)
  }

  listen(handle: ListenHandle, address: ListenAddress): void {
    if (this.#isDraining) handle.close()
    else this.#dataPlane.accept(handle, address)
  }

  unlisten(address: ListenAddress): void {
    this.#dataPlane.stopAccepting(address)
  }

  /** Returns the exchanges that the deadline cut. */
  async drain(bounds: DrainBounds): Promise<number> {
    this.#isDraining = true
    const { cutExchanges } = await this.#dataPlane.drain(bounds.deadlineMs, bounds)
    this.#loose.report()
    return cutExchanges
  }

  /** `flushMs`: how long what they logged last may take to be written. */
  async stopInstances(flushMs: number): Promise<void> {
    this.#giveUpStaging('the worker ends')
    const closed = this.#pool.close()
    if (this.#recovery.hasEndedAny) await within(closed, PLUGIN_LIMITS.stopTimeoutMs)
    else await closed
    await this.#node.close(flushMs)
    for (const owned of this.#unretired.keys()) this.#retire(owned)
  }

  /** An exception that nobody caught, with its stack mapped if it came from a plugin. */
  report(message: string, thrown: unknown): void {
    if (!(thrown instanceof Error)) {
      this.#log.error(message, { error: messageOf(thrown) })
      return
    }
    const mapped = this.#pool.mapStack(thrown)
    this.#log.error(message, mapped ?? { stack: thrown.stack })
  }

  /** A promise was rejected and nobody waits for it. */
  onRejected(thrown: unknown): void {
    this.#loose.onRejected(thrown)
  }

  /**
   * An exception that nobody caught. Where a plugin's code threw it none of its hooks is called from now on, and what else
   * runs here goes on until the worker is replaced. Returns false where nobody knows whose it is: the process must end then.
   */
  onUncaught(thrown: unknown): boolean {
    const uncaught = uncaughtOf(thrown, this.#suspects, this.#stopped)
    // Nothing was left half done by a call that was refused, whoever made it.
    if (uncaught === null) return thrown instanceof GatewayError && this.#refused.has(thrown)
    this.#onHarm('uncaught', uncaught, messageOf(thrown))
    return true
  }

  /**
   * Code that runs here wanted to end the process, and is refused that by this error: the same follows, for whoever's code is on
   * the stack. Of several instances of that code it is the one whose hook runs, where one does.
   */
  onExitRefused(refused: GatewayError): void {
    const isRunning = ({ plan }: Suspect): boolean => isMarkOf(runningMark[0] ?? NOBODY, plan.key)
    const suspects = this.#suspects.toSorted((a, b) => Number(isRunning(b)) - Number(isRunning(a)))
    const found = exitOf(refused, suspects, this.#stopped)
    this.#refused.add(refused)
    if (found === null) {
      if (!this.#hasRefusedUnknown) this.report('Nobody knows whose code wanted to end the worker', refused)
      this.#hasRefusedUnknown = true
      return
    }
    const running = found.culprits.filter(isRunning)
    const culprits = running.length > 0 ? running : found.culprits
    this.#onHarm('exit', { ...found, culprits }, refused.message)
  }

  /** `what`: of the error, without whose it is. */
  #onHarm(kind: 'uncaught' | 'exit', { error, frame, codeHash, culprits }: Uncaught, what: string): void {
    // A timer throws again and again until the process ends.
    if (this.#uncaught.has(codeHash)) return
    this.#uncaught.add(codeHash)
    const { code, message, plugin, stack = null } = error
    // Of one that was stopped nothing is told.
    const log = culprits.length === 0 ? this.#log : this.#log.events
    log.error(message, { code, plugin, stack, ...(frame !== null && { frame }) })
    const failure = { code, message: what, plugin, stack, frame }
    for (const { plan } of culprits) {
      const { key, name: instance, plugin } = plan
      this.#dataPlane.quarantine(key)
      this.#tell({ kind: 'fault', event: { kind, key, instance, plugin, failure } })
    }
    this.#harmed(error, new Set(culprits.map(({ plan }) => plan.key)))
  }

  /** `keys`: of the instances that did it. What they were started for must not go live. */
  #harmed(error: GatewayError, keys: ReadonlySet<string>): void {
    const staging = this.#staging ?? this.#staged?.staging
    // Also one that has started, while others do or routes are compiled.
    if (!staging?.plan.instances.some(({ key }) => keys.has(key) && !staging.before.has(key))) {
      this.#onHarmed(error)
      return
    }
    if (staging === this.#staging) staging.fail(error)
    else {
      this.#giveUpStaging(error.message)
      this.#spoiled = { generation: staging.plan.number, error }
    }
    // Whoever staged hears first why that failed.
    setImmediate(() => this.#onHarmed(error))
  }

  reportFailure(failure: Failure): void {
    this.#log.error(failure.message, { code: failure.code, plugin: failure.plugin, stack: failure.stack })
  }

  /** Hashes of code that may be nobody's by now: what threw before, too, such as code whose stage has failed. */
  get #stopped(): ReadonlySet<string> {
    return new Set([...this.#pool.stopped, ...this.#uncaught])
  }

  get #suspects(): readonly Suspect[] {
    return suspectsOf(this.#pool.living, this.#staging)
  }

  #giveUpStaging(reason: string): void {
    this.#staging?.giveUp.abort(new Error(`Given up: ${reason}`))
    this.#staging = null
    this.#spoiled = null
    const staged = this.#staged
    this.#staged = null
    this.#node.discard()
    if (staged !== null) this.#dataPlane.discard(staged)
  }
}
