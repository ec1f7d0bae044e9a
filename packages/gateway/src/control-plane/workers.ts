import { GatewayError } from '../base/errors.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { errorOf, type Failure } from '../protocol/failure.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from '../protocol/supervisor-worker.ts'

type Answer = Extract<WorkerToSupervisor, { readonly id: number }>

/** How far a worker has come. Each step implies those before it. */
export type WorkerStep = 'spawned' | 'started' | 'listening'

const STEPS: readonly WorkerStep[] = ['spawned', 'started', 'listening']

/** The workers as the supervisor sees them, through the master. */
export class Workers {
  readonly #send: (worker: number, message: SupervisorToWorker) => void
  readonly #workers = new Map<number, WorkerState>()
  readonly #waiting = new Set<Waiting>()

  constructor(send: (worker: number, message: SupervisorToWorker) => void) {
    this.#send = send
  }

  /** A process exists. Also for those that a predecessor of this supervisor left. */
  spawned(worker: number): void {
    const requests = new PendingRequests<Answer>()
    this.#workers.set(worker, { step: 'spawned', hasRetired: false, failure: null, requests })
  }

  reached(worker: number, step: WorkerStep): void {
    const state = this.#workers.get(worker)
    if (state === undefined) return
    state.step = step
    for (const waiting of this.#waiting) {
      if (!this.#haveReached(waiting.step, waiting.count)) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  /** It says why it cannot go on. Kept while it lives: nobody may be waiting yet. */
  failed(worker: number, failure: Failure): void {
    const error = errorOf(failure)
    const state = this.#workers.get(worker)
    if (state !== undefined) state.failure = error
    this.#rejectWaiting(error)
  }

  ended(worker: number, reason: string): void {
    this.#workers.get(worker)?.requests.rejectAll(`it ended (${reason})`)
    this.#workers.delete(worker)
    const detail = `Cannot start worker ${worker}: it ended (${reason}) before it was ready. The log has the cause`
    this.#rejectWaiting(new GatewayError('WORKER_START_FAILED', detail))
  }

  answered(worker: number, message: Answer): void {
    this.#workers.get(worker)?.requests.settle(message.id, message)
  }

  /** It runs nothing of its generation any more. */
  retired(worker: number): void {
    const state = this.#workers.get(worker)
    if (state !== undefined) state.hasRetired = true
  }

  /** Whether every worker has retired or ended. */
  get haveRetired(): boolean {
    return [...this.#workers.values()].every((state) => state.hasRetired)
  }

  /** Rejects as soon as one worker fails or ends. The master bounds how long a worker may take. */
  haveReached(step: WorkerStep, count: number): Promise<void> {
    if (this.#haveReached(step, count)) return Promise.resolve()
    for (const { failure } of this.#workers.values()) if (failure !== null) return Promise.reject(failure)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.add({ step, count, resolve, reject })
    return promise
  }

  /** Starts the generation's instances in every worker. Throws the first worker's failure. */
  async stage(plan: GenerationPlan): Promise<void> {
    await this.#all(async (worker) => {
      const answer = await this.#request(worker, 'stage', PROCESS_LIMITS.stageTimeoutMs, (id) => ({
        kind: 'stage',
        id,
        plan,
      }))
      if (answer.kind === 'stage-failed') throw errorOf(answer.failure)
    })
  }

  /** Swaps every worker to the staged generation. Throws for a worker that does not acknowledge. */
  async commit(generation: number): Promise<void> {
    await this.#all(async (worker) => {
      await this.#request(worker, 'commit', PROCESS_LIMITS.answerTimeoutMs, (id) => ({
        kind: 'commit',
        id,
        generation,
      }))
    })
  }

  async #all(run: (worker: number) => Promise<void>): Promise<void> {
    await Promise.all([...this.#workers.keys()].map(run))
  }

  async #request(
    worker: number,
    what: string,
    timeoutMs: number,
    message: (id: number) => SupervisorToWorker,
  ): Promise<Answer> {
    const state = this.#workers.get(worker)
    if (state === undefined) {
      throw new GatewayError('WORKER_START_FAILED', `Cannot ${what} in worker ${worker}: it ended`)
    }
    const { id, answer } = state.requests.start(`Cannot ${what} generation in worker ${worker}`, timeoutMs)
    this.#send(worker, message(id))
    return answer
  }

  #haveReached(step: WorkerStep, count: number): boolean {
    const index = STEPS.indexOf(step)
    const there = [...this.#workers.values()].filter((state) => STEPS.indexOf(state.step) >= index)
    return there.length >= count
  }

  #rejectWaiting(error: GatewayError): void {
    for (const waiting of this.#waiting) waiting.reject(error)
    this.#waiting.clear()
  }
}

interface WorkerState {
  step: WorkerStep
  hasRetired: boolean
  failure: GatewayError | null
  readonly requests: PendingRequests<Answer>
}

interface Waiting {
  readonly step: WorkerStep
  readonly count: number
  readonly resolve: () => void
  readonly reject: (error: GatewayError) => void
}
