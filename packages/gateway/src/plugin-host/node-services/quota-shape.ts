import { type QuotaWindow, SpentTokens, windowMsOf } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/limits.ts'

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

/** When a token should long have been pushed to who waits for it: perhaps nobody is there any more. */
export function overdueMsOf(spent: SpentTokens | null, cost: number, ratePerMs: number): number {
  return Math.max(QUOTA_LIMITS.silentMs, spent === null ? (2 * cost) / ratePerMs : spent.windowMs)
}
