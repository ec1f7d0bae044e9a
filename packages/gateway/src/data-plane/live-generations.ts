import type { GenerationCensus } from '../protocol/supervisor-worker.ts'
import type { Generation } from './generation.ts'
import type { StartedByConnection } from './http1/connection-host.ts'
import type { Sweeper, Swept } from './sweeper.ts'

/** Descriptions of exchanges in a census, for each generation. */
const OLDEST_MAX = 5

export interface LiveGenerationsOptions {
  readonly sweeper: Sweeper
  /** All exchanges of the worker that have a connection. Asked only when something is to be told or done. */
  exchanges(): Iterable<StartedByConnection>
  /** An invariant of ours did not hold for one of them. */
  onInternalError(error: unknown): void
}

/** The generations of a worker: the one that new exchanges run on, and those before it that exchanges still hold. */
export class LiveGenerations implements Swept {
  sweepIndex = -1
  #current: Generation | null = null
  /** Oldest first, with the time of its replacement; null when its exchanges have been cut. */
  readonly #replaced = new Map<Generation, number | null>()
  readonly #options: LiveGenerationsOptions

  constructor(options: LiveGenerationsOptions) {
    this.#options = options
    options.sweeper.add(this)
  }

  get current(): Generation | null {
    return this.#current
  }

  /** From now on new exchanges run on `next`; null: there are none any more. */
  replace(next: Generation | null): void {
    const previous = this.#current
    this.#current = next
    if (previous === null) return
    this.#replaced.set(previous, this.#options.sweeper.nowMs)
    previous.retire()
  }

  /** Nothing runs on it any more. */
  freed(generation: Generation): void {
    this.#replaced.delete(generation)
  }

  /** What the generation at hand says of streams holds for those of all before it. */
  sweep(nowMs: number): void {
    const deadlineMs = this.#current?.settings.changes.streamDeadlineMs ?? 0
    if (deadlineMs === 0) return
    for (const [generation, sinceMs] of this.#replaced) {
      if (sinceMs === null || nowMs < sinceMs + deadlineMs) continue
      this.#replaced.set(generation, null)
      this.#cut(generation)
    }
  }

  #cut(generation: Generation): void {
    for (const exchange of this.#options.exchanges()) {
      if (exchange.generation !== generation) continue
      try {
        exchange.expire('GENERATION_EXPIRED')
      } catch (error) {
        this.#options.onInternalError(error)
      }
    }
  }

  /** Oldest first. */
  census(): GenerationCensus[] {
    const living = new Map([...this.#replaced.keys(), this.#current].map((one) => [one, new Oldest()]))
    for (const exchange of this.#options.exchanges()) living.get(exchange.generation)?.add(exchange)
    return [...living].flatMap(([generation, oldest]) => {
      if (generation === null) return []
      return [{ number: generation.number, exchanges: generation.exchanges, oldest: oldest.described() }]
    })
  }
}

/** The few oldest of many exchanges. */
class Oldest {
  readonly #found: StartedByConnection[] = []

  add(exchange: StartedByConnection): void {
    const found = this.#found
    const at = found.findIndex((other) => isOlder(exchange.id, other.id))
    if (at !== -1) found.splice(at, 0, exchange)
    else if (found.length < OLDEST_MAX) found.push(exchange)
    if (found.length > OLDEST_MAX) found.pop()
  }

  described(): string[] {
    return this.#found.map((exchange) => exchange.describe())
  }
}

/** Ids of one worker differ in the count at their end, which has no leading zeros. */
function isOlder(id: string, other: string): boolean {
  return id.length === other.length ? id < other : id.length < other.length
}
