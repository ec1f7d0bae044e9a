import { hash } from 'node:crypto'
import type { QuotaRequest } from '@cardea/sdk'
import { type QuotaWindow, SpentTokens, windowMsOf } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'

export interface QuotaShape {
  /** Tokens per second. */
  readonly rate: number
  readonly burst: number
  readonly window: QuotaWindow | null
}

/** Tokens per millisecond that flow in; 0 into a window. */
export function flowOf({ rate, window }: QuotaShape): number {
  return window === null ? rate / 1_000 : 0
}

export function spentOf({ rate, burst, window }: QuotaShape, now: number): SpentTokens | null {
  return window === null ? null : new SpentTokens(window, windowMsOf(rate, burst), now)
}

/** The windows are the same, whatever their limit. */
export function isAlike(spent: SpentTokens | null, { rate, burst, window }: QuotaShape): boolean {
  if (spent === null || window === null) return spent === null && window === null
  return spent.kind === window && spent.windowMs === windowMsOf(rate, burst)
}

/** What a worker may have of its own part without the supervisor knowing. One request alone is nothing to speak of. */
export function claimBelowOf(part: number, burst: number): number {
  return Math.max(part / 2, part - Math.max(QUOTA_LIMITS.untoldRatio * burst, 1))
}

/** So small for the number of workers that one token too many, or too few, in each of them would matter. */
export function isScarce(cost: number, burst: number, workers: number): boolean {
  return workers > 1 && cost * workers > QUOTA_LIMITS.untoldRatio * burst
}

/** When a token should long have been pushed to who waits for it: perhaps nobody is there any more. */
export function overdueMsOf(spent: SpentTokens | null, cost: number, ratePerMs: number): number {
  return Math.max(QUOTA_LIMITS.silentMs, spent === null ? (2 * cost) / ratePerMs : spent.windowMs)
}

/** Throws TypeError or RangeError on a request that says nothing sensible. */
export function checked({ key, rate, burst, window = null }: QuotaRequest): QuotaShape {
  if (typeof key !== 'string') throw new TypeError(`The key of a quota is a string, not ${typeof key}`)
  if (!(rate > 0 && Number.isFinite(rate))) {
    throw new RangeError(`A quota cannot be filled at ${shown(rate)} tokens per second; use a number above 0`)
  }
  if (!(burst >= 1 && Number.isFinite(burst))) {
    throw new RangeError(`A quota cannot hold ${shown(burst)} tokens; use a number from 1`)
  }
  if (window !== null && window !== 'fixed' && window !== 'sliding') {
    throw new RangeError(`A quota has no window "${window}"; use "fixed" or "sliding"`)
  }
  return { rate, burst, window }
}

/** Text that looks like a number is none. */
function shown(given: unknown): string {
  return typeof given === 'string' ? `the text "${given}"` : String(given)
}

/** What a bucket goes by: a table must not keep whatever a client sent. */
export function boundedKey(key: string): string {
  return typeof key === 'string' && key.length > QUOTA_LIMITS.keyUnitsMax ? digestOf(key) : key
}

/** One unit longer than any key that is not a digest, so that nobody can name another's bucket. */
function digestOf(key: string): string {
  return `#${hash('sha256', Buffer.from(key, 'utf16le'), 'hex')}`
}

/** A part of a longer string keeps all of it in memory: of a key that would be the whole request head. */
export function unshared(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}
