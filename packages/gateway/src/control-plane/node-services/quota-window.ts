import { SpentTokens, windowMsOf } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { QuotaAsk } from '../../protocol/node-services.ts'
import { EPSILON, type Lease } from './quota-deal.ts'

/** What a bucket of a window must know besides that of others: protocol/node-services.ts has the rules. */

/** Of a window, what comes back to nobody else. */
export function lostOf({ rate, burst, window }: QuotaAsk, now: number): SpentTokens | null {
  return window === null ? null : new SpentTokens(window, windowMsOf(rate, burst), now)
}

/** Of what the worker used of a window, something may be there again since it was last heard. */
export function hasComeBack({ spent, heardAt }: Lease, lost: SpentTokens | null, now: number): boolean {
  if (lost === null || spent <= EPSILON) return false
  return lost.kind === 'sliding' || Math.floor(heardAt / lost.windowMs) < Math.floor(now / lost.windowMs)
}

/** What is owed to the bucket is taken off those who have used it, each by its share. */
export function levy(leases: Iterable<Lease>, debt: number): Map<Lease, number> {
  const payers = [...leases].filter((lease) => !lease.isPending && lease.outstanding + lease.spent > EPSILON)
  const all = payers.reduce((sum, { outstanding, spent }) => sum + outstanding + spent, 0)
  return new Map(payers.map((lease) => [lease, -(debt * (lease.outstanding + lease.spent)) / all]))
}

/**
 * What is not used elsewhere is asked for no sooner than after this. What a short window loses meanwhile would be much of it,
 * and a request that waits for it is refused before long.
 */
export function recallMsOf(lost: SpentTokens | null, isAwaited: boolean): number {
  const { recallPeriodMs, pushPeriodMs } = QUOTA_LIMITS
  if (isAwaited) return pushPeriodMs
  return lost === null
    ? recallPeriodMs
    : Math.min(recallPeriodMs, Math.max(pushPeriodMs, lost.windowMs / 100))
}

/** Until so many tokens have flowed in, or come back from who is gone. */
export function untilFilledMs(
  missing: number,
  fillPerMs: number,
  lost: SpentTokens | null,
  now: number,
): number {
  if (missing <= 0) return 0
  if (lost === null) return missing / fillPerMs
  return lost.total > 0 ? lost.untilMs(missing, now) : Number.POSITIVE_INFINITY
}
