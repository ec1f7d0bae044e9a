/** How often a process is asked, and how many times in a row it may leave that unanswered. */
export interface PulseLimits {
  readonly periodMs: number
  readonly missedMax: number
}

export interface PulseOptions {
  readonly limits: PulseLimits
  /** Asks the process; `heard` is called for whatever it says next. */
  ask(): void
  /** It has said nothing for so long; called once. */
  onSilence(silentMs: number): void
}

/**
 * Notices that a process is there and does nothing: its event loop has stopped, or it was stopped. What counts is how
 * often it was asked in vain, not a time: where the whole machine or container was frozen, nobody asked meanwhile.
 */
export class Pulse {
  readonly #options: PulseOptions
  #timer: NodeJS.Timeout | undefined
  #missed = 0

  constructor(options: PulseOptions) {
    this.#options = options
  }

  /** A process has just said that it is there. */
  start(): void {
    this.stop()
    this.#missed = 0
    this.#timer = setInterval(() => this.#beat(), this.#options.limits.periodMs)
  }

  /** It has said something, whatever that is. */
  heard(): void {
    this.#missed = 0
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    const { limits, ask, onSilence } = this.#options
    if (this.#missed < limits.missedMax) {
      this.#missed += 1
      ask()
      return
    }
    this.stop()
    onSilence(this.#missed * limits.periodMs)
  }
}
