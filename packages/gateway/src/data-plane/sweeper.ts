/**
 * Deadlines by one coarse sweep: whoever has one registers once and is asked ten times a second whether it has passed.
 * A timer per request would cost two operations on a heap each; this costs a comparison.
 */

export interface Swept {
  /** `nowMs` is on the clock's scale. May remove itself, or others, from the sweep. */
  sweep(nowMs: number): void
}

/** Milliseconds on a scale that never goes back. The harness puts a virtual one in its place. */
export interface Clock {
  nowMs(): number
  /** Unix time in milliseconds, for records. */
  unixMs(): number
  /** Calls back about every `periodMs` until the returned function is called. Never keeps the process alive. */
  every(periodMs: number, callback: () => void): () => void
}

export const SWEEP_PERIOD_MS = 100

export class Sweeper {
  readonly clock: Clock
  /** The time of the last sweep: good enough for deadlines, and free to read. */
  nowMs: number
  readonly #swept = new Set<Swept>()
  #stop: () => void
  readonly #onFault: (error: unknown) => void

  /** `onFault` gets what a swept one throws: a mistake of ours there must not keep the others from their deadlines. */
  constructor(clock: Clock, onFault: (error: unknown) => void) {
    this.clock = clock
    this.#onFault = onFault
    this.nowMs = clock.nowMs()
    this.#stop = clock.every(SWEEP_PERIOD_MS, () => this.#sweep())
  }

  add(swept: Swept): void {
    this.#swept.add(swept)
  }

  remove(swept: Swept): void {
    this.#swept.delete(swept)
  }

  get all(): Iterable<Swept> {
    return this.#swept
  }

  /** A sweep was ended in the middle, and with it the timer that it ran in. */
  mend(): void {
    this.#stop()
    this.#stop = this.clock.every(SWEEP_PERIOD_MS, () => this.#sweep())
  }

  get size(): number {
    return this.#swept.size
  }

  stop(): void {
    this.#stop()
    this.#swept.clear()
  }

  #sweep(): void {
    this.nowMs = this.clock.nowMs()
    for (const swept of this.#swept) {
      try {
        swept.sweep(this.nowMs)
      } catch (error) {
        this.#onFault(error)
      }
    }
  }
}

/** Node makes the global one by a getter, which costs more than the time itself. */
const { performance } = globalThis

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixMs: () => Date.now(),
  every(periodMs, callback) {
    const timer = setInterval(callback, periodMs)
    timer.unref()
    return () => clearInterval(timer)
  },
}
