import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { LOGS_FOLDER } from '../base/own-folders.ts'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { stopBuildService } from '../control-plane/build.ts'
import { BuildCache } from '../control-plane/build-cache.ts'
import type { MasterPort, Reference } from '../control-plane/change.ts'
import { ChangeEngine } from '../control-plane/change-engine.ts'
import { gatewayRequest } from '../control-plane/change-queue.ts'
import { controlSocketPath } from '../control-plane/control-path.ts'
import { ControlServer } from '../control-plane/control-server.ts'
import { DrainingGenerations } from '../control-plane/draining-generations.ts'
import { FaultPolicy } from '../control-plane/fault-policy.ts'
import type { Workshop } from '../control-plane/gather.ts'
import { Housekeeping } from '../control-plane/housekeeping.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { logMistake, logStep } from '../control-plane/lifecycle-log.ts'
import { NodeKeeper } from '../control-plane/node-services/node-keeper.ts'
import { Operations } from '../control-plane/operations.ts'
import { type Recollection, recollect } from '../control-plane/recollect.ts'
import { outlineOf } from '../control-plane/record.ts'
import { logReport } from '../control-plane/report.ts'
import { logStanding } from '../control-plane/standing.ts'
import { settingsForStart } from '../control-plane/start-settings.ts'
import { StatusBoard } from '../control-plane/status-board.ts'
import { EventLog } from '../control-plane/store/event-log.ts'
import { Fingerprints } from '../control-plane/store/fingerprint.ts'
import { lockFolder } from '../control-plane/store/folder-lock.ts'
import { GenerationStore } from '../control-plane/store/generation-store.ts'
import { summarise } from '../control-plane/summary.ts'
import { TrialRunner } from '../control-plane/trial-runner.ts'
import { Watch } from '../control-plane/watch.ts'
import { WatchedFiles } from '../control-plane/watched-files.ts'
import type { Workers } from '../control-plane/workers.ts'
import { findRouteProblems } from '../data-plane/routing/conflicts.ts'
import { findTrafficMoves } from '../data-plane/routing/traffic-moves.ts'
import type { GatewayLog } from '../observe/log.ts'
import { bundleMapper } from '../plugin-host/load.ts'
import type { ChangeReport, ControlEvent } from '../protocol/control.ts'
import type { GatewaySettings, GenerationPlan, ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress, LostAddress } from '../protocol/listen-address.ts'
import type { ReadySummary, RunningGateway, ServeOptions } from '../protocol/master-supervisor.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { childEntryFile, childFlags } from './child-slot.ts'
import { configText, directoryOf } from './serve-source.ts'
import { StartOutcome } from './start-outcome.ts'
import { within } from './within.ts'

/** The parts of the supervisor, and how they are wired: this is the only place that knows all of them. */

export interface ControlRoomOptions {
  readonly serve: ServeOptions
  readonly log: GatewayLog
  readonly workers: Workers
  readonly masterPid: number
  /** Unix time of the gateway's start, milliseconds. */
  readonly startedAt: number
  readonly master: MasterPort & {
    /** Opens the first listeners, and starts the workers. Throws LISTEN_FAILED. */
    open(settings: GatewaySettings): Promise<void>
    /** As `stageListeners`, for what is decided: what cannot be opened now is tried again once it is committed. */
    stageDecided(listeners: readonly ListenerPlan[]): Promise<void>
    ready(summary: ReadySummary): void
  }
  addresses(): readonly ListenAddress[]
  lostAddresses(): readonly LostAddress[]
}

/** What no worker's question is. */
type Notice = Exclude<WorkerToSupervisor, { readonly id: number }>

export class ControlRoom {
  readonly #options: ControlRoomOptions
  readonly #workshop: Workshop
  readonly #store: GenerationStore
  readonly #events: EventLog
  readonly #trials: TrialRunner
  readonly #engine: ChangeEngine
  readonly #faults: FaultPolicy
  readonly #control: ControlServer
  readonly #watch: Watch
  readonly #files: WatchedFiles
  readonly #draining: DrainingGenerations
  readonly #housekeeping: Housekeeping
  readonly #outcome: StartOutcome
  /** From when it is known how many workers there are. */
  #nodes: NodeKeeper | null = null
  #isClosed = false

  private constructor(options: ControlRoomOptions, store: GenerationStore, events: EventLog) {
    const { serve, log, workers, master, startedAt, addresses, lostAddresses } = options
    this.#draining = new DrainingGenerations(workers, () => store.numbers())
    const fingerprints = new Fingerprints()
    this.#options = options
    this.#store = store
    this.#events = events
    this.#workshop = {
      source: serve.source,
      debug: serve.debug,
      quiet: serve.quiet,
      store,
      fingerprints,
      builds: new BuildCache(fingerprints),
      findRouteProblems,
    }
    this.#trials = new TrialRunner({
      entryFile: childEntryFile('trial.ts'),
      flags: childFlags('trial.ts'),
      log,
      mapStack: (bundle, error) => bundleMapper(bundle).mapStack(error),
    })
    this.#engine = new ChangeEngine({
      workshop: this.#workshop,
      log,
      trials: this.#trials,
      workers,
      master,
      hasFallback: !serve.strict,
      findMoves: findTrafficMoves,
      lookAtFiles: () => this.#watch.look(),
      onReport: (report) => this.#onReport(report),
      onStoodIn: (generation, missing) => this.#outcome.stoodIn(generation, missing),
      onCommitted: (reference, previous) => this.#onCommitted(reference, previous),
      newLifecycle: () => this.#newLifecycle(),
    })
    const engine = this.#engine
    const onEvent = this.#onEvent.bind(this)
    this.#outcome = new StartOutcome({ serve, log, onEvent })
    this.#housekeeping = new Housekeeping({ store, log, draining: this.#draining, engine })
    const faults = new FaultPolicy({ engine, workers, store, log, onEvent })
    this.#faults = faults
    const directory = directoryOf(serve.source)
    const folder = join(directory, '.cardea')
    const config = serve.source.kind === 'file' ? serve.source.file : null
    const shown = { engine, workers, faults, store, events, startedAt, directory, config }
    const operations = new Operations({
      engine,
      store,
      board: new StatusBoard({ ...shown, addresses, lostAddresses }),
      configText: () => configText(serve.source),
    })
    this.#control = new ControlServer({
      path: controlSocketPath(directory),
      log,
      handle: (command, who, signal) => operations.handle(command, { who, signal }),
      waiting: () => engine.waiting,
      onTracing: (on) => workers.trace(on),
      onRemoved: () => lockFolder(folder, options.masterPid).then(() => this.#nodes?.restore()),
    })
    this.#watch = new Watch({
      log,
      onQuiet: (files, firstSignAt) =>
        void this.#engine.request({ cause: { kind: 'files', files }, who: 'files', firstSignAt }),
    })
    this.#files = new WatchedFiles(this.#watch, serve.source)
  }

  /** Throws STORE_LOCKED when another gateway runs in this folder, and STORE_WRITE_FAILED. */
  static async open(options: ControlRoomOptions): Promise<ControlRoom> {
    const directory = join(directoryOf(options.serve.source), '.cardea')
    await lockFolder(directory, options.masterPid)
    const store = await GenerationStore.open(directory)
    for (const { message } of store.damages()) options.log.error(message)
    // Reading all records takes a moment, which nobody shall wait for when a plugin has to be taken back.
    store.history(1).catch((thrown) => options.log.warn(`Cannot read the history: ${messageOf(thrown)}`))
    const events = await EventLog.open(directory, (message) => options.log.warn(message))
    store.countOnFrom(events.lastCommitted)
    return new ControlRoom(options, store, events)
  }

  /**
   * From the files to a gateway that serves: what they say, else what served last, else 503 until they are mended. Throws
   * when the listeners cannot be opened or the workers not be started; with `strict` also when the files cannot be served.
   */
  async start(): Promise<void> {
    const { workers, master } = this.#options
    this.#engine.recall(await this.#recollect(null))
    const settings = await settingsForStart(this.#workshop, this.#engine)
    this.#options.log.apply(settings.log)
    this.#trials.warm()
    this.#keepNodeServices(settings.workers)
    await master.open(settings)
    this.#engine.opened(settings)
    await workers.haveReached('started', settings.workers)
    await this.#openDoors()
    const asked = this.#engine.request(gatewayRequest({ kind: 'start' }))
    await this.#outcome.known(asked, () => this.#engine.live)
    await workers.haveReached('listening', settings.workers)
    const serving = this.#engine.isServing ? this.#engine.reference?.candidate : undefined
    if (serving !== undefined) logStanding(serving, this.#store.latest(), this.#options.log)
    master.ready(
      serving === undefined
        ? { generation: 0, workers: settings.workers, routes: [] }
        : { ...summarise(serving.plan), workers: settings.workers },
    )
  }

  /**
   * After a supervisor that died: whatever it was about, all workers serve what was decided last, or begin to. Then the
   * files are looked at, since nobody watched them meanwhile.
   */
  async takeOver({ plan, settings }: RunningGateway, faults: () => RunningGateway['faults']): Promise<void> {
    const { log, workers, master } = this.#options
    log.apply(settings.log)
    this.#keepNodeServices(settings.workers)
    for (const worker of workers.numbers) this.workerSpawned(worker)
    await workers.recount()
    // Whoever watched the predecessor asks again.
    workers.trace(false)
    const recollection = await this.#recollect(plan)
    if (plan === null) {
      master.discardListeners()
      this.#engine.recall(recollection)
      this.#engine.opened(settings)
    } else {
      this.#engine.adopt(recollection, plan, settings.workers)
      await this.#adopted(recollection.reference, plan)
      this.#faults.takeOver(faults())
    }
    await this.#openDoors()
    this.#trials.warm()
    await this.#engine.request(gatewayRequest({ kind: 'recovery' }))
  }

  /** What was decided last is what all serve, or `running`, which the master has, where that cannot be made again. */
  async #adopted(reference: Reference | null, running: GenerationPlan): Promise<void> {
    const { log, workers, master } = this.#options
    const plan = reference?.candidate.plan ?? running
    const isUnknown = plan.number !== running.number
    // What the predecessor opened for a change is open still: this one needs it, or it must not go live with the next one.
    if (isUnknown) {
      await master.stageDecided(plan.settings.listeners)
      await master.commit(plan)
    } else master.discardListeners()
    for (const { worker, reason } of (await workers.commit(plan)).failed) master.replaceWorker(worker, reason)
    if (reference === null) return
    const { quarantined } = reference.candidate.overlay.controls
    if (isUnknown) reference.candidate.lifecycle.committed(plan, quarantined)
    this.#faults.committed(reference)
    this.#keepOutline(reference)
    log.info(`Adopted generation ${plan.number}`, { workers: workers.numbers })
  }

  workerSpawned(worker: number): void {
    this.#nodes?.workerSpawned(worker)
  }

  /** One that started while a generation was committed may serve the one before, or nothing. */
  workerStarted(worker: number): void {
    const { workers, master } = this.#options
    const plan = workers.missedBy(worker, this.#engine.livePlan)
    if (plan === null) return
    workers.catchUp(worker, plan).catch((thrown) => master.replaceWorker(worker, messageOf(thrown)))
  }

  /** What its guards say counts no more: its successor has its own. */
  workerRetiring(worker: number, as: number): void {
    this.#faults.workerEnded(worker)
    this.#nodes?.workerRetiring(worker, as)
    this.#onEvent({ kind: 'worker', at: Date.now(), worker, text: 'is being replaced' })
    this.#draining.check()
  }

  workerEnded(worker: number, reason: string): void {
    this.#faults.workerEnded(worker)
    if (!this.#isClosed) this.#onEvent({ kind: 'worker', at: Date.now(), worker, text: `ended: ${reason}` })
    this.#draining.check()
  }

  workerSaid(worker: number, message: Notice): void {
    switch (message.kind) {
      case 'retired':
        this.#options.workers.retired(worker, message.generation)
        this.#draining.check()
        break
      case 'fault':
        this.#faults.onFault(worker, message.event)
        break
      case 'trace':
      case 'skipped':
        this.#control.broadcast(message)
        break
      case 'node':
        this.#nodes?.request(worker, message.request)
        break
    }
  }

  /** A change that is under way has steps of its own. */
  get #serving(): PluginLifecycle {
    return this.#engine.reference?.candidate.lifecycle ?? this.#engine.plugins
  }

  /** The gateway ends: nothing changes any more. */
  drain(): void {
    this.#isClosed = true
    this.#engine.close()
    this.#serving.draining()
    void this.#watch.close()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#engine.close()
    this.#faults.close()
    this.#housekeeping.close()
    const { workers } = this.#options
    for (const worker of workers.numbers) workers.ended(worker, 'the gateway ends')
    this.#serving.stopped()
    await Promise.allSettled([
      this.#watch.close(),
      this.#control.close(),
      this.#trials.close(),
      this.#nodes?.close(),
      this.#store.close(),
      stopBuildService(),
      this.#events[Symbol.asyncDispose](),
    ])
  }

  #newLifecycle(): PluginLifecycle {
    const { log } = this.#options
    return new PluginLifecycle(
      (plugin) => logStep(log, plugin),
      (mistake) => logMistake(log, mistake),
    )
  }

  #recollect(running: GenerationPlan | null): Promise<Recollection> {
    const { log } = this.#options
    return recollect({
      workshop: this.#workshop,
      log,
      running,
      newLifecycle: () => this.#newLifecycle(),
    })
  }

  #keepOutline({ candidate }: Reference): void {
    const kept = this.#store.keepOutline(outlineOf(candidate, this.#workshop))
    kept.catch((thrown) => this.#options.log.warn(messageOf(thrown)))
  }

  #keepNodeServices(workers: number): void {
    const directory = directoryOf(this.#options.serve.source)
    this.#nodes = new NodeKeeper({
      directory: join(directory, '.cardea'),
      logsDirectory: join(directory, LOGS_FOLDER),
      workers,
      log: this.#options.log,
      send: (worker, answer) => this.#options.workers.send(worker, { kind: 'node', answer }),
    })
  }

  async #openDoors(): Promise<void> {
    if (this.#isClosed) return
    try {
      await this.#control.open()
    } catch (thrown) {
      // A gateway without its command line serves all the same.
      this.#options.log.error(`The control socket cannot be opened: ${messageOf(thrown)}`)
    }
    // A folder in which something is written all the time is never at rest; its events come all the same.
    await within(this.#watchFiles(), WATCH_LIMITS.readyTimeoutMs)
  }

  #watchFiles(): Promise<void> {
    return this.#files.serve(this.#engine.reference?.candidate.config ?? null)
  }

  #onReport(report: ChangeReport): void {
    const { live } = this.#engine
    const { quiet, strict } = this.#options.serve
    // A strict start ends with its report, for the person who made it.
    if (!quiet && (live > 0 || !strict)) logReport(this.#options.log, report, live)
    this.#onEvent({ kind: 'change', report })
    void this.#files.pend(this.#engine.pending !== null)
  }

  #onCommitted(reference: Reference, previous: Reference | null): void {
    this.#options.log.apply(reference.settings.log)
    this.#faults.committed(reference)
    this.#keepOutline(reference)
    void this.#watchFiles()
    if (previous !== null) {
      const { lifecycle, plan } = previous.candidate
      this.#draining.add(plan.number, lifecycle)
    }
    this.#housekeeping.committed(reference.settings.changes)
  }

  #onEvent(event: ControlEvent): void {
    if (event.kind !== 'trace' && event.kind !== 'skipped') this.#events.append(event)
    this.#control.broadcast(event)
  }
}
