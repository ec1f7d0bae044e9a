/**
 * Deadlines by one coarse sweep: whoever has one registers once and is asked ten times a second whether it has passed.
 * A timer per request would cost two operations on a heap each; this costs a comparison.
 */

export interface Swept {
  /** The sweeper's own: its place there; -1 outside. */
  sweepIndex: number
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

/** Between two sweeps; more than that, and the event loop has stood still. */
const GAP_MAX_MS = 2 * SWEEP_PERIOD_MS

export class Sweeper {
  readonly clock: Clock
  /** The time of the last sweep: good enough for deadlines, and free to read. */
  nowMs: number
  /**
   * No Set: when V8 makes room in one it makes a new table, to which the old one points. Once the old one has been promoted
   * all that the new ones ever held looks alive to a scavenge, and connections of one request each fill the old generation.
   */
  readonly #swept: Swept[] = []
  #stop: () => void
  #isPutOff = false
  readonly #onFault: (error: unknown) => void

  /** `onFault` gets what a swept one throws: a mistake of ours there must not keep the others from their deadlines. */
  constructor(clock: Clock, onFault: (error: unknown) => void) {
    this.clock = clock
    this.#onFault = onFault
    this.nowMs = clock.nowMs()
    this.#stop = clock.every(SWEEP_PERIOD_MS, () => this.#sweep())
  }

  /** Nothing happens when it is there already. */
  add(swept: Swept): void {
    if (swept.sweepIndex !== -1) return
    swept.sweepIndex = this.#swept.length
    this.#swept.push(swept)
  }

  /** Nothing happens when it is not there. */
  remove(swept: Swept): void {
    const at = swept.sweepIndex
    const last = this.#swept.at(-1)
    if (at === -1 || last === undefined) return
    this.#swept[at] = last
    last.sweepIndex = at
    swept.sweepIndex = -1
    this.#swept.pop()
  }

  /** As they are now. */
  get all(): readonly Swept[] {
    return this.#swept.slice()
  }

  /** A sweep was ended in the middle, and with it the timer that it ran in. */
  mend(): void {
    this.#stop()
    this.#stop = this.clock.every(SWEEP_PERIOD_MS, () => this.#sweep())
  }

  get size(): number {
    return this.#swept.length
  }

  stop(): void {
    this.#stop()
    for (const swept of this.#swept) swept.sweepIndex = -1
    this.#swept.length = 0
  }

  #sweep(): void {
    const nowMs = this.clock.nowMs()
    const gapMs = nowMs - this.nowMs
    this.nowMs = nowMs
    // Timers come before what sockets have brought: what came in time while a plugin blocked is read first. Else upstreams and
    // clients would pay for the wait with a fault of their own. Once: under load every sweep may be late.
    this.#isPutOff = gapMs > GAP_MAX_MS && !this.#isPutOff
    if (this.#isPutOff) return
    // From the end, since the last one takes the place of one that is removed.
    for (let at = this.#swept.length - 1; at >= 0; at--) {
      try {
        this.#swept[at]?.sweep(this.nowMs)
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
