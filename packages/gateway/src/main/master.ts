import { constants } from 'node:os'
import { messageOf } from '../base/errors.ts'
import { PROCESS_LIMITS, TIMEOUT_DEFAULTS } from '../config/limits.ts'
import { createLog, type GatewayLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { failureOf } from '../protocol/failure.ts'
import type { GatewaySettings, GenerationPlan, ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type {
  MasterToSupervisor,
  OpenResult,
  ReadySummary,
  ServeOptions,
  SupervisorToMaster,
} from '../protocol/master-supervisor.ts'
import type { MasterToWorker, WorkerToMaster } from '../protocol/master-worker.ts'
import { ChildSlot } from './child-slot.ts'
import { ListenerSet } from './listener-set.ts'
import type { ListeningSocket } from './listening-socket.ts'

/**
 * The master holds what must outlive every other process: the bound sockets and the committed generation. It starts the
 * supervisor and the workers, starts them again when they die, carries messages between them, and ends them all.
 */

export interface MasterOptions {
  readonly serve: ServeOptions
  /** Every worker serves. Called once. */
  onReady(addresses: readonly ListenAddress[], summary: ReadySummary): void
}

type Supervisor = ChildSlot<MasterToSupervisor, SupervisorToMaster>
type Worker = ChildSlot<MasterToWorker, WorkerToMaster>

type State = 'starting' | 'running' | 'draining' | 'ending'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

export class Master {
  readonly #options: MasterOptions
  readonly #supervisor: Supervisor
  readonly #workers = new Map<number, Worker>()
  readonly #exitCode = Promise.withResolvers<number>()
  readonly #log: GatewayLog = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'master' })
  readonly #listeners = new ListenerSet()
  /** The sockets that each worker accepts on. */
  readonly #accepting = new Map<number, Set<ListeningSocket>>()
  #state: State = 'starting'
  #settings: GatewaySettings | null = null
  /** What workers that are started from now on serve. */
  #committed: GenerationPlan | null = null
  /** Workers accept connections although there is no generation to serve. */
  #isListeningAnyway = false
  #firstSignalAt: number | null = null

  constructor(options: MasterOptions) {
    this.#options = options
    this.#supervisor = new ChildSlot({
      name: 'the supervisor',
      entry: 'supervisor.ts',
      log: () => this.#log,
      onSpawn: () => this.#startSupervisor(),
      onMessage: (message) => this.#onSupervisorMessage(message),
      onEnd: (reason) => this.#onSupervisorEnd(reason),
    })
  }

  /**
   * Runs the gateway. Resolves with the exit code when every process has ended: 0 after a drain, 1 when the first start
   * failed or a process had to be killed at the drain's deadline, 128 + the signal's number after a second signal.
   */
  async run(): Promise<number> {
    // They stay to the very end: a late one must not end the process in its own way.
    for (const signal of SIGNALS) process.on(signal, () => this.#onSignal(signal))
    const killAll = (): void => this.#killAll()
    process.on('exit', killAll)
    this.#supervisor.spawn()
    const exitCode = await this.#exitCode.promise
    process.off('exit', killAll)
    return exitCode
  }

  /** Stops accepting, lets workers finish what is in flight within the drain deadline, ends all. */
  drain(why: string): void {
    if (this.#state === 'draining' || this.#state === 'ending') return
    this.#state = 'draining'
    const drainMs = this.#settings?.timeouts.drainMs ?? TIMEOUT_DEFAULTS.drainMs
    this.#log.info(`${why}: draining; a second signal ends at once`, { drainMs })
    this.#listeners.close()
    this.#supervisor.send({ kind: 'draining' })
    void this.#drainAll(drainMs)
  }

  /** Kills every process, now. Resolves `run` when they are gone. */
  async end(exitCode: number): Promise<void> {
    if (this.#state === 'ending') return
    this.#state = 'ending'
    const gone = [this.#supervisor, ...this.#workers.values()].map((slot) => slot.stop())
    this.#killAll()
    await within(Promise.all(gone), PROCESS_LIMITS.orphanGraceMs)
    this.#exitCode.resolve(exitCode)
  }

  async #drainAll(drainMs: number): Promise<void> {
    const startedAt = performance.now()
    // Short deadlines are spent on exchanges, long ones leave a moment for what comes after.
    const deadlineMs = drainMs - Math.min(PROCESS_LIMITS.drainReserveMs, drainMs / 10)
    const workers = [...this.#workers.values()]
    const gone = workers.map((worker) => worker.stop())
    const cuts = workers.map((worker) => this.#drainWorker(worker, deadlineMs, drainMs))
    const areWorkersGone = await within(Promise.all(gone), drainMs)
    if (this.#state !== 'draining') return
    const supervisorGone = this.#supervisor.stop()
    this.#supervisor.send({ kind: 'stop' })
    const leftMs = Math.max(drainMs - (performance.now() - startedAt), PROCESS_LIMITS.drainReserveMs / 2)
    const isSupervisorGone = await within(supervisorGone, leftMs)
    if (this.#state !== 'draining') return
    if (!areWorkersGone || !isSupervisorGone) {
      this.#log.error('Processes did not end within the drain deadline and are killed', { drainMs })
      return this.end(1)
    }
    const cutExchanges = (await Promise.all(cuts)).reduce((sum, cut) => sum + cut, 0)
    if (cutExchanges > 0) this.#log.warn('Exchanges were cut at the drain deadline', { cutExchanges })
    this.#log.info('Stopped')
    return this.end(0)
  }

  async #drainWorker(worker: Worker, deadlineMs: number, timeoutMs: number): Promise<number> {
    try {
      const answer = await worker.request('drain', timeoutMs, (id) => ({ kind: 'drain', id, deadlineMs }))
      return answer.kind === 'drained' ? answer.cutExchanges : 0
    } catch {
      return 0 // It died instead; its end is logged.
    }
  }

  #onSignal(signal: NodeJS.Signals): void {
    const now = performance.now()
    if (this.#firstSignalAt === null) {
      this.#firstSignalAt = now
      this.drain(`Received ${signal}`)
      return
    }
    if (this.#state === 'ending' || now - this.#firstSignalAt < PROCESS_LIMITS.signalRepeatMs) return
    this.#log.warn(`Received ${signal} again: ending at once`)
    void this.end(128 + constants.signals[signal])
  }

  #killAll(): void {
    this.#supervisor.kill()
    for (const worker of this.#workers.values()) worker.kill()
  }

  get #isServing(): boolean {
    return this.#state === 'starting' || this.#state === 'running'
  }

  // The supervisor.

  async #startSupervisor(): Promise<void> {
    const running = this.#settings && {
      plan: this.#committed,
      settings: this.#settings,
      addresses: this.#listeners.addresses,
      workers: [...this.#workers].flatMap(([worker, { pid }]) => (pid === null ? [] : [{ worker, pid }])),
    }
    const options = this.#options.serve
    try {
      await this.#supervisor.request('start', PROCESS_LIMITS.childStartTimeoutMs, (id) => ({
        kind: 'start',
        id,
        options,
        running,
      }))
    } catch (thrown) {
      if (this.#isServing) this.#log.error(`Cannot start the supervisor: ${messageOf(thrown)}`)
      this.#supervisor.kill()
    }
  }

  #onSupervisorEnd(reason: string): void {
    if (!this.#isServing) return
    if (this.#state === 'running') {
      this.#log.error(`The supervisor ended: ${reason}`)
      return
    }
    this.#log.error(`The supervisor ended before the gateway was ready: ${reason}`)
    void this.end(1)
  }

  #onSupervisorMessage(message: SupervisorToMaster): void {
    switch (message.kind) {
      case 'started':
        this.#supervisor.answer(message.id, message)
        break
      case 'open':
        void this.#answerOpen(message.id, message.settings)
        break
      case 'stage-listeners':
        void this.#answerStage(message.id, message.listeners)
        break
      case 'discard-listeners':
        this.#listeners.discard()
        break
      case 'commit':
        this.#commit(message.plan)
        this.#supervisor.send({ kind: 'committed', id: message.id })
        break
      case 'listen-anyway':
        this.#isListeningAnyway = true
        this.#syncAllListeners()
        break
      case 'replace':
        this.#replace(message.worker, message.reason)
        break
      case 'ready':
        this.#onReady(message.summary)
        break
      case 'give-up':
        if (this.#state === 'starting') void this.end(message.exitCode)
        break
      case 'relay':
        this.#workers.get(message.worker)?.send({ kind: 'relay', message: message.message })
        break
    }
  }

  #onReady(summary: ReadySummary): void {
    if (this.#state !== 'starting') return
    this.#state = 'running'
    const { addresses } = this.#listeners
    this.#options.onReady(addresses, summary)
    const { generation, workers } = summary
    const listeners = addresses.map(({ host, port }) => `${host}:${port}`)
    this.#log.info('Ready', { generation, workers, listeners })
  }

  async #answerOpen(id: number, settings: GatewaySettings): Promise<void> {
    const result = await this.#stageListeners(settings.listeners)
    if (result.ok) {
      this.#settings = settings
      this.#log.apply(settings.log)
      this.#listeners.commit()
    }
    this.#supervisor.send({ kind: 'opened', id, result })
    if (!result.ok || !this.#isServing) return
    for (let worker = 1; worker <= settings.workers; worker += 1) this.#addWorker(worker)
  }

  async #answerStage(id: number, listeners: readonly ListenerPlan[]): Promise<void> {
    this.#supervisor.send({ kind: 'opened', id, result: await this.#stageListeners(listeners) })
  }

  async #stageListeners(listeners: readonly ListenerPlan[]): Promise<OpenResult> {
    try {
      return { ok: true, addresses: await this.#listeners.stage(listeners) }
    } catch (thrown) {
      return { ok: false, failure: failureOf(thrown) }
    }
  }

  #commit(plan: GenerationPlan): void {
    // The number of workers is the start's: everything else of the settings is live.
    const { workers = plan.settings.workers } = this.#settings ?? {}
    this.#settings = { ...plan.settings, workers }
    this.#committed = plan
    this.#log.apply(plan.settings.log)
    this.#listeners.commit()
    this.#syncAllListeners()
  }

  // The workers.

  #addWorker(number: number): void {
    const worker: Worker = new ChildSlot({
      name: `worker ${number}`,
      entry: 'worker.ts',
      log: () => this.#log,
      onSpawn: () => this.#startWorker(number, worker),
      onMessage: (message) => this.#onWorkerMessage(number, worker, message),
      onEnd: (reason) => {
        this.#accepting.delete(number)
        if (this.#isServing) this.#log.error(`Worker ${number} ended: ${reason}`)
        this.#supervisor.send({ kind: 'worker-ended', worker: number, reason })
      },
    })
    this.#workers.set(number, worker)
    worker.spawn()
  }

  async #startWorker(number: number, worker: Worker): Promise<void> {
    const settings = this.#settings
    if (settings === null) return
    this.#supervisor.send({ kind: 'worker-spawned', worker: number, pid: worker.pid ?? 0 })
    const committed = this.#committed
    const timeoutMs =
      PROCESS_LIMITS.childStartTimeoutMs + (committed === null ? 0 : PROCESS_LIMITS.stageTimeoutMs)
    try {
      const answer = await worker.request('start', timeoutMs, (id) => ({
        kind: 'start',
        id,
        worker: number,
        settings,
        committed,
      }))
      if (answer.kind === 'start-failed') {
        this.#supervisor.send({ kind: 'worker-failed', worker: number, failure: answer.failure })
      } else if (answer.kind === 'started') {
        this.#supervisor.send({ kind: 'worker-started', worker: number, generation: answer.generation })
        if (answer.generation > 0 || this.#isListeningAnyway) await this.#beginListening(number, worker)
      }
    } catch (thrown) {
      this.#abandon(worker, thrown)
    }
  }

  /** A worker that serves gets the sockets. */
  async #beginListening(number: number, worker: Worker): Promise<void> {
    if (!this.#accepting.has(number)) this.#accepting.set(number, new Set())
    if (await this.#syncListeners(number, worker)) {
      this.#supervisor.send({ kind: 'worker-listening', worker: number })
    }
  }

  #syncAllListeners(): void {
    for (const [number, worker] of this.#workers) {
      if (!this.#isListeningAnyway && !this.#accepting.has(number)) continue
      this.#beginListening(number, worker).catch((thrown) => this.#abandon(worker, thrown))
    }
  }

  /** Makes a worker accept on what is bound now, and on nothing else. Returns whether it does. */
  async #syncListeners(number: number, worker: Worker): Promise<boolean> {
    const accepting = this.#accepting.get(number)
    if (!this.#isServing || accepting === undefined) return false
    const { sockets } = this.#listeners
    for (const socket of [...accepting]) {
      if (sockets.includes(socket)) continue
      accepting.delete(socket)
      worker.send({ kind: 'unlisten', address: socket.address })
    }
    for (const socket of sockets) {
      if (accepting.has(socket)) continue
      accepting.add(socket)
      if (!(await this.#listenOn(number, worker, socket))) return false
    }
    return true
  }

  async #listenOn(number: number, worker: Worker, { address, handle }: ListeningSocket): Promise<boolean> {
    const answer = await worker.request(
      'listen',
      PROCESS_LIMITS.answerTimeoutMs,
      (id) => ({ kind: 'listen', id, address }),
      handle,
    )
    if (answer.kind !== 'listen-failed') return true
    // At the first start the supervisor tells it.
    if (this.#state === 'running') this.#log.error(answer.failure.message)
    this.#supervisor.send({ kind: 'worker-failed', worker: number, failure: answer.failure })
    worker.kill()
    return false
  }

  #replace(number: number, reason: string): void {
    this.#log.error(`Worker ${number} is replaced: ${reason}`)
    this.#workers.get(number)?.kill()
  }

  #abandon(worker: Worker, thrown: unknown): void {
    if (this.#isServing) this.#log.error(messageOf(thrown))
    worker.kill()
  }

  #onWorkerMessage(number: number, worker: Worker, message: WorkerToMaster): void {
    switch (message.kind) {
      case 'started':
      case 'start-failed':
      case 'listening':
      case 'listen-failed':
      case 'drained':
        worker.answer(message.id, message)
        break
      case 'serving':
        this.#beginListening(number, worker).catch((thrown) => this.#abandon(worker, thrown))
        break
      case 'relay':
        this.#supervisor.send({ kind: 'relay', worker: number, message: message.message })
        break
    }
  }
}

/** Whether the promise resolved in time. */
async function within(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), timeoutMs)
  const isInTime = await Promise.race([promise.then(() => true), timeout])
  clearTimeout(timer)
  return isInTime
}
