import type { QuotaWindow, SpentTokens } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { QuotaAsk, QuotaNote } from '../../protocol/node-services.ts'
import { EPSILON, QuotaDemand } from './quota-demand.ts'
import {
  claimBelowOf,
  flowOf,
  isAlike,
  isScarce,
  overdueMsOf,
  type QuotaShape,
  spentOf,
} from './quota-shape.ts'

export type QuotaGrant = QuotaNote & { readonly kind: 'grant' }

/**
 * What one worker knows and holds of one bucket; protocol/node-services.ts has the rules. All fields are numbers and
 * flags that are changed in place: taking a token allocates nothing.
 */
export class QuotaLease {
  readonly plugin: string
  readonly key: string
  rate: number
  burst: number
  window: QuotaWindow | null
  /** It stands in the list of those that ask at the end of this turn. */
  isQueued = false

  readonly #workers: number
  /** What it has without saying anything. */
  #part: number
  /** What flows in; 0 into a window. */
  #ratePerMs: number
  #held: number
  /** Of a window, what was used of it here and comes back here. */
  #spent: SpentTokens | null
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
  #spentSaid = 0
  #usedHeard = 0
  #returned = 0
  #returnedHeard = 0

  /** Taken without a grant since the last ask. */
  #drawn = 0
  /** When that was, since the last grant. */
  #drawnFrom = 0
  #drawnUntil = 0
  readonly #demand: QuotaDemand
  // What was last heard.
  #isWaiting = false
  #isRecalled = false
  #isUrgent = false
  #isAnswered = true
  #left = 0
  #free = 0
  /** What has come back of a window since. */
  #recycled = 0
  #at = 0
  #sequence = 0
  #heardAt = 0
  #claimAt = 0

  constructor(plugin: string, key: string, shape: QuotaShape, workers: number, now: number) {
    this.plugin = plugin
    this.key = key
    this.rate = shape.rate
    this.burst = shape.burst
    this.window = shape.window
    this.#ratePerMs = flowOf(shape)
    this.#spent = spentOf(shape, now)
    this.#workers = workers
    this.#part = shape.burst / workers
    this.#held = this.#part
    this.#askBelow = claimBelowOf(this.#part, this.burst)
    this.#filledAt = now
    this.#demand = new QuotaDemand(now)
  }

  /** False: only this worker knows of what it used. */
  get isLeased(): boolean {
    return this.#isLeased
  }

  /** Takes `cost` tokens if they are there. `silentSince`: the supervisor does not answer, or null. */
  take(cost: number, now: number, silentSince: number | null): boolean {
    this.#demand.touch(now)
    if (cost <= this.burst) this.#demand.note(cost)
    if (!this.has(cost, now, silentSince)) return false
    this.#held -= cost
    this.#used += cost
    this.#spent?.spend(cost)
    return true
  }

  /** Whether `take` would have enough. */
  has(cost: number, now: number, silentSince: number | null): boolean {
    this.#fill(now)
    if (this.#held + EPSILON >= cost) return true
    // With nobody to ask, a full bucket refuses nobody, however small the part: what is more than that becomes its debt.
    const canClaim = silentSince === null && now >= this.#claimAt
    if (!this.#isLeased) return !canClaim && this.#isFull() && cost <= this.burst
    if (silentSince !== null) this.#draw(now, silentSince)
    else if (!isScarce(cost, this.burst, this.#workers) && this.#isSurelyThere(cost, now)) {
      this.#drawn += cost - this.#held
      this.#held = cost
    }
    return this.#held + EPSILON >= cost
  }

  /** What the supervisor is told now it answers. */
  get canAsk(): boolean {
    return !this.isQueued && this.#isAnswered
  }

  /** After `take`: whether the supervisor must hear of it. */
  wantsToAsk(isAllowed: boolean, now: number): boolean {
    if (this.isQueued || (isAllowed && this.#held >= this.#askBelow)) return false
    if (!this.#isLeased) return now >= this.#claimAt
    if (!this.#isAnswered) return false
    if (isAllowed || !this.#isWaiting || this.#used > this.#usedSaid) return true
    return now - this.#heardAt > overdueMsOf(this.#spent, this.#demand.cost, this.#ratePerMs)
  }

  /** Tokens of the whole bucket as far as this worker knows, after `take`; negative when too much was used. */
  estimate(now: number): number {
    if (!this.#isLeased) return this.burst - (this.#part - this.#held)
    const spent = this.#spent
    // Nobody has said yet what was used in a window that has begun since.
    if (spent?.kind === 'fixed' && spent.startedAt > this.#at) return this.burst - spent.total
    const back = this.#ratePerMs * (now - this.#at) + Math.max(this.#recycled, 0)
    const left = this.#left + back - (this.#used - this.#usedHeard)
    return Math.max(Math.min(left, this.burst), this.#held)
  }

  /** How many requests the whole bucket may have tokens for; none if it was refused. What a window got back elsewhere is not known. */
  requestsMax(cost: number, now: number): number {
    if (!this.#isLeased && now < this.#claimAt) return 0
    const known = Math.floor(this.estimate(now) / cost + EPSILON)
    const isLongAgo = this.#isLeased && now - this.#heardAt >= QUOTA_LIMITS.recallPeriodMs
    return known > 0 || this.#spent === null || !isLongAgo ? known : 1
  }

  /** Until `cost` tokens should be here, rounded up. */
  retryAfterMs(cost: number, now: number): number {
    if (cost > this.burst) return Number.POSITIVE_INFINITY
    if (!this.#isLeased) {
      // The own part fills by its share; what comes back of a window comes back whole.
      const share = this.#spent === null ? this.#workers : 1
      return Math.ceil(this.#untilMs((cost - this.#held) * share, now))
    }
    const missingMs = this.#untilMs(Math.max(cost - this.estimate(now), 0), now)
    // What is there must be pushed here first.
    return Math.ceil(missingMs) + 2 * QUOTA_LIMITS.pushPeriodMs
  }

  /** Until the bucket is full if nothing more is used, or its window ends; rounded up. */
  resetMs(now: number): number {
    const spent = this.#spent
    if (spent?.kind === 'fixed') return Math.ceil(spent.endsAt - now)
    const missing = this.burst - this.estimate(now)
    if (missing <= EPSILON) return 0
    if (spent !== null) return Math.ceil(spent.endsAt + spent.windowMs - now)
    return Math.ceil(missing / this.#ratePerMs)
  }

  /** The plugin asks for other numbers than before. What was used stays used; no change makes tokens. */
  reshape(shape: QuotaShape, now: number): void {
    this.#fill(now)
    this.rate = shape.rate
    this.burst = shape.burst
    this.#ratePerMs = flowOf(shape)
    this.#reshapeWindow(shape, now)
    this.#part = shape.burst / this.#workers
    if (this.#isLeased) this.#held = Math.min(this.#held, shape.burst)
    else if (this.#spent !== null) this.#held = this.#part - this.#spent.total
    else this.#held = Math.min(this.#held, this.#part)
    // At once: until the supervisor knows, it fills by the old numbers.
    this.#askBelow = this.#isLeased ? Number.POSITIVE_INFINITY : claimBelowOf(this.#part, this.burst)
  }

  /** What the supervisor is told now. The lease counts as asked from here on. */
  ask(now: number, isAwaited: boolean): QuotaAsk {
    this.#demand.measure(now)
    this.#fill(now)
    const isClaim = !this.#isLeased
    if (isClaim) this.#becomeLeased(now)
    const mayKeep = this.#demand.isBusy(now) && !isScarce(this.#demand.cost, this.burst, this.#workers)
    // Where requests are refused now comes before where one was a while ago.
    const isNeedy = this.#demand.isNeedy(this.#held, now) && (isAwaited || mayKeep || !this.#isUrgent)
    const spare = this.#isRecalled
      ? this.#demand.spareOf(this.#held, this.#isUrgent, isNeedy || !mayKeep)
      : this.#idleExcess(now)
    const returned = Math.max(spare, this.#excess(), 0)
    this.#held -= returned
    this.#returned += returned
    const target = this.#demand.target(this.burst)
    const isInUse = !this.#demand.isUnused(now)
    const asksForMore = isInUse && (isNeedy || !this.#isRecalled)
    const want = asksForMore ? Math.max(target - this.#held, 0) : 0
    const need = isNeedy ? Math.min(Math.max(this.#demand.cost - this.#held, 0), want) : 0
    const drawn = this.#drawn
    this.#drawn = 0
    this.#usedSaid = this.#used
    this.#spentSaid = this.#spent?.total ?? 0
    this.#isRecalled = false
    this.#isUrgent = false
    this.#isAnswered = false
    this.#low = target / 2
    this.#setAskBelow()
    return this.#say({ isClaim, want, need, drawn, isAwaited, known: null })
  }

  /** As `ask`, to a supervisor that knows nothing: what is held, and what was last heard. */
  reclaim(now: number, isAwaited: boolean): QuotaAsk {
    this.#received = 0
    // What was given back and did not arrive is still here.
    this.#held += this.#returned - this.#returnedHeard
    this.#returned = 0
    this.#returnedHeard = 0
    const used = this.#used - this.#usedHeard
    const heard = { free: this.#free, at: this.#at, sequence: this.#sequence, used }
    const known = { ...heard, drawnFrom: this.#drawnFrom, drawnUntil: this.#drawnUntil }
    // It follows from when that was.
    this.#drawn = 0
    this.#isRecalled = false
    return { ...this.ask(now, isAwaited), isClaim: true, known }
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
    this.#recycled = 0
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
    const most = this.#part - (this.#spent?.total ?? (isRefused ? 0 : untold))
    this.#held = isRefused ? Math.min(this.#held, most) : most
    this.#received = 0
    this.#drawn = 0
    this.#isWaiting = false
    this.#isRecalled = false
    this.#isAnswered = true
    this.#filledAt = now
    this.#claimAt = isRefused ? now + QUOTA_LIMITS.idleMs : 0
    this.#askBelow = claimBelowOf(this.#part, this.burst)
  }

  /** The sweep's question: whether nothing would be lost without this lease. */
  isIdle(now: number): boolean {
    this.#fill(now)
    return !this.#isLeased && !this.isQueued && this.#isFull()
  }

  /** The sweep's question: whether something is to be said although nothing happens any more. */
  isOverdue(now: number): boolean {
    if (!this.#isLeased || this.isQueued || !this.#isAnswered) return false
    if (now - this.#demand.measuredAt < QUOTA_LIMITS.idleMs) return false
    this.#fill(now)
    if (this.#used > this.#usedSaid || this.#drawn > 0) return true
    if (this.#spentSaid > 0 && this.#spent?.total === 0) return true
    return this.#idleExcess(now) > 0 || (this.#isWaiting && this.#demand.isUnused(now))
  }

  #say(rest: Pick<QuotaAsk, 'isClaim' | 'want' | 'need' | 'drawn' | 'isAwaited' | 'known'>): QuotaAsk {
    const { plugin, key, rate, burst, window } = this
    const said = { held: this.#held, received: this.#received, used: this.#used, returned: this.#returned }
    return { plugin, key, rate, burst, window, ...said, spent: this.#spentSaid, ...rest }
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
    this.#recycled = 0
    // The debt goes to the bucket.
    this.#drawn = Math.max(-this.#held, 0)
    this.#held = Math.max(this.#held, 0)
    this.#free = -this.#drawn
    this.#at = now
    this.#sequence = 0
    this.#drawnFrom = now
    this.#drawnUntil = now
  }

  #fill(now: number): void {
    const spent = this.#spent
    if (spent !== null) {
      const back = spent.recycle(now)
      this.#recycled += back
      this.#held = this.#isLeased ? this.#held + back : this.#part - spent.total
      // The limit was lowered: the supervisor has to hear of what comes back beyond it.
      if (this.#isLeased && this.#excess() > EPSILON) this.#askBelow = Number.POSITIVE_INFINITY
      return
    }
    if (this.#isLeased) return
    const filled = this.#held + (this.#ratePerMs / this.#workers) * (now - this.#filledAt)
    this.#held = Math.min(this.#part, filled)
    this.#filledAt = now
  }

  /**
   * Nothing was heard of the bucket for long, and by all that is known it has enough by now: who came back when he was told
   * to is not refused because it is not here. Once; then the supervisor has to answer.
   */
  #isSurelyThere(cost: number, now: number): boolean {
    if (!this.#isAnswered || now - this.#heardAt <= QUOTA_LIMITS.idleMs) return false
    return this.estimate(now) + EPSILON >= cost
  }

  #isFull(): boolean {
    return this.#held >= this.#part - EPSILON
  }

  /** Of a window, what is here beyond its limit. */
  #excess(): number {
    return this.#spent === null ? 0 : this.#held + this.#spent.total - this.burst
  }

  /** Until so many tokens have flowed or come back into the whole bucket. */
  #untilMs(tokens: number, now: number): number {
    if (this.#spent === null) return tokens / this.#ratePerMs
    return this.#spent.untilSampleMs(tokens, this.burst - this.estimate(now), now)
  }

  #reshapeWindow(shape: QuotaShape, now: number): void {
    const old = this.#spent
    this.window = shape.window
    if (isAlike(old, shape)) return
    const used = old?.total ?? (this.#isLeased ? 0 : this.#part - this.#held)
    this.#spent = spentOf(shape, now)
    this.#spent?.spend(used)
  }

  /** The worker's part of what flows into the bucket, while nobody is there who could grant it. */
  #draw(now: number, silentSince: number): void {
    if (this.#spent !== null) return
    const from = Math.max(this.#filledAt, silentSince)
    const amount = Math.min((this.#ratePerMs / this.#workers) * (now - from), this.#part - this.#held)
    if (amount <= 0) return
    if (this.#drawnUntil <= this.#drawnFrom) this.#drawnFrom = from
    this.#drawnUntil = now
    this.#held += amount
    this.#drawn += amount
    this.#filledAt = now
  }

  #idleExcess(now: number): number {
    return this.#demand.isUnused(now) ? Math.max(this.#held - this.#part, 0) : 0
  }

  #setAskBelow(): void {
    const step = Math.max(QUOTA_LIMITS.untoldRatio * this.burst, this.#low, 1)
    this.#askBelow = Math.max(this.#low, this.#held - step)
  }
}
