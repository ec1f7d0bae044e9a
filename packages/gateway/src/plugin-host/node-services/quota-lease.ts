import { QUOTA_LIMITS } from '../../config/limits.ts'
import type { QuotaAsk, QuotaNote } from '../../protocol/node-services.ts'

export type QuotaGrant = QuotaNote & { readonly kind: 'grant' }

export interface QuotaShape {
  /** Tokens per second. */
  readonly rate: number
  readonly burst: number
}

/** Fractions that were added up in another order differ by less than this. */
const EPSILON = 1e-9

/**
 * What one worker knows and holds of one bucket; protocol/node-services.ts has the rules. All fields are numbers and
 * flags that are changed in place: taking a token allocates nothing.
 */
export class QuotaLease {
  readonly plugin: string
  readonly key: string
  rate: number
  burst: number
  /** It stands in the list of those that ask at the end of this turn. */
  isQueued = false

  readonly #workers: number
  /** The worker's own part when it is full: what it has without saying anything. */
  #part: number
  #ratePerMs: number
  #held: number
  /** The own part was given up: what comes, comes by grants. */
  #isLeased = false
  /** When the own part, or what is drawn of it, was last filled. */
  #filledAt: number
  /** Below it the supervisor is told and asked. */
  #askBelow: number
  /** Below it a lease is too small for what is used. */
  #low = 0

  // Since the claim.
  #received = 0
  #used = 0
  #usedSaid = 0
  #usedHeard = 0
  #returned = 0
  #returnedHeard = 0

  /** Taken without a grant since the last ask. */
  #drawn = 0
  /** When that was, since the last grant. */
  #drawnFrom = 0
  #drawnUntil = 0

  // What is wanted: tokens asked for within about `leaseMs`, those refused included.
  #level = 0
  #demand = 0
  #measuredAt: number
  #cost = 1
  #usedAt: number

  // What was last heard.
  #isWaiting = false
  #isRecalled = false
  #isUrgent = false
  #isAnswered = true
  #left = 0
  #free = 0
  #at = 0
  #sequence = 0
  #heardAt = 0
  #claimAt = 0

  constructor(plugin: string, key: string, shape: QuotaShape, workers: number, now: number) {
    this.plugin = plugin
    this.key = key
    this.rate = shape.rate
    this.burst = shape.burst
    this.#ratePerMs = shape.rate / 1_000
    this.#workers = workers
    this.#part = shape.burst / workers
    this.#held = this.#part
    this.#askBelow = this.#claimBelow()
    this.#filledAt = now
    this.#measuredAt = now
    this.#usedAt = now
  }

  /** False: only this worker knows of what it used. */
  get isLeased(): boolean {
    return this.#isLeased
  }

  /** Takes `cost` tokens if they are there. `silentSince`: the supervisor does not answer, or null. */
  take(cost: number, now: number, silentSince: number | null): boolean {
    this.#usedAt = now
    if (!this.#isLeased) {
      this.#fill(now)
      // A full bucket refuses nobody, however small the part: what is more than that becomes a debt of the bucket.
      const isFull = this.#held >= this.#part - EPSILON
      if (this.#held + EPSILON < cost && !(isFull && cost <= this.burst)) return this.#refuse(cost)
    } else if (this.#held + EPSILON < cost) {
      if (silentSince !== null) this.#draw(now, silentSince)
      if (this.#held + EPSILON < cost) return this.#refuse(cost)
    }
    this.#held -= cost
    this.#used += cost
    this.#demand += cost
    this.#cost = cost
    return true
  }

  /** After `take`: whether the supervisor must hear of it. */
  wantsToAsk(isAllowed: boolean, now: number): boolean {
    if (this.isQueued || (isAllowed && this.#held >= this.#askBelow)) return false
    if (!this.#isLeased) return now >= this.#claimAt
    if (!this.#isAnswered) return false
    if (isAllowed || !this.#isWaiting || this.#used > this.#usedSaid) return true
    return now - this.#heardAt > this.#overdueMs
  }

  /** Tokens of the whole bucket as far as this worker knows; negative when too much was used. */
  estimate(now: number): number {
    if (!this.#isLeased) return this.burst - (this.#part - this.#held)
    const left = this.#left + this.#ratePerMs * (now - this.#at) - (this.#used - this.#usedHeard)
    return Math.max(Math.min(left, this.burst), this.#held)
  }

  /** Until `cost` tokens should be here, rounded up. */
  retryAfterMs(cost: number, now: number): number {
    if (cost > this.burst) return Number.POSITIVE_INFINITY
    if (!this.#isLeased) return Math.ceil(((cost - this.#held) * this.#workers) / this.#ratePerMs)
    const missing = Math.max(cost - this.estimate(now), 0)
    // What is there must be pushed here first.
    return Math.ceil(missing / this.#ratePerMs) + 2 * QUOTA_LIMITS.pushPeriodMs
  }

  /** The plugin asks for other numbers than before. What was used stays used; no change makes tokens. */
  reshape(shape: QuotaShape, now: number): void {
    this.#fill(now)
    this.rate = shape.rate
    this.burst = shape.burst
    this.#ratePerMs = shape.rate / 1_000
    this.#part = shape.burst / this.#workers
    this.#held = Math.min(this.#held, this.#isLeased ? shape.burst : this.#part)
    // At once: until the supervisor knows, it fills by the old numbers.
    this.#askBelow = this.#isLeased ? Number.POSITIVE_INFINITY : this.#claimBelow()
  }

  /** What the supervisor is told now. The lease counts as asked from here on. */
  ask(now: number): QuotaAsk {
    this.#measure(now)
    const isClaim = !this.#isLeased
    if (isClaim) this.#becomeLeased(now)
    // Where requests are refused now comes before where one was a while ago.
    const isNeedy = this.#isNeedy(now) && !(this.#isUrgent && !this.#isBusy(now))
    const returned = this.#isRecalled ? this.#recallable(isNeedy, now) : this.#idleExcess(now)
    this.#held -= returned
    this.#returned += returned
    const target = this.#target()
    const isInUse = now - this.#usedAt <= QUOTA_LIMITS.idleMs
    const asksForMore = isInUse && (isNeedy || !this.#isRecalled)
    const want = asksForMore ? Math.max(target - this.#held, 0) : 0
    const need = isNeedy ? Math.min(Math.max(this.#cost - this.#held, 0), want) : 0
    const drawn = this.#drawn
    this.#drawn = 0
    this.#usedSaid = this.#used
    this.#isRecalled = false
    this.#isUrgent = false
    this.#isAnswered = false
    this.#low = target / 2
    this.#setAskBelow()
    return this.#say({ isClaim, want, need, drawn, known: null })
  }

  /** As `ask`, to a supervisor that knows nothing: what is held, and what was last heard. */
  reclaim(now: number): QuotaAsk {
    this.#received = 0
    // What was given back and did not arrive is still here.
    this.#held += this.#returned - this.#returnedHeard
    this.#returned = 0
    this.#returnedHeard = 0
    const known = {
      free: this.#free,
      at: this.#at,
      sequence: this.#sequence,
      drawnFrom: this.#drawnFrom,
      drawnUntil: this.#drawnUntil,
      used: this.#used - this.#usedHeard,
    }
    // It follows from when that was.
    this.#drawn = 0
    this.#isRecalled = false
    return { ...this.ask(now), isClaim: true, known }
  }

  grant(note: QuotaGrant, now: number): void {
    if (!this.#isLeased) return
    this.#held += note.tokens
    this.#received += note.tokens
    this.#left = note.left
    this.#free = note.free
    this.#at = note.at
    this.#sequence = note.sequence
    this.#usedHeard = note.used
    this.#returnedHeard = note.returned
    this.#isWaiting = note.isWaiting
    this.#isAnswered = true
    this.#heardAt = now
    this.#drawnFrom = note.at
    this.#drawnUntil = note.at
    this.#filledAt = now
    this.#setAskBelow()
  }

  /** The next ask gives back what is of no use here. */
  recall(isUrgent: boolean): void {
    this.#isRecalled = true
    this.#isUrgent ||= isUrgent
  }

  /** The own part is back, less what the supervisor has not heard of. */
  forget(usedHeard: number, isRefused: boolean, now: number): void {
    if (!this.#isLeased) return
    const untold = this.#used - usedHeard
    this.#isLeased = false
    // Refused, the bucket is not full: then there is what there is.
    this.#held = isRefused ? Math.min(this.#held, this.#part) : this.#part - untold
    this.#received = 0
    this.#drawn = 0
    this.#isWaiting = false
    this.#isRecalled = false
    this.#isAnswered = true
    this.#filledAt = now
    this.#claimAt = isRefused ? now + QUOTA_LIMITS.idleMs : 0
    this.#askBelow = this.#claimBelow()
  }

  /** The sweep's question: whether nothing would be lost without this lease. */
  isIdle(now: number): boolean {
    if (this.#isLeased || this.isQueued) return false
    this.#fill(now)
    return this.#held >= this.#part - EPSILON
  }

  /** The sweep's question: whether something is to be said although nothing happens any more. */
  isOverdue(now: number): boolean {
    if (!this.#isLeased || this.isQueued || !this.#isAnswered) return false
    if (now - this.#measuredAt < QUOTA_LIMITS.idleMs) return false
    return (
      this.#used > this.#usedSaid || this.#idleExcess(now) > 0 || (this.#isWaiting && this.#isUnused(now))
    )
  }

  #say(rest: Pick<QuotaAsk, 'isClaim' | 'want' | 'need' | 'drawn' | 'known'>): QuotaAsk {
    const { plugin, key, rate, burst } = this
    const [held, received, used, returned] = [this.#held, this.#received, this.#used, this.#returned]
    return { plugin, key, rate, burst, held, received, used, returned, ...rest }
  }

  #becomeLeased(now: number): void {
    this.#fill(now)
    this.#isLeased = true
    this.#received = 0
    this.#used = 0
    this.#usedSaid = 0
    this.#usedHeard = 0
    this.#returned = 0
    this.#returnedHeard = 0
    // Nothing flows into the own part any more: from now on the supervisor has to give what does.
    this.#left = this.burst - (this.#part - this.#held)
    // The debt goes to the bucket.
    this.#drawn = Math.max(-this.#held, 0)
    this.#held = Math.max(this.#held, 0)
    this.#free = -this.#drawn
    this.#at = now
    this.#sequence = 0
    this.#drawnFrom = now
    this.#drawnUntil = now
  }

  #refuse(cost: number): false {
    if (cost <= this.burst) {
      this.#demand += cost
      this.#cost = cost
    }
    return false
  }

  #fill(now: number): void {
    if (this.#isLeased) return
    const filled = this.#held + (this.#ratePerMs / this.#workers) * (now - this.#filledAt)
    this.#held = Math.min(this.#part, filled)
    this.#filledAt = now
  }

  /** The worker's part of what flows into the bucket, while nobody is there who could grant it. */
  #draw(now: number, silentSince: number): void {
    const from = Math.max(this.#filledAt, silentSince)
    const amount = Math.min((this.#ratePerMs / this.#workers) * (now - from), this.#part - this.#held)
    if (amount <= 0) return
    if (this.#drawnUntil <= this.#drawnFrom) this.#drawnFrom = from
    this.#drawnUntil = now
    this.#held += amount
    this.#drawn += amount
    this.#filledAt = now
  }

  /** A request was refused that could be let through now, if there were tokens. */
  #isNeedy(now: number): boolean {
    return this.#held + EPSILON < this.#cost && !this.#isUnused(now)
  }

  #isUnused(now: number): boolean {
    return now - this.#usedAt > QUOTA_LIMITS.idleMs
  }

  /** A request came just now: what others need more urgently is not to be kept for anything else. */
  #isBusy(now: number): boolean {
    return now - this.#usedAt <= QUOTA_LIMITS.leaseMs
  }

  /** What others may have. Enough for one request stays, unless they need it and nobody does here. */
  #recallable(isNeedy: boolean, now: number): number {
    if (this.#isUrgent && (isNeedy || !this.#isBusy(now))) return this.#held
    const spare = Math.max(this.#held - Math.max(this.#level, this.#cost), 0)
    return this.#isUrgent ? spare : spare / 2
  }

  #idleExcess(now: number): number {
    return this.#isUnused(now) ? Math.max(this.#held - this.#part, 0) : 0
  }

  /** Keeps about how much is asked for in `leaseMs`, as if that had always been as it was since the last time. */
  #measure(now: number): void {
    const elapsedMs = Math.max(now - this.#measuredAt, 0.01)
    const past = Math.exp(-elapsedMs / QUOTA_LIMITS.leaseMs)
    const lately = (this.#demand / elapsedMs) * QUOTA_LIMITS.leaseMs
    this.#level = this.#level * past + lately * (1 - past)
    this.#demand = 0
    this.#measuredAt = now
  }

  /** Half the bucket at most: the supervisor fills what it believes to be used, and hears of it only now and then. */
  #target(): number {
    return Math.max(Math.min(2 * this.#level, this.burst / 2), this.#cost)
  }

  #setAskBelow(): void {
    const step = Math.max(QUOTA_LIMITS.untoldRatio * this.burst, this.#low, 1)
    this.#askBelow = Math.max(this.#low, this.#held - step)
  }

  #claimBelow(): number {
    return Math.max(this.#part / 2, this.#part - QUOTA_LIMITS.untoldRatio * this.burst)
  }

  /** When a token should long have been pushed: perhaps nobody is there any more. */
  get #overdueMs(): number {
    return Math.max(QUOTA_LIMITS.silentMs, (2 * this.#cost) / this.#ratePerMs)
  }
}
