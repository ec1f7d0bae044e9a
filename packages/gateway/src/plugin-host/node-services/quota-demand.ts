import { QUOTA_LIMITS } from '../../config/quota-limits.ts'

/** Fractions that were added up in another order differ by less than this. */
export const EPSILON = 1e-9

/** How much of one bucket is asked for in this worker, refused requests included. */
export class QuotaDemand {
  /** Tokens asked for within about `leaseMs`, at the last `measure`. */
  level = 0
  /** Tokens of the last request. */
  cost = 1
  measuredAt: number
  #usedAt: number
  #asked = 0

  /** Not used before `touch`, unless the time is given: a lease that another worker's need made never was. */
  constructor(now: number, usedAt = Number.NEGATIVE_INFINITY) {
    this.measuredAt = now
    this.#usedAt = usedAt
  }

  note(cost: number): void {
    this.#asked += cost
    this.cost = cost
  }

  get usedAt(): number {
    return this.#usedAt
  }

  /** There was a request, whatever became of it. */
  touch(now: number): void {
    this.#usedAt = now
  }

  /** Keeps about how much is asked for, as if that had always been as it was since the last time. */
  measure(now: number): void {
    const elapsedMs = Math.max(now - this.measuredAt, 0.01)
    const past = Math.exp(-elapsedMs / QUOTA_LIMITS.leaseMs)
    const lately = (this.#asked / elapsedMs) * QUOTA_LIMITS.leaseMs
    this.level = this.level * past + lately * (1 - past)
    this.#asked = 0
    this.measuredAt = now
  }

  isUnused(now: number): boolean {
    return now - this.#usedAt > QUOTA_LIMITS.idleMs
  }

  /** A request came just now: what others need more urgently is not to be kept for anything else. */
  isBusy(now: number): boolean {
    return now - this.#usedAt <= QUOTA_LIMITS.leaseMs
  }

  /** Half the bucket at most: the supervisor fills what it believes to be used, and hears of it only now and then. */
  target(burst: number): number {
    return Math.max(Math.min(2 * this.level, burst / 2), this.cost)
  }

  /** A request was refused that could be let through now, if there were more tokens than `held`. */
  isNeedy(held: number, now: number): boolean {
    return held + EPSILON < this.cost && !this.isUnused(now)
  }

  /** What others may have of `held`. Enough for one request stays, unless they need it and it is of no use here. */
  spareOf(held: number, isUrgent: boolean, isUseless: boolean): number {
    if (isUrgent && isUseless) return held
    const spare = Math.max(held - Math.max(this.level, this.cost), 0)
    return isUrgent ? spare : spare / 2
  }
}
