import { join } from 'node:path'
import { GatewayError, messageOf } from '../base/errors.ts'
import { LOGS_FOLDER } from '../base/own-folders.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import { DataPlane, type StagedGeneration } from '../data-plane/data-plane.ts'
import { createLog, type GatewayLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { SYSTEM } from '../plugin-host/host.ts'
import { InstancePool } from '../plugin-host/instance-pool.ts'
import { NodeClient } from '../plugin-host/node-services/node-client.ts'
import { type Failure, failureOf } from '../protocol/failure.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { StagedInstances } from '../protocol/instance.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import type { MasterToWorker, WorkerToMaster } from '../protocol/master-worker.ts'
import type { NodeAnswer } from '../protocol/node-services.ts'
import type {
  PluginStateCopy,
  SupervisorToWorker,
  WorkerCensus,
  WorkerToSupervisor,
} from '../protocol/supervisor-worker.ts'
import { childOfMaster } from './child-of-master.ts'
import { StallRecovery } from './stall-recovery.ts'
import { markStep, type Staging, type Suspect, suspectsOf } from './suspects.ts'
import { Watchdog } from './watchdog.ts'
import { within } from './within.ts'

/**
 * A worker carries the traffic: sockets, HTTP, chains, upstream connections. It does what master and supervisor ask and
 * decides nothing; when it is in doubt about itself it dies, and the master starts another on the committed generation.
 */

interface WorkerOptions {
  readonly start: MasterToWorker & { readonly kind: 'start' }
  /** Told each generation that was live and of which nothing is left. */
  onRetired(generation: number): void
  /** A plugin blocked the event loop and was ended. */
  onStalled(error: GatewayError): void
}

class Worker {
  readonly #dataPlane: DataPlane
  readonly #pool: InstancePool
  readonly #node: NodeClient
  readonly #log: GatewayLog
  readonly #onRetired: (generation: number) => void
  readonly #onStalled: (error: GatewayError) => void
  readonly #watchdog: Watchdog
  readonly #recovery: StallRecovery
  /** A plugin was ended: promises of ours may never settle. */
  #hasStalled = false
  /** The one that is being staged, and what gives it up. */
  #staging: Staging | null = null
  #staged: StagedGeneration | null = null
  /** What was committed here and is not retired yet. */
  readonly #unretired = new Set<number>()
  #generation = 0
  #committedAt = 0
  #isDraining = false

  constructor({ start, onRetired, onStalled }: WorkerOptions) {
    const { worker: number, settings, directory } = start
    this.#onStalled = onStalled
    this.#log = createLog({ settings: settings.log, process: 'worker', workerNumber: number })
    this.#dataPlane = new DataPlane({
      settings,
      log: this.#log,
      workerNumber: number,
      onFault: (event) => relay({ kind: 'fault', event }),
      onTrace: (trace) => relay({ kind: 'trace', trace }),
    })
    this.#node = new NodeClient({
      workers: settings.workers,
      logs: join(directory, LOGS_FOLDER),
      log: this.#log,
      send: (request) => relay({ kind: 'node', request }),
    })
    this.#pool = new InstancePool({
      log: this.#log,
      surroundings: { ...SYSTEM, node: this.#node },
      onStep: (instance) => markStep(instance, this.#suspects),
    })
    this.#onRetired = onRetired
    this.#recovery = new StallRecovery({
      log: this.#log,
      dataPlane: this.#dataPlane,
      suspects: () => this.#suspects,
      onFault: (event) => relay({ kind: 'fault', event }),
      onRecovered: (error, blamed) => this.#onRecovered(error, blamed),
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

  /**
   * Makes everything of a generation that may fail, in place of one that was staged before. Throws what
   * `InstancePool.stage` and `DataPlane.stage` throw.
   */
  async stage(plan: GenerationPlan): Promise<StagedInstances> {
    this.#giveUpStaging('another generation is to be staged')
    const { promise: failed, reject: fail } = Promise.withResolvers<never>()
    const staging = { plan, giveUp: new AbortController(), fail }
    this.#staging = staging
    try {
      if (plan.instances.length > 0) await this.#watchdog.start(plan.settings.faults.stallMs)
      await this.#node.prepare(plan.settings.state)
      const held = await Promise.race([this.#pool.stage(plan, staging.giveUp.signal), failed])
      this.#staged = await this.#compile(plan, held)
      return held
    } finally {
      if (this.#staging === staging) {
        this.#staging = null
        // It failed: nobody needs what it has connected to.
        if (this.#staged === null) this.#node.discard()
      }
    }
  }

  async #compile(plan: GenerationPlan, held: StagedInstances): Promise<StagedGeneration> {
    try {
      return this.#dataPlane.stage(plan, { ...held, release: () => this.#release(plan.number, held) })
    } catch (thrown) {
      await held.release()
      throw thrown
    }
  }

  async #release(generation: number, held: StagedInstances): Promise<void> {
    await held.release()
    this.#retire(generation)
  }

  #retire(generation: number): void {
    if (this.#unretired.delete(generation)) this.#onRetired(generation)
  }

  /**
   * From here on new exchanges run on the staged generation. Returns when it was committed, also when that was before:
   * Unix time in milliseconds.
   */
  commit(generation: number): number {
    if (generation === this.#generation) return this.#committedAt
    const staged = this.#staged
    if (staged?.generation.number !== generation) {
      throw new GatewayError('INTERNAL_ERROR', `Cannot commit generation ${generation}: it is not staged`)
    }
    this.#staged = null
    this.#unretired.add(generation)
    this.#dataPlane.commit(staged)
    this.#committedAt = performance.timeOrigin + performance.now()
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

  quarantine(key: string): void {
    this.#dataPlane.quarantine(key)
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
  async drain(deadlineMs: number, idleGraceMs: number): Promise<number> {
    this.#isDraining = true
    const { cutExchanges } = await this.#dataPlane.drain(deadlineMs, idleGraceMs)
    return cutExchanges
  }

  async stopInstances(): Promise<void> {
    this.#giveUpStaging('the worker ends')
    const closed = this.#pool.close()
    if (this.#hasStalled) await within(closed, PLUGIN_LIMITS.stopTimeoutMs)
    else await closed
    await this.#node.close()
    for (const generation of this.#unretired) this.#retire(generation)
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

  reportFailure(failure: Failure): void {
    this.#log.error(failure.message, { code: failure.code, plugin: failure.plugin, stack: failure.stack })
  }

  get #suspects(): readonly Suspect[] {
    return suspectsOf(this.#pool.living, this.#staging)
  }

  #onRecovered(error: GatewayError, blamed: ReadonlySet<string>): void {
    this.#hasStalled = true
    const living = new Set(this.#pool.living.map(({ plan }) => plan.key))
    const isStarting = this.#staging?.plan.instances.some(({ key }) => blamed.has(key) && !living.has(key))
    if (isStarting === true) this.#staging?.fail(error)
    this.#onStalled(error)
  }

  #giveUpStaging(reason: string): void {
    this.#staging?.giveUp.abort(new Error(`Given up: ${reason}`))
    this.#staging = null
    const staged = this.#staged
    this.#staged = null
    this.#node.discard()
    if (staged !== null) this.#dataPlane.discard(staged)
  }
}

const master = childOfMaster<WorkerToMaster>('worker')
let worker: Worker | null = null
/** Until then what concerns changes is meant for the process that this one replaces. */
let hasStarted = false

process.on('message', (message: MasterToWorker, handle: unknown) => {
  answer(message, handle).catch((thrown) => {
    die('Cannot answer the master', thrown)
  })
})

// What a hook left unawaited harms its own exchange only; ending the worker would cut everybody's.
process.on('unhandledRejection', (thrown) =>
  report('A promise was rejected and nobody waited for it', thrown),
)
process.on('uncaughtException', (thrown) => die('An exception was not caught; the worker ends', thrown))

async function answer(message: MasterToWorker, handle: unknown): Promise<void> {
  switch (message.kind) {
    case 'start':
      return start(message)
    case 'listen':
      return listen(message.id, message.address, handle as ListenHandle)
    case 'unlisten':
      return worker?.unlisten(message.address)
    case 'drain':
      return drain(message)
    case 'reopen-logs':
      return worker?.reopenLogs()
    case 'relay':
      return answerSupervisor(message.message)
  }
}

async function start(message: MasterToWorker & { kind: 'start' }): Promise<void> {
  const { id, committed } = message
  process.title = `cardea: worker ${message.worker}`
  const { promise: stalled, reject: onStalledAtStart } = Promise.withResolvers<never>()
  stalled.catch(() => {})
  const started = new Worker({
    start: message,
    onRetired: (generation) => relay({ kind: 'retired', generation }),
    onStalled(error) {
      // What ran then was left half done: it is mended as far as anybody knows, and not to be kept.
      if (committed !== null && started.generation === 0) onStalledAtStart(error)
      else master.send({ kind: 'replace-me', reason: error.message })
    },
  })
  worker = started
  if (committed === null) return begin(id, 0)
  try {
    const committing = started.stage(committed).then(() => started.commit(committed.number))
    await Promise.race([committing, stalled])
  } catch (thrown) {
    const failure = failureOf(thrown)
    started.reportFailure(failure)
    master.sendLast({ kind: 'start-failed', id, failure }, 1)
    return
  }
  begin(id, committed.number)
}

function begin(id: number, generation: number): void {
  hasStarted = true
  master.send({ kind: 'started', id, generation })
}

async function answerSupervisor(message: SupervisorToWorker): Promise<void> {
  if (!hasStarted && ['stage', 'commit', 'discard'].includes(message.kind)) return
  switch (message.kind) {
    case 'stage':
      return stage(message.id, message.plan)
    case 'commit':
      relay({ kind: 'committed', id: message.id, at: theWorker().commit(message.generation) })
      return master.send({ kind: 'serving', generation: message.generation })
    case 'discard':
      return theWorker().discard(message.generation)
    case 'census':
      return relay({ kind: 'census', id: message.id, census: theWorker().census() })
    case 'tracing':
      return theWorker().trace(message.on)
    case 'node':
      return theWorker().onNodeAnswer(message.answer)
    case 'quarantine':
      return theWorker().quarantine(message.key)
    case 'states':
      relay({ kind: 'states', id: message.id, states: theWorker().states(message.plugins) })
  }
}

async function stage(id: number, plan: GenerationPlan): Promise<void> {
  try {
    const { carried, started } = await theWorker().stage(plan)
    relay({ kind: 'staged', id, carried, started: started.length })
  } catch (thrown) {
    relay({ kind: 'stage-failed', id, failure: failureOf(thrown) })
  }
}

function relay(message: WorkerToSupervisor): void {
  master.send({ kind: 'relay', message })
}

function listen(id: number, address: ListenAddress, handle: ListenHandle): void {
  try {
    theWorker().listen(handle, address)
    master.send({ kind: 'listening', id })
  } catch (thrown) {
    master.send({ kind: 'listen-failed', id, failure: failureOf(thrown) })
  }
}

async function drain({ id, deadlineMs, idleGraceMs }: MasterToWorker & { kind: 'drain' }): Promise<void> {
  const cutExchanges = worker === null ? 0 : await worker.drain(deadlineMs, idleGraceMs)
  await worker?.stopInstances()
  master.sendLast({ kind: 'drained', id, cutExchanges }, 0)
}

function theWorker(): Worker {
  if (worker === null) throw new GatewayError('INTERNAL_ERROR', 'A message came before the start')
  return worker
}

function report(message: string, thrown: unknown): void {
  if (worker !== null) worker.report(message, thrown)
  else {
    const log = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'worker' })
    log.error(message, { error: thrown })
  }
}

function die(message: string, thrown: unknown): void {
  report(message, thrown)
  worker?.flushSync()
  process.exit(1)
}
