import { GatewayError, messageOf } from '../base/errors.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import { lowerPriority } from '../base/priority.ts'
import { identityOf, type ProcessIdentity } from '../base/process-identity.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { Workers } from '../control-plane/workers.ts'
import { stderrLines } from '../observe/line-writer.ts'
import { createLog, type GatewayLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { errorOf } from '../protocol/failure.ts'
import type { GenerationPlan, ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress, LostAddress } from '../protocol/listen-address.ts'
import type { MasterToSupervisor, SupervisorToMaster } from '../protocol/master-supervisor.ts'
import { PlanPacker } from '../protocol/packed-plan.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { childOfMaster, type MasterChannel } from './child-of-master.ts'
import { ControlRoom } from './control-room.ts'
import { endOrphans } from './orphans.ts'
import { StandingFaults } from './standing-faults.ts'
import { StartRefused } from './start-outcome.ts'

/**
 * The supervisor makes generations and brings them to the workers. It runs no plugin code, and no request waits for it:
 * when it dies, the workers go on and its successor takes over what they serve. This file is its way to the other
 * processes; what it does stands in control-room.ts.
 */

type Answer = Extract<MasterToSupervisor, { kind: 'opened' | 'committed' | 'bundles-missing' }>
type Question = Extract<SupervisorToMaster, { kind: 'open' | 'commit' | 'stage-listeners' }>

class Supervisor {
  readonly #master: MasterChannel<SupervisorToMaster>
  readonly #packer = new PlanPacker()
  readonly #workers: Workers
  /** By worker number; kept apart from #workers, which knows members only. */
  readonly #processes = new Map<number, ProcessIdentity>()
  readonly #questions = new PendingRequests<Answer>()
  readonly #log: GatewayLog = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'supervisor' })
  #addresses: readonly ListenAddress[] = []
  #lost: readonly LostAddress[] = []
  /** Of listeners that are open for a change, which goes live with them or not at all. */
  #stagedAddresses: readonly ListenAddress[] | null = null
  /** What the master has from us. */
  #given: GenerationPlan | null = null
  #room: ControlRoom | null = null
  /** What workers said while there was no room for it yet. */
  #standing: StandingFaults | null = new StandingFaults()

  constructor() {
    this.#master = childOfMaster('supervisor', () => this.#endOrphans())
    this.#workers = new Workers(
      (worker, message) => this.#master.send({ kind: 'relay', worker, message }),
      this.#packer,
    )
  }

  onMessage(message: MasterToSupervisor): void {
    switch (message.kind) {
      case 'start':
        this.#start(message).catch((thrown) => this.#giveUp(thrown))
        break
      case 'opened':
      case 'committed':
      case 'bundles-missing':
        this.#questions.settle(message.id, message)
        break
      case 'worker-spawned':
        this.#spawned(message.worker, message.pid)
        break
      case 'worker-started':
        this.#workers.started(message.worker, message.generation)
        this.#room?.workerStarted(message.worker)
        break
      case 'worker-listening':
        this.#workers.reached(message.worker, 'listening')
        break
      case 'worker-failed':
        this.#workers.failed(message.worker, message.failure)
        break
      case 'worker-retiring':
        this.#retiring(message.worker, message.as)
        break
      case 'worker-ended':
        this.#workers.ended(message.worker, message.reason)
        this.#standing?.workerEnded(message.worker)
        this.#room?.workerEnded(message.worker, message.reason)
        this.#processes.delete(message.worker)
        break
      case 'lost-addresses':
        this.#lost = message.lost
        break
      case 'relay':
        this.#relayed(message.worker, message.message)
        break
      case 'ping':
        this.#master.send({ kind: 'pong' })
        break
      case 'draining':
        // The master has closed them all.
        this.#addresses = []
        this.#room?.drain()
        break
      case 'stop':
        void this.#stop()
    }
  }

  report(message: string, thrown: unknown): void {
    this.#log.error(message, thrown instanceof Error ? { stack: thrown.stack } : { error: messageOf(thrown) })
  }

  async #start({ id, options, startedAt, running }: MasterToSupervisor & { kind: 'start' }): Promise<void> {
    this.#master.send({ kind: 'started', id })
    this.#addresses = running?.addresses ?? []
    this.#lost = running?.lost ?? []
    for (const { worker, event } of running?.faults ?? []) this.#standing?.note(worker, event)
    for (const { worker, pid, generation } of running?.workers ?? []) {
      this.#spawned(worker, pid)
      if (generation !== null) this.#workers.started(worker, generation)
    }
    for (const { worker, pid } of running?.retiring ?? []) this.#processes.set(worker, identityOf(pid))
    const room = await ControlRoom.open({
      serve: options,
      log: this.#log,
      workers: this.#workers,
      // The master is our parent.
      masterPid: process.ppid,
      startedAt,
      master: {
        open: async (settings) => {
          this.#addresses = await this.#opened((askId) => ({ kind: 'open', id: askId, settings }))
        },
        stageListeners: (listeners) => this.#stageListeners(listeners, false),
        stageDecided: (listeners) => this.#stageListeners(listeners, true),
        discardListeners: () => {
          this.#stagedAddresses = null
          this.#master.send({ kind: 'discard-listeners' })
        },
        listenAnyway: () => this.#master.send({ kind: 'listen-anyway' }),
        commit: (plan) => this.#commit(plan),
        replaceWorker: (worker, reason) => this.#master.send({ kind: 'replace', worker, reason }),
        ready: (summary) => this.#master.send({ kind: 'ready', summary }),
      },
      addresses: () => this.#addresses,
      lostAddresses: () => this.#lost,
    })
    this.#room = room
    if (running === null) await room.start()
    else await room.takeOver(running, () => this.#standing?.all ?? [])
    this.#standing = null
  }

  async #stageListeners(listeners: readonly ListenerPlan[], isDecided: boolean): Promise<void> {
    this.#stagedAddresses = await this.#opened((id) => ({
      kind: 'stage-listeners',
      id,
      listeners,
      isDecided,
    }))
  }

  /** The addresses of what was opened; throws LISTEN_FAILED. */
  async #opened(message: (id: number) => Question): Promise<readonly ListenAddress[]> {
    const answer = await this.#ask(message)
    if (answer.kind !== 'opened') return this.#addresses
    if (!answer.result.ok) throw errorOf(answer.result.failure)
    return answer.result.addresses
  }

  async #commit(plan: GenerationPlan): Promise<void> {
    const given = this.#given
    this.#addresses = this.#stagedAddresses ?? this.#addresses
    this.#stagedAddresses = null
    // Until it answers nobody knows what it has.
    this.#given = null
    const ask = (has: GenerationPlan | null): Promise<Answer> =>
      this.#ask((id) => ({ kind: 'commit', id, plan: this.#packer.pack(plan, has) }))
    const answer = await ask(given)
    if (answer.kind === 'bundles-missing') await ask(null)
    this.#given = plan
  }

  #ask(message: (id: number) => Question): Promise<Answer> {
    const { id, answer } = this.#questions.start('Cannot ask the master', PROCESS_LIMITS.answerTimeoutMs)
    this.#master.send(message(id))
    return answer
  }

  #relayed(worker: number, message: WorkerToSupervisor): void {
    if ('id' in message) this.#workers.answered(worker, message)
    else {
      if (message.kind === 'fault') this.#standing?.note(worker, message.event)
      this.#room?.workerSaid(worker, message)
    }
  }

  /** To a person, not to the log: there is no gateway that could have one. */
  #giveUp(thrown: unknown): void {
    const text = describeFailure(thrown)
    stderrLines.write(text.endsWith('\n') ? text : `${text}\n`)
    this.#master.sendLast({ kind: 'give-up', exitCode: 1 }, 1)
  }

  async #stop(): Promise<void> {
    try {
      await this.#room?.close()
    } finally {
      process.exit(0)
    }
  }

  #spawned(worker: number, pid: number): void {
    this.#workers.spawned(worker)
    this.#room?.workerSpawned(worker)
    this.#processes.set(worker, identityOf(pid))
  }

  #retiring(worker: number, as: number): void {
    this.#workers.retiring(worker, as)
    this.#standing?.workerEnded(worker)
    this.#room?.workerRetiring(worker, as)
    const identity = this.#processes.get(worker)
    if (identity !== undefined) this.#processes.set(as, identity)
  }

  async #endOrphans(): Promise<void> {
    this.#log.error('The master is gone; the gateway ends')
    await endOrphans([...this.#processes.values()], PROCESS_LIMITS.orphanGraceMs)
  }
}

function describeFailure(thrown: unknown): string {
  if (thrown instanceof StartRefused) return thrown.message
  if (!(thrown instanceof GatewayError))
    return thrown instanceof Error ? `${thrown.stack}` : messageOf(thrown)
  const stack = thrown.cause instanceof Error ? `\n${thrown.cause.stack}` : ''
  return `${thrown.code}: ${thrown.message}${thrown.plugin === null ? '' : stack}`
}

process.title = 'cardea: supervisor'
/**
 * Requests come first where changes and traffic want the same cores: workers keep their priority, while this process
 * and its children (esbuild, the trial) take what is left. Measured with `npm run bench -- changes` on two cores: the
 * p99 of a request while one change follows the other went from 2.7 ms to 1.9 ms; changes took as long as before.
 */
lowerPriority()
const supervisor = new Supervisor()
process.on('message', (message: MasterToSupervisor) => supervisor.onMessage(message))
process.on('uncaughtException', (thrown) => {
  supervisor.report('An exception was not caught; the supervisor ends', thrown)
  process.exit(1)
})
