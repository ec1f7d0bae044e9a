import { GatewayError } from '../base/errors.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'

/** What a worker answers to a request. */
export type WorkerAnswer = Extract<WorkerToSupervisor, { readonly id: number }>

/** How far a worker has come. Each step implies those before it. */
export type WorkerStep = 'spawned' | 'started' | 'listening'

/** What the supervisor knows of one worker. */
export interface WorkerState {
  step: WorkerStep
  /** What it serves; 0 for nothing yet. */
  generation: number
  /** The plan of `generation`, if this supervisor brought it there. */
  given: GenerationPlan | null
  /** What it has staged. */
  staged: GenerationPlan | null
  /** The number of what it was asked to stage last; it may be at it still when nobody waits for its answer any more. */
  asked: number
  /** Generations that it has not retired. */
  readonly alive: Set<number>
  failure: GatewayError | null
  readonly requests: PendingRequests<WorkerAnswer>
  /** Ends when nothing is staged or committed there right now; null when nothing is. */
  turn: Promise<void> | null
  /** Called when what is staged is committed or discarded. */
  readonly onSettled: (() => void)[]
}

export interface CommitResult {
  /** When each worker swapped, by the machine's clock that nobody sets, milliseconds with fractions. */
  readonly swappedAt: readonly number[]
  /** Those that did not acknowledge. */
  readonly failed: readonly { readonly worker: number; readonly reason: string }[]
}

/** It is there, and answers nothing any more, not even how much it holds: no change goes on before it is replaced. */
export class SilentWorker extends GatewayError {
  readonly worker: number

  constructor(worker: number, detail: string) {
    super('WORKER_LOST', detail)
    this.worker = worker
  }
}

export function lost(detail: string): GatewayError {
  return new GatewayError('WORKER_LOST', detail)
}

/** Somebody waits until so many workers have come so far. */
export interface StepWait {
  readonly step: WorkerStep
  readonly count: number
  readonly resolve: () => void
  readonly reject: (error: GatewayError) => void
}

/** Of a process that exists, and has said nothing yet. */
export function spawnedWorker(): WorkerState {
  return {
    step: 'spawned',
    generation: 0,
    given: null,
    staged: null,
    asked: 0,
    alive: new Set(),
    failure: null,
    requests: new PendingRequests(),
    turn: null,
    onSettled: [],
  }
}

/** It serves this generation, 0 for none, and nothing is staged there. */
export function serve(state: WorkerState, generation: number): void {
  state.generation = generation
  state.given = [state.staged, state.given].find((plan) => plan?.number === generation) ?? null
  state.staged = null
  if (generation > 0) state.alive.add(generation)
  noteSettled(state)
}

/** What was staged there is committed, discarded, or gone with the worker. */
export function noteSettled(state: WorkerState): void {
  for (const resolve of state.onSettled.splice(0)) resolve()
}

/** A worker gives up what it stages when it is told to stage something else: it is told one thing after the other. */
export function inTurn<T>(state: WorkerState, run: () => Promise<T>): Promise<T> {
  const result = state.turn === null ? run() : state.turn.then(run)
  const turn: Promise<void> = result.then(
    () => endTurn(state, turn),
    () => endTurn(state, turn),
  )
  state.turn = turn
  return result
}

function endTurn(state: WorkerState, turn: Promise<void>): void {
  if (state.turn === turn) state.turn = null
}
