import { constants } from 'node:os'
import { messageOf } from '../base/errors.ts'
import { PROCESS_LIMITS, TIMEOUT_DEFAULTS } from '../config/limits.ts'
import { createLog, type GatewayLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { failureOf } from '../protocol/failure.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type {
  MasterToSupervisor,
  OpenResult,
  ReadySummary,
  ServeOptions,
  SupervisorToMaster,
} from '../protocol/master-supervisor.ts'
import { type PackedPlan, unpackPlan } from '../protocol/packed-plan.ts'
import { wholePlan } from '../protocol/slim-plan.ts'
import { ChildSlot } from './child-slot.ts'
import { drainShares } from './drain-shares.ts'
import { ListenRetry } from './listen-retry.ts'
import { ListenerSet } from './listener-set.ts'
import { LooseRelay } from './loose-relay.ts'
import { Pulse, type PulseLimits } from './pulse.ts'
import { directoryOf } from './serve-source.ts'
import { hasLostTerminal } from './terminal.ts'
import { within } from './within.ts'
import { WorkerSet } from './worker-set.ts'

/**
 * The master holds what must outlive every other process: the bound sockets and the committed generation. It starts the
 * supervisor and the workers, starts them again when they die, carries messages between them, and ends them all.
 */

export interface MasterOptions {
  readonly serve: ServeOptions
  /** Every worker serves. Called once. */
  onReady(addresses: readonly ListenAddress[], summary: ReadySummary): void
  /** Of the supervisor; `PROCESS_LIMITS.supervisorPulse` if it is not here. */
  readonly pulse?: PulseLimits
}

type Supervisor = ChildSlot<MasterToSupervisor, SupervisorToMaster>

type State = 'starting' | 'running' | 'draining' | 'ending'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

export class Master {
  readonly #options: MasterOptions
  readonly #supervisor: Supervisor
  readonly #loose = new LooseRelay((message) => this.#supervisor.offer(message))
  readonly #exitCode = Promise.withResolvers<number>()
  readonly #log: GatewayLog = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'master' })
  readonly #listeners = new ListenerSet((address) => this.#retry.isLost(address))
  readonly #retry = new ListenRetry({
    log: () => this.#log,
    again: () => void this.#listenAgain(),
    onChange: (lost) => this.#supervisor.send({ kind: 'lost-addresses', lost }),
  })
  readonly #workers: WorkerSet
  readonly #pulse: Pulse
  /** Unix time, milliseconds. */
  readonly #startedAt = Date.now()
  #state: State = 'starting'
  #settings: GatewaySettings | null = null
  /** What workers that are started from now on serve. */
  #committed: GenerationPlan | null = null
  #firstSignalAt: number | null = null

  constructor(options: MasterOptions) {
    this.#options = options
    this.#supervisor = new ChildSlot({
      name: 'the supervisor',
      entry: 'supervisor.ts',
      log: () => this.#log,
      onSpawn: () => {
        this.#loose.reset()
        void this.#startSupervisor()
      },
      onMessage: (message) => this.#onSupervisorMessage(message),
      onRoom: () => this.#loose.onRoom(),
      onEnd: (reason) => this.#onSupervisorEnd(reason),
    })
    this.#workers = new WorkerSet({
      log: this.#log,
      isServing: () => this.#isServing,
      isReady: () => this.#state !== 'starting',
      settings: () => this.#settings,
      directory: directoryOf(options.serve.source),
      committed: () => this.#committed,
      sockets: () => this.#listeners.sockets,
      retry: this.#retry,
      tellSupervisor: (message) => this.#tellSupervisor(message),
    })
    this.#pulse = new Pulse({
      limits: options.pulse ?? PROCESS_LIMITS.supervisorPulse,
      ask: () => this.#supervisor.send({ kind: 'ping' }),
      onSilence: (silentMs) => {
        this.#log.error('The supervisor says nothing and is killed', { silentMs })
        this.#supervisor.kill()
      },
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
    this.#pulse.stop()
    this.#listeners.close()
    this.#supervisor.send({ kind: 'draining' })
    void this.#drainAll(drainMs)
  }

  /** Kills every process, now. Resolves `run` when they are gone. */
  async end(exitCode: number): Promise<void> {
    if (this.#state === 'ending') return
    this.#state = 'ending'
    const gone = [this.#supervisor.stop(), this.#workers.stop()]
    this.#killAll()
    await within(Promise.all(gone), PROCESS_LIMITS.orphanGraceMs)
    this.#exitCode.resolve(exitCode)
  }

  async #drainAll(drainMs: number): Promise<void> {
    const startedAt = performance.now()
    const gone = this.#workers.stop()
    const cut = this.#workers.drain(drainShares(drainMs), drainMs)
    const areWorkersGone = await within(gone, drainMs)
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
    const cutExchanges = await cut
    if (cutExchanges > 0) this.#log.warn('Exchanges were cut at the drain deadline', { cutExchanges })
    this.#log.info('Stopped')
    return this.end(0)
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (signal === 'SIGHUP' && this.#isServing && !hasLostTerminal()) {
      this.#log.info('Received SIGHUP: log files are opened again')
      this.#workers.reopenLogs()
      return
    }
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
    this.#workers.killAll()
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
      lost: this.#retry.lost,
      workers: this.#workers.running,
      retiring: this.#workers.retiring,
      faults: this.#workers.faults,
    }
    const options = this.#options.serve
    try {
      await this.#supervisor.request('start', PROCESS_LIMITS.childStartTimeoutMs, (id) => ({
        kind: 'start',
        id,
        options,
        startedAt: this.#startedAt,
        running,
      }))
    } catch (thrown) {
      if (this.#isServing) this.#log.error(`Cannot start the supervisor: ${messageOf(thrown)}`)
      this.#supervisor.kill()
    }
  }

  #tellSupervisor(message: MasterToSupervisor): void {
    if (message.kind === 'relay' && this.#loose.relay(message.worker, message.message)) return
    this.#supervisor.send(message)
  }

  #onSupervisorEnd(reason: string): void {
    this.#pulse.stop()
    if (!this.#isServing) return
    if (this.#state === 'running') {
      this.#log.error(`The supervisor ended: ${reason}`)
      return
    }
    this.#log.error(`The supervisor ended before the gateway was ready: ${reason}`)
    void this.end(1)
  }

  #onSupervisorMessage(message: SupervisorToMaster): void {
    this.#pulse.heard()
    switch (message.kind) {
      case 'pong':
        break
      case 'started':
        // Until then `childStartTimeoutMs` counts.
        if (this.#isServing) this.#pulse.start()
        this.#supervisor.answer(message.id, message)
        break
      case 'open':
        void this.#answerOpen(message.id, message.settings)
        break
      case 'stage-listeners':
        void this.#answerStage(message)
        break
      case 'discard-listeners':
        this.#listeners.discard()
        break
      case 'commit':
        this.#answerCommit(message.id, message.plan)
        break
      case 'listen-anyway':
        this.#workers.listenAnyway()
        break
      case 'ready':
        this.#onReady(message.summary)
        break
      case 'give-up':
        if (this.#state === 'starting') void this.end(message.exitCode)
        break
      case 'relay':
        if (message.message.kind === 'tracing') this.#loose.forgetTraces()
        this.#workers.relay(message.worker, message.message)
        break
      case 'replace':
        this.#workers.killAndReplace(message.worker, message.reason)
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
    const result = await opened(this.#listeners.stage(settings.listeners))
    if (result.ok) {
      this.#settings = settings
      this.#log.apply(settings.log)
      this.#listeners.commit()
    }
    this.#supervisor.send({ kind: 'opened', id, result })
    if (!result.ok || !this.#isServing) return
    this.#workers.open(settings.workers)
  }

  async #answerStage(message: SupervisorToMaster & { kind: 'stage-listeners' }): Promise<void> {
    const { id, listeners, isDecided } = message
    const staging = isDecided ? this.#listeners.stageDecided(listeners) : this.#listeners.stage(listeners)
    this.#supervisor.send({ kind: 'opened', id, result: await opened(staging) })
  }

  #answerCommit(id: number, packed: PackedPlan): void {
    const held = new Map(this.#committed?.bundles.map((bundle) => [bundle.codeHash, bundle]))
    const plan = wholePlan(unpackPlan(packed), (codeHash) => held.get(codeHash))
    if (plan !== null) this.#commit(plan)
    this.#supervisor.send({ kind: plan === null ? 'bundles-missing' : 'committed', id })
  }

  #commit(plan: GenerationPlan): void {
    // The number of workers is the start's: everything else of the settings is live.
    const { workers = plan.settings.workers } = this.#settings ?? {}
    this.#settings = { ...plan.settings, workers }
    this.#committed = plan
    this.#log.apply(plan.settings.log)
    this.#listeners.commit()
    this.#retry.committed(this.#listeners.addresses)
    this.#noteMissing()
    this.#workers.committed()
  }

  async #listenAgain(): Promise<void> {
    if (!this.#isServing) return
    await this.#listeners.bindMissing()
    this.#noteMissing()
    this.#workers.syncListeners()
  }

  #noteMissing(): void {
    for (const { address, failure } of this.#listeners.missing) this.#retry.failed(address, failure)
  }
}

async function opened(staging: Promise<readonly ListenAddress[]>): Promise<OpenResult> {
  try {
    return { ok: true, addresses: await staging }
  } catch (thrown) {
    return { ok: false, failure: failureOf(thrown) }
  }
}
