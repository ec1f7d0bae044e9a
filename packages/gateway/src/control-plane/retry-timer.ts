/** Tries something again later: each time after twice as long as the time before, up to a bound. */
export class RetryTimer {
  readonly #firstMs: number
  readonly #maxMs: number
  #nextMs: number
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor({ firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#nextMs = firstMs
  }

  /** How long the next wait is. */
  get nextMs(): number {
    return this.#nextMs
  }

  /** Instead of what was to be tried before. Nothing once it is closed. */
  start(run: () => void): void {
    if (this.#isClosed) return
    this.cancel()
    this.#timer = setTimeout(run, this.#nextMs)
    this.#nextMs = Math.min(2 * this.#nextMs, this.#maxMs)
  }

  cancel(): void {
    clearTimeout(this.#timer)
  }

  /** It went well: the next wait is the first again. */
  reset(): void {
    this.#nextMs = this.#firstMs
  }

  close(): void {
    this.#isClosed = true
    this.cancel()
  }
}
