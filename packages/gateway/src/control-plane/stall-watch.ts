export interface StallLimits {
  readonly stallMs: number
  readonly waitingFactor: number
  readonly pollMs: number
}

/** Share of a core from which on a silent thread counts as busy. Collecting garbage costs it part of a whole one. */
const BUSY_SHARE = 0.75

/**
 * Tells a process whose event loop stands still from one that is merely not heard: because this process was busy itself
 * (then what the other one said waits to be read), or because the other one gets no core or waits for a disk, or for its
 * own thread that asks where it stands.
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

  /**
   * The silence that was granted and is over; null while it is not. To be asked every `pollMs`. `cpuMs`: what its main thread has
   * used since it started; null where nobody knows.
   */
  exceededMs(now: number, cpuMs: number | null): number | null {
    const { stallMs, waitingFactor, pollMs } = this.#limits
    // A poll that comes late comes before what waits to be read.
    this.#silentMs += Math.min(now - this.#lastPollAt, 2 * pollMs)
    this.#lastPollAt = now
    if (cpuMs !== null) this.#cpuMsAtBeat ??= cpuMs
    if (this.#silentMs < stallMs) return null
    const isBusy = cpuMs === null || cpuMs - (this.#cpuMsAtBeat ?? cpuMs) >= stallMs * BUSY_SHARE
    if (isBusy) return stallMs
    const waitMs = stallMs * waitingFactor
    return this.#silentMs >= waitMs ? waitMs : null
  }
}
