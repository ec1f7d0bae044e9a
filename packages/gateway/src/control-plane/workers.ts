import { GatewayError, messageOf } from '../base/errors.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { errorOf, type Failure } from '../protocol/failure.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { PackedPlan, PlanPacker } from '../protocol/packed-plan.ts'
import type { PluginStateCopy, SupervisorToWorker, WorkerCensus } from '../protocol/supervisor-worker.ts'
import {
  type CommitResult,
  inTurn,
  lost,
  noteSettled,
  SilentWorker,
  type StepWait,
  serve,
  spawnedWorker,
  type WorkerAnswer,
  type WorkerState,
  type WorkerStep,
} from './worker-state.ts'

type Question = Extract<SupervisorToWorker, { readonly id: number }>

const STEPS: readonly WorkerStep[] = ['spawned', 'started', 'listening']

/** The workers as the supervisor sees them, through the master. */
export class Workers {
  readonly #send: (worker: number, message: SupervisorToWorker) => void
  readonly #packer: PlanPacker
  readonly #workers = new Map<number, WorkerState>()
  /** Replaced and not ended yet: told what concerns whoever runs hooks, and asked nothing. */
  readonly #retiring = new Set<number>()
  readonly #waiting = new Set<StepWait>()
  readonly #waitingForRetirement = new Set<() => void>()
  #isTracing = false
  #committed: GenerationPlan | null = null
  /** The number of the generation that was discarded last before it was staged; 0 once another begins. */
  #discarded = 0

  /** `packer`: shared with who sends plans elsewhere. */
  constructor(send: (worker: number, message: SupervisorToWorker) => void, packer: PlanPacker) {
    this.#send = send
    this.#packer = packer
  }

  /** Ascending, whichever was started last. */
  get numbers(): readonly number[] {
    return [...this.#workers.keys()].sort((a, b) => a - b)
  }

  /** A process exists. Also for those that a predecessor of this supervisor left. */
  spawned(worker: number): void {
    this.#workers.set(worker, spawnedWorker())
  }

  /** It takes messages. `generation` is what it serves, or 0. */
  started(worker: number, generation: number): void {
    const state = this.#workers.get(worker)
    if (state !== undefined) serve(state, generation)
    if (this.#isTracing) this.#send(worker, { kind: 'tracing', on: true })
    this.reached(worker, 'started')
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

  /** It is no member any more and drains as `as`; its successor is spawned under the same number. */
  retiring(worker: number, as: number): void {
    const state = this.#workers.get(worker)
    this.#workers.delete(worker)
    this.#retiring.add(as)
    state?.requests.rejectAll('it is being replaced')
    if (state !== undefined) noteSettled(state)
    this.#noteRetirement()
  }

  ended(worker: number, reason: string): void {
    this.#retiring.delete(worker)
    const state = this.#workers.get(worker)
    if (state === undefined) return
    this.#workers.delete(worker)
    state.requests.rejectAll(`it ended (${reason})`)
    noteSettled(state)
    const detail = `Cannot start worker ${worker}: it ended (${reason}) before it was ready. The log has the cause`
    this.#rejectWaiting(new GatewayError('WORKER_START_FAILED', detail))
    this.#noteRetirement()
  }

  answered(worker: number, message: WorkerAnswer): void {
    this.#workers.get(worker)?.requests.settle(message.id, message)
  }

  /** It runs nothing of that generation any more. */
  retired(worker: number, generation: number): void {
    this.#workers.get(worker)?.alive.delete(generation)
    this.#noteRetirement()
  }

  /** Whether no worker runs anything of the generation. */
  haveRetired(generation: number): boolean {
    return [...this.#workers.values()].every(({ alive }) => !alive.has(generation))
  }

  /** Generations that are alive in the worker that has most of them. */
  get generationsLive(): number {
    return Math.max(0, ...[...this.#workers.values()].map(({ alive }) => alive.size))
  }

  /** Resolves when some worker has retired a generation or ended, or the time is over. */
  nextRetirement(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(done, timeoutMs)
    const waiting = this.#waitingForRetirement
    function done(): void {
      clearTimeout(timer)
      waiting.delete(done)
      resolve()
    }
    waiting.add(done)
    return promise
  }

  /** Rejects as soon as one worker fails or ends. The master bounds how long a worker may take. */
  haveReached(step: WorkerStep, count: number): Promise<void> {
    if (this.#haveReached(step, count)) return Promise.resolve()
    for (const { failure } of this.#workers.values()) if (failure !== null) return Promise.reject(failure)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.add({ step, count, resolve, reject })
    return promise
  }

  /**
   * Makes everything of a generation that may fail, in one worker after another: what goes wrong only there goes wrong in
   * one of them. Throws the first failure; WORKER_LOST when that is a worker's end, as SilentWorker when it only says
   * nothing any more.
   */
  async stage(plan: GenerationPlan): Promise<void> {
    this.#discarded = 0
    if (!this.#haveReached('started', 1)) await this.haveReached('started', 1)
    // Also in those that start meanwhile, else it would be when the others have swapped; not again in one that dies time and again.
    const asked = new Set<number>()
    const next = () => [...this.#workers].find(([n, { step }]) => step !== 'spawned' && !asked.has(n))
    for (let found = next(); found !== undefined; found = next()) {
      const [worker, state] = found
      asked.add(worker)
      await inTurn(state, () => this.#stageOne(worker, state, plan))
    }
  }

  /** Nobody waits any more for a generation to be staged: the worker that is at it fails to. `discard` is to follow. */
  discardUnfinished(generation: number): void {
    this.#discarded = generation
    for (const worker of this.#workers.keys()) this.#send(worker, { kind: 'discard', generation })
  }

  async #stageOne(worker: number, state: WorkerState, plan: GenerationPlan): Promise<void> {
    if (this.#workers.get(worker) !== state) throw lost(`Cannot stage in worker ${worker}: it ended`)
    state.asked = plan.number
    let answer = await this.#askToStage(worker, state, this.#packer.pack(plan, state.given))
    if (answer.kind === 'bundles-missing') {
      if (this.#discarded === plan.number) throw new Error(`Generation ${plan.number} is given up`)
      answer = await this.#askToStage(worker, state, this.#packer.pack(plan, null))
    }
    if (answer.kind === 'stage-failed') throw errorOf(answer.failure)
    state.staged = plan
  }

  async #askToStage(worker: number, state: WorkerState, plan: PackedPlan): Promise<WorkerAnswer> {
    const { stageTimeoutMs } = PROCESS_LIMITS
    const answer = this.#request(worker, 'stage', stageTimeoutMs, (id) => ({ kind: 'stage', id, plan }))
    const { promise: silent, reject } = Promise.withResolvers<never>()
    const check = async (): Promise<void> => {
      // Who is slow because of what it starts still answers this.
      if (!(await this.#isSilent(worker, state))) return
      reject(new SilentWorker(worker, `Cannot stage in worker ${worker}: it does not answer any more`))
    }
    const timer = setInterval(() => void check(), PROCESS_LIMITS.stageCheckMs)
    try {
      return await Promise.race([answer, silent])
    } finally {
      clearInterval(timer)
    }
  }

  async #isSilent(worker: number, state: WorkerState): Promise<boolean> {
    const census = await this.#countOf(worker, PROCESS_LIMITS.answerTimeoutMs)
    return census === null && this.#workers.get(worker) === state
  }

  /** The staged generation will not be committed. */
  discard(generation: number): void {
    this.#packer.forget()
    for (const [worker, state] of this.#workers) {
      const isConcerned = state.staged?.number === generation || state.asked === generation
      if (!isConcerned || state.generation === generation) continue
      state.staged = null
      this.#send(worker, { kind: 'discard', generation })
      noteSettled(state)
    }
  }

  /**
   * Swaps every worker to the plan. Never throws. Workers that have not staged it (they started meanwhile) do so now;
   * those that have not started yet begin with it, or with what was committed before: see `missedBy`.
   */
  async commit(plan: GenerationPlan): Promise<CommitResult> {
    this.#committed = plan
    const swappedAt: number[] = []
    const failed: { worker: number; reason: string }[] = []
    const commitOne = async ([worker, state]: [number, WorkerState]): Promise<void> => {
      try {
        swappedAt.push(await inTurn(state, () => this.#commitOne(worker, state, plan)))
      } catch (thrown) {
        // Who ended is followed by one that starts on the plan.
        if (this.#workers.get(worker) === state) {
          failed.push({ worker, reason: thrown instanceof Error ? thrown.message : String(thrown) })
        }
      }
    }
    const ready = [...this.#workers].filter(([, state]) => state.step !== 'spawned')
    await Promise.all(ready.map(commitOne))
    this.#packer.forget()
    return { swappedAt, failed }
  }

  /**
   * Brings one worker that serves something older to the plan. Where a change has staged its own there, that goes first:
   * the worker would give one of them up. Throws when it cannot; not for one that ended, whose successor starts on what is
   * committed.
   */
  async catchUp(worker: number, plan: GenerationPlan): Promise<void> {
    const state = this.#workers.get(worker)
    while (state !== undefined && this.#workers.get(worker) === state && state.generation < plan.number) {
      const settled = new Promise<void>((resolve) => state.onSettled.push(resolve))
      try {
        const isDone = await inTurn(state, async () => {
          if (state.generation >= plan.number) return true
          if (state.staged !== null && state.staged.number > plan.number) return false
          await this.#commitOne(worker, state, plan)
          return true
        })
        if (isDone) return
      } catch (thrown) {
        if (this.#workers.get(worker) === state) throw thrown
        return
      }
      await settled
    }
  }

  /**
   * What one that has just started is to be brought to; null when it serves that. `live` is what the others served before
   * any commit here: once a commit has begun, who was started before it comes too late to be asked by it.
   */
  missedBy(worker: number, live: GenerationPlan | null): GenerationPlan | null {
    const plan = this.#committed ?? live
    return plan !== null && this.generationOf(worker) < plan.number ? plan : null
  }

  /** What the worker serves; 0 for nothing, or one that is not there. */
  generationOf(worker: number): number {
    return this.#workers.get(worker)?.generation ?? 0
  }

  /** What every worker holds; null for one that does not say. */
  async census(numbers = this.numbers): Promise<ReadonlyMap<number, WorkerCensus | null>> {
    const counted = numbers.map(
      async (worker) => [worker, await this.#countOf(worker, PROCESS_LIMITS.censusTimeoutMs)] as const,
    )
    return new Map(await Promise.all(counted))
  }

  async #countOf(worker: number, timeoutMs: number): Promise<WorkerCensus | null> {
    try {
      const answer = await this.#request(worker, 'count', timeoutMs, (id) => ({ kind: 'census', id }))
      return answer.kind === 'census' ? answer.census : null
    } catch {
      return null
    }
  }

  /**
   * After this supervisor was started anew: which generations live where. Of one that does not say what the master says
   * holds, and one that has not started yet says so when it has.
   */
  async recount(): Promise<void> {
    const started = this.numbers.filter((worker) => this.#workers.get(worker)?.step !== 'spawned')
    for (const [worker, census] of await this.census(started)) {
      const state = this.#workers.get(worker)
      if (state === undefined || census === null) continue
      for (const { number } of census.generations) state.alive.add(number)
      state.generation = census.generations.at(-1)?.number ?? 0
    }
  }

  /** The oldest generation of each worker, with what runs on it. */
  async oldestGenerations(): Promise<WorkerCensus['generations']> {
    const counts = [...(await this.census()).values()]
    return counts.flatMap((census) => census?.generations[0] ?? [])
  }

  /**
   * The live state of these plugins in one worker, for the dry run of migrations. Throws WORKER_LOST when it ends
   * meanwhile, as SilentWorker when it says nothing any more.
   */
  async states(plugins: readonly string[]): Promise<readonly PluginStateCopy[]> {
    const [worker, state] = [...this.#workers].find(([, { step }]) => step === 'listening') ?? []
    if (worker === undefined || state === undefined) return []
    const question = (id: number): Question => ({ kind: 'states', id, plugins })
    try {
      const answer = await this.#request(worker, 'copy state', PROCESS_LIMITS.answerTimeoutMs, question)
      return answer.kind === 'states' ? answer.states : []
    } catch (thrown) {
      if (this.#workers.get(worker) !== state) throw thrown
      // All of us may have stood still, on a machine that was suspended: who answers now is sound.
      if (await this.#isSilent(worker, state))
        throw new SilentWorker(worker, `Cannot copy state in worker ${worker}: it does not answer any more`)
      throw lost(messageOf(thrown))
    }
  }

  /** What is not answered. */
  send(worker: number, message: Exclude<SupervisorToWorker, Question>): void {
    this.#send(worker, message)
  }

  /** Has all workers trace, or not, those that start later too. */
  trace(on: boolean): void {
    this.#isTracing = on
    this.broadcast({ kind: 'tracing', on })
  }

  broadcast(message: Exclude<SupervisorToWorker, Question>): void {
    for (const worker of [...this.#workers.keys(), ...this.#retiring]) this.#send(worker, message)
  }

  async #commitOne(worker: number, state: WorkerState, plan: GenerationPlan): Promise<number> {
    const generation = plan.number
    if (state.staged?.number !== generation && state.generation !== generation)
      await this.#stageOne(worker, state, plan)
    const answer = await this.#request(worker, 'commit', PROCESS_LIMITS.answerTimeoutMs, (id) => ({
      kind: 'commit',
      id,
      generation,
    }))
    if (answer.kind === 'stage-failed') throw errorOf(answer.failure)
    if (answer.kind !== 'committed') throw lost(`Worker ${worker} did not commit generation ${generation}`)
    serve(state, generation)
    return answer.at
  }

  async #request(
    worker: number,
    what: string,
    timeoutMs: number,
    message: (id: number) => Question,
  ): Promise<WorkerAnswer> {
    const state = this.#workers.get(worker)
    if (state === undefined) throw lost(`Cannot ${what} in worker ${worker}: it ended`)
    const { id, answer } = state.requests.start(`Cannot ${what} in worker ${worker}`, timeoutMs)
    this.#send(worker, message(id))
    try {
      return await answer
    } catch (thrown) {
      if (this.#workers.get(worker) === state) throw thrown
      throw lost(messageOf(thrown))
    }
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

  #noteRetirement(): void {
    for (const done of [...this.#waitingForRetirement]) done()
  }
}
