export interface BackoffOptions {
  readonly firstDelayMs: number
  readonly delayMaxMs: number
  /** Who lived this long is started again at once. */
  readonly healthyMs: number
}

/**
 * How long to wait before something that ended is started again: not at all the first time, then from `firstDelayMs`
 * on twice as long each time, up to `delayMaxMs`.
 */
export class Backoff {
  readonly #options: BackoffOptions
  #failures = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** The wait after a life of `livedMs`. */
  nextDelayMs(livedMs: number): number {
    const { firstDelayMs, delayMaxMs, healthyMs } = this.#options
    if (livedMs >= healthyMs) this.#failures = 0
    const delayMs = this.#failures === 0 ? 0 : Math.min(firstDelayMs * 2 ** (this.#failures - 1), delayMaxMs)
    this.#failures += 1
    return delayMs
  }
}
