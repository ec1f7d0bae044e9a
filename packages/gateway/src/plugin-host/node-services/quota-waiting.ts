import type { NodeClock } from '../../base/node-clock.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import { EPSILON } from './quota-demand.ts'
import type { QuotaGrant, QuotaLease } from './quota-lease.ts'

/** All requests that wait for the same bucket, for what the supervisor says next. */
interface Wait {
  /** Null: there was no answer, and nobody waits again before `cancelTimer` is due. */
  answer: PromiseWithResolvers<void> | null
  requests: number
  cost: number
  /** The supervisor has been told. */
  isSaid: boolean
  cancelTimer: () => void
}

/**
 * Requests that found too little in this worker while the bucket may have enough for them: of a bucket that is small for
 * the number of workers, each of them would either refuse what another one has, or let through what all of them have only
 * once.
 */
export class QuotaWaiting {
  readonly #clock: NodeClock
  readonly #waits = new Map<QuotaLease, Wait>()

  constructor(clock: NodeClock) {
    this.#clock = clock
  }

  /** Resolves when it is worth asking again; null when there can be tokens for `most` only, and as many wait. */
  join(lease: QuotaLease, cost: number, most: number): Promise<void> | null {
    if (most < 1) return null
    const wait = this.#waits.get(lease) ?? this.#begin(lease, cost)
    if (wait.answer === null || wait.requests >= most) return null
    wait.requests += 1
    return wait.answer.promise
  }

  /** Whether the supervisor has still to hear that somebody waits. */
  isUnsaid(lease: QuotaLease): boolean {
    const wait = this.#waits.get(lease)
    return wait !== undefined && wait.answer !== null && !wait.isSaid
  }

  /** The supervisor is about to be told. Returns whether somebody waits. */
  say(lease: QuotaLease): boolean {
    const wait = this.#waits.get(lease)
    if (wait === undefined || wait.answer === null) return false
    wait.isSaid = true
    return true
  }

  /** What the supervisor said of the bucket is known to the lease. */
  answered(lease: QuotaLease, { tokens, left, isWaiting }: QuotaGrant): void {
    const wait = this.#waits.get(lease)
    if (wait === undefined) return
    // More comes when others have given it back.
    const isComing = left + EPSILON >= wait.cost && (isWaiting || !wait.isSaid)
    if (tokens <= 0 && isComing) return
    this.wake(lease)
  }

  wake(lease: QuotaLease): void {
    const wait = this.#waits.get(lease)
    if (wait === undefined) return
    this.#waits.delete(lease)
    wait.cancelTimer()
    wait.answer?.resolve()
  }

  close(): void {
    for (const lease of [...this.#waits.keys()]) this.wake(lease)
  }

  #begin(lease: QuotaLease, cost: number): Wait {
    const wait: Wait = {
      answer: Promise.withResolvers(),
      requests: 0,
      cost,
      isSaid: false,
      cancelTimer: this.#clock.after(QUOTA_LIMITS.waitMs, () => {
        wait.answer?.resolve()
        wait.answer = null
        // What is elsewhere is in use there: who comes now is refused at once.
        wait.cancelTimer = this.#clock.after(QUOTA_LIMITS.waitMs, () => this.#waits.delete(lease))
      }),
    }
    this.#waits.set(lease, wait)
    return wait
  }
}
