import type { QuotaKnowledge } from '../../protocol/node-services.ts'

/** What one worker knew of a bucket, and what it holds of it. */
export type QuotaReport = QuotaKnowledge & { readonly held: number }

export interface RecoveryTerms {
  readonly now: number
  /** The part of one worker, and what flows into it. */
  readonly part: number
  readonly partFillPerMs: number
  /** Of all that reported, what they do not hold. */
  readonly room: number
}

/**
 * What nobody holds, by what the supervisor before said last; to whom does not matter. What flowed in afterwards is
 * there but for what workers drew. Nobody knows when the bucket was full meanwhile: what was used counts as used after
 * that. Thus it is rather too little than too much; 0 without a report.
 * Into a window nothing flows, and what was used of it comes back by itself.
 */
export function recoveredFree(
  reports: readonly QuotaReport[],
  terms: RecoveryTerms,
  isWindow: boolean,
): number {
  const { now, part, partFillPerMs, room } = terms
  const last = reports.reduce(later, null)
  if (last === null) return 0
  if (isWindow) return Math.min(last.free, terms.room)
  let undrawn = 0
  let used = 0
  for (const report of reports) {
    const before = Math.max(report.drawnFrom - last.at, 0)
    const after = now - Math.max(report.drawnUntil, last.at)
    undrawn += Math.min(partFillPerMs * (before + after), part)
    // More than a part would be what it drew: that has been taken off already.
    used += Math.min(report.used, Math.max(part - report.held, 0))
  }
  return Math.min(last.free + undrawn + used, room) - used
}

function later(a: QuotaReport | null, b: QuotaReport): QuotaReport {
  return a === null || b.at > a.at || (b.at === a.at && b.sequence > a.sequence) ? b : a
}
