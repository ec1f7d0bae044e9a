import type { QuotaDecision } from '@cardea/sdk'
import type { QuotaWindow } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import { QuotaDemand } from './quota-demand.ts'
import type { QuotaShape } from './quota-shape.ts'

/**
 * Limits that hold for several nodes: the bucket is in Redis, and a worker has what it was granted for what it uses within
 * moments. Without a grant it has nothing; what it asked for and got no answer to counts as used.
 */
export interface SharedQuotaAsk {
  readonly plugin: string
  readonly key: string
  readonly rate: number
  readonly burst: number
  readonly window: QuotaWindow | null
  /** Requests wait for this much. */
  readonly need: number
  /** What would be of use; at least `need`. */
  readonly want: number
  /** Given back: granted in the window `index`. */
  readonly returned: number
  readonly index: number
}

export interface SharedQuotaNote {
  readonly plugin: string
  readonly key: string
  readonly tokens: number
  /** The window that they are good for, and until when; null without a window. */
  readonly index: number
  readonly endsInMs: number | null
  /** What nobody holds. */
  readonly left: number
  /** Until there is a token; 0: there is one. */
  readonly nextInMs: number
  /** Until all of it is there. */
  readonly resetInMs: number
}

const EPSILON = 1e-9

/** What a worker holds of one bucket that several nodes share. */
export class SharedLease {
  readonly plugin: string
  readonly key: string
  shape: QuotaShape
  isQueued = false
  /** An ask has had no answer yet. */
  isAsked = false
  readonly #demand: QuotaDemand
  #held = 0
  /** Of the window that `held` is good for. */
  #index = 0
  #expiresAt = Number.POSITIVE_INFINITY
  /** What nobody held when it was last heard. */
  #left = 0
  /** There is no token before, unless somebody gives some back. */
  #nextAt = 0
  /** Not asked again before. */
  #askAt = 0
  #resetAt = 0
  /** What requests wait for that have not been spoken of. */
  #need = 0
  #waiters: PromiseWithResolvers<void> | null = null

  constructor(plugin: string, key: string, shape: QuotaShape, now: number) {
    this.plugin = plugin
    this.key = key
    this.shape = shape
    this.#demand = new QuotaDemand(now, now)
  }

  isShaped(rate: number, burst: number, window: QuotaShape['window']): boolean {
    return this.shape.rate === rate && this.shape.burst === burst && this.shape.window === window
  }

  /** When a request last used or lacked something. What others kept it from using counts as of no use here. */
  get usedAt(): number {
    return this.#demand.usedAt
  }

  has(cost: number, now: number): boolean {
    this.#expire(now)
    return this.#held + EPSILON >= cost
  }

  /** After `has`. */
  use(cost: number, now: number): void {
    this.#demand.touch(now)
    this.#demand.note(cost)
    this.#held -= cost
  }

  /** After `use`: what is left is soon used up, and there may be more. */
  isLow(now: number): boolean {
    return now >= this.#askAt && this.#held < this.#demand.level
  }

  /** A request found too little. Whether it is worth asking for. */
  require(cost: number, now: number): boolean {
    this.#demand.touch(now)
    if (cost > this.shape.burst || now < this.#askAt) return false
    this.#demand.note(cost)
    this.#need += cost
    this.#waiters ??= Promise.withResolvers()
    return true
  }

  decision(allowed: boolean, cost: number, now: number): QuotaDecision {
    const remaining = Math.max(Math.floor(this.#left + this.#held + EPSILON), 0)
    const resetMs = Math.max(Math.ceil(this.#resetAt - now), 0)
    if (allowed) return { allowed, remaining, retryAfterMs: 0, resetMs }
    if (cost > this.shape.burst) {
      return { allowed, remaining, retryAfterMs: Number.POSITIVE_INFINITY, resetMs }
    }
    const retryAfterMs = Math.max(Math.ceil(this.#nextAt - now), 1)
    const waiters = now < this.#askAt ? null : this.#waiters
    return { allowed, remaining, retryAfterMs, resetMs, ...(waiters && { pending: waiters.promise }) }
  }

  ask(now: number): SharedQuotaAsk {
    this.#expire(now)
    this.#demand.measure(now)
    const { plugin, key } = this
    const isUnused = this.#demand.isUnused(now) && this.#waiters === null
    const returned = isUnused ? this.#held : 0
    this.#held -= returned
    const need = Math.min(this.#need, this.shape.burst)
    const want = isUnused ? 0 : Math.max(this.#demand.target(this.shape.burst) - this.#held, need)
    this.#need = 0
    this.isQueued = false
    this.isAsked = true
    return { plugin, key, ...this.shape, need, want, returned, index: this.#index }
  }

  grant(note: SharedQuotaNote, now: number): void {
    this.isAsked = false
    if (note.index !== this.#index) this.#held = 0
    this.#index = note.index
    this.#expiresAt = note.endsInMs === null ? Number.POSITIVE_INFINITY : now + note.endsInMs
    this.#held += note.tokens
    this.#left = note.left
    this.#nextAt = note.nextInMs > 0 ? now + note.nextInMs : 0
    this.#askAt = note.nextInMs > 0 ? now + Math.min(note.nextInMs, QUOTA_LIMITS.idleMs) : 0
    this.#resetAt = now + note.resetInMs
    this.#wake()
  }

  /** Gives back all that is held; null when that is nothing. */
  leave(now: number): SharedQuotaAsk | null {
    this.#expire(now)
    if (this.#held <= EPSILON) return null
    const { plugin, key } = this
    const returned = this.#held
    this.#held = 0
    return { plugin, key, ...this.shape, need: 0, want: 0, returned, index: this.#index }
  }

  /** There will be no answer. */
  giveUp(): void {
    this.isAsked = false
    this.isQueued = false
    this.#need = 0
    this.#wake()
  }

  /** Nothing would be lost without it: what was used is known elsewhere. */
  isIdle(now: number): boolean {
    this.#expire(now)
    const isBusy = this.isAsked || this.isQueued || this.#waiters !== null
    return !isBusy && this.#held <= EPSILON && now >= this.#nextAt && this.#demand.isUnused(now)
  }

  /** By what was last heard nothing is there yet. */
  isUsedUp(now: number): boolean {
    return now < this.#nextAt && now < this.#expiresAt
  }

  /** It holds what others could use. */
  isIdling(now: number): boolean {
    return this.#held > EPSILON && this.#demand.isUnused(now)
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = null
    waiters?.resolve()
  }

  /** Tokens are good for their own window. */
  #expire(now: number): void {
    if (now < this.#expiresAt) return
    this.#held = 0
    this.#left = this.shape.burst
    this.#nextAt = 0
    this.#askAt = 0
    this.#expiresAt = now + QUOTA_LIMITS.idleMs
  }
}
