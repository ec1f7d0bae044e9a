import type { ThreadLoad } from './process-meter.ts'

export interface StallLimits {
  readonly stallMs: number
  readonly starvedFactor: number
  readonly pollMs: number
}

/**
 * Tells a process whose event loop stands still from one that is merely not heard: because this process was busy itself
 * (then what the other one said waits to be read), or because the machine gives the other one no core.
 */
export class StallWatch {
  readonly #limits: StallLimits
  #silentMs = 0
  #lastPollAt: number
  /** Of the main thread, when it was last heard. */
  #cpuMsAtBeat: number | null = null

  constructor(limits: StallLimits, now: number) {
    this.#limits = limits
    this.#lastPollAt = now
  }

  /** It gave a sign of life. */
  beat(): void {
    this.#silentMs = 0
    this.#cpuMsAtBeat = null
  }

  /** To be asked every `pollMs`. `load` is null where it cannot be known. */
  isStalled(now: number, load: ThreadLoad | null): boolean {
    const { stallMs, starvedFactor, pollMs } = this.#limits
    // A poll that comes late comes before what waits to be read.
    this.#silentMs += Math.min(now - this.#lastPollAt, 2 * pollMs)
    this.#lastPollAt = now
    if (load === null) return this.#silentMs >= stallMs
    this.#cpuMsAtBeat ??= load.cpuMs
    if (this.#silentMs < stallMs) return false
    const isStarved = load.isRunnable && load.cpuMs - this.#cpuMsAtBeat < stallMs / 2
    return !isStarved || this.#silentMs >= stallMs * starvedFactor
  }
}
