import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { WorkerAnswer } from '../../packages/gateway/src/control-plane/worker-state.ts'
import { openListeningSocket } from '../../packages/gateway/src/main/listening-socket.ts'
import type { GatewaySettings, GenerationPlan } from '../../packages/gateway/src/protocol/generation.ts'
import type { MasterToWorker, WorkerToMaster } from '../../packages/gateway/src/protocol/master-worker.ts'
import { packPlan } from '../../packages/gateway/src/protocol/packed-plan.ts'
import type {
  SupervisorToWorker,
  WorkerToSupervisor,
} from '../../packages/gateway/src/protocol/supervisor-worker.ts'
import { waitFor } from './wait-for.ts'

const WORKER = join(import.meta.dirname, '../../packages/gateway/src/main/worker.ts')

/** A worker process whose master and supervisor is the test. */
export class LoneWorker {
  readonly port: number
  /** What it told the supervisor, in order; kept without what answers a request. */
  readonly told: WorkerToSupervisor[] = []
  /** Gets what it answers to the supervisor. */
  onAnswer: (answer: WorkerAnswer) => void = () => {}
  readonly #child: ChildProcess
  readonly #answers = new Map<number, WorkerToMaster | WorkerToSupervisor>()
  #lastId = 0
  #log = ''

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
    child.on('message', (message: WorkerToMaster) => this.#heard(message))
    child.stderr?.on('data', (text: Buffer) => {
      this.#log += text
    })
  }

  /** Listens on a free port and serves nothing, or `committed`. Killed with the test. */
  static async start(
    t: TestContext,
    settings: GatewaySettings,
    committed: GenerationPlan | null = null,
  ): Promise<LoneWorker> {
    // The last, as the master has it: code that is ended in the middle leaves hooks unbalanced.
    const flags = ['--no-compilation-cache', '--disable-sigusr1', '--no-force-async-hooks-checks']
    const child = fork(WORKER, {
      serialization: 'advanced',
      execArgv: flags,
      stdio: ['ignore', 2, 'pipe', 'ipc'],
    })
    const gone = once(child, 'exit')
    t.after(async () => {
      child.kill('SIGKILL')
      await gone
    })
    const { handle, address } = await openListeningSocket({ host: '127.0.0.1', port: 0 })
    t.after(() => handle.close())
    const worker = new LoneWorker(child, address.port)
    await worker.ask((id) => ({ kind: 'start', id, worker: 1, settings, directory: tmpdir(), committed }))
    const listening = worker.ask((id) => ({ kind: 'listen', id, address }), handle)
    await listening
    return worker
  }

  /** Lines of its log, whole ones only. */
  get log(): string {
    return this.#log
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  send(message: SupervisorToWorker): void {
    this.#send({ kind: 'relay', message })
  }

  /** Asks as the master does. */
  async ask(message: (id: number) => MasterToWorker, handle?: object): Promise<WorkerToMaster> {
    const id = ++this.#lastId
    this.#send(message(id), handle)
    return (await this.#answer(id)) as WorkerToMaster
  }

  /** Asks as the supervisor does. */
  async request(message: (id: number) => SupervisorToWorker): Promise<WorkerToSupervisor> {
    const id = ++this.#lastId
    this.send(message(id))
    return (await this.#answer(id)) as WorkerToSupervisor
  }

  /** Stages and commits. */
  async serve(plan: GenerationPlan): Promise<void> {
    const staged = await this.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
    if (staged.kind !== 'staged') throw new Error(`Generation ${plan.number}: ${JSON.stringify(staged)}`)
    await this.request((id) => ({ kind: 'commit', id, generation: plan.number }))
  }

  /** Resolves when it has told the supervisor that nothing is left of that generation. */
  async retired(generation: number): Promise<void> {
    await waitFor(() => this.hasRetired(generation), `generation ${generation} to retire`)
  }

  hasRetired(generation: number): boolean {
    return this.told.some((message) => message.kind === 'retired' && message.generation === generation)
  }

  #send(message: MasterToWorker, handle?: object): void {
    this.#child.send(message, handle as never)
  }

  #answer(id: number): Promise<WorkerToMaster | WorkerToSupervisor> {
    return waitFor(() => this.#answers.get(id), `the answer ${id} of the worker; it logged: ${this.#log}`)
  }

  #heard(message: WorkerToMaster): void {
    const inner = message.kind === 'relay' ? message.message : message
    if ('id' in inner) this.#answers.set(inner.id, inner)
    if (message.kind === 'relay' && 'id' in message.message) this.onAnswer(message.message)
    else if (message.kind === 'relay') this.told.push(message.message)
  }
}
