/** How what was used of a quota comes back: all at once at the end of each window, or evenly one window later. */
export type QuotaWindow = 'fixed' | 'sliding'

/** Whole milliseconds, since `rate` is often a fraction that cannot be written down. */
export function windowMsOf(rate: number, burst: number): number {
  return Math.max(Math.round((burst * 1_000) / rate), 1)
}

/**
 * The tokens that somebody used of a window's limit, and that come back to whoever used them. Windows begin at multiples
 * of their length on the machine's clock, so they are the same in all processes.
 */
export class SpentTokens {
  readonly kind: QuotaWindow
  readonly windowMs: number
  #index: number
  /** Used in this window. */
  #current = 0
  /** Used in the window before; `#returned` of it are back. Of a fixed window: nothing. */
  #previous = 0
  #returned = 0

  constructor(kind: QuotaWindow, windowMs: number, now: number) {
    this.kind = kind
    this.windowMs = windowMs
    this.#index = Math.floor(now / windowMs)
  }

  /** When the window that was last looked at began, and when it ends. */
  get startedAt(): number {
    return this.#index * this.windowMs
  }

  get endsAt(): number {
    return (this.#index + 1) * this.windowMs
  }

  /** What has not come back. */
  get total(): number {
    return this.#current + this.#previous - this.#returned
  }

  /** After `recycle` of the same turn. */
  spend(tokens: number): void {
    this.#current += tokens
  }

  /** What has come back since it was asked last. */
  recycle(now: number): number {
    const before = this.total
    const index = Math.floor(now / this.windowMs)
    if (index > this.#index) {
      const isNext = index === this.#index + 1 && this.kind === 'sliding'
      this.#previous = isNext ? this.#current : 0
      this.#current = 0
      this.#returned = 0
      this.#index = index
    }
    if (this.#previous > 0) {
      const returned = this.#previous * (now / this.windowMs - index)
      this.#returned = Math.min(Math.max(this.#returned, returned), this.#previous)
    }
    return before - this.total
  }

  /** Until so many tokens have come back, in milliseconds; at most until all have. */
  untilMs(tokens: number, now: number): number {
    if (tokens <= 0 || this.total <= 0) return 0
    const nextAt = this.endsAt
    if (this.kind === 'fixed') return nextAt - now
    const left = this.#previous - this.#returned
    if (tokens <= left) return (tokens / this.#previous) * this.windowMs
    if (this.#current <= 0) return nextAt - now
    return nextAt - now + Math.min((tokens - left) / this.#current, 1) * this.windowMs
  }

  /** As `untilMs`, of the `all` that were used by everybody: taken to come back as what was used here. */
  untilSampleMs(tokens: number, all: number, now: number): number {
    if (this.kind === 'fixed') return this.endsAt - now
    if (tokens <= 0) return 0
    const share = Math.min(tokens / Math.max(all, tokens), 1)
    if (this.total > 0) return this.untilMs(share * this.total, now)
    return this.endsAt - now + this.windowMs * share
  }
}
