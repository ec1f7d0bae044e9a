import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { QuotaAsk } from '../../protocol/node-services.ts'

/** A worker that has given its own part up. */
export interface Lease {
  readonly worker: number
  /** What it may still use: what it said that it holds, and what is on its way to it. */
  outstanding: number
  granted: number
  /** Its `used` and `returned`, as last heard. */
  used: number
  returned: number
  /** Of a window: what it used and had not got back when it was last heard. */
  spent: number
  heardAt: number
  want: number
  need: number
  /** Requests waited for the answer when it was last heard. */
  isAwaited: boolean
  /** An ask has had no note yet. */
  isOwed: boolean
  /** It was called back and has not answered: it has not given up its part yet. */
  isPending: boolean
  /** A process that thinks it has a part, of a bucket that was in use before it came: that part is not taken off. */
  unfoundedPart: number
  recalledAt: number
}

/** Fractions that were added up in another order differ by less than this part of a bucket. */
export const EPSILON = 1e-6
/** The rest that one round leaves, since shares were computed before all was known, goes in further ones. */
const ROUNDS_MAX = 4

export function newLease(worker: number): Lease {
  return {
    worker,
    outstanding: 0,
    granted: 0,
    used: 0,
    returned: 0,
    spent: 0,
    heardAt: 0,
    want: 0,
    need: 0,
    isAwaited: false,
    isOwed: false,
    isPending: false,
    unfoundedPart: 0,
    recalledAt: Number.NEGATIVE_INFINITY,
  }
}

/** Books what a worker says of itself. What it has given back since it was heard last. */
export function hearLease(lease: Lease, ask: QuotaAsk, now: number): number {
  const returned = ask.returned - (ask.isClaim ? 0 : lease.returned)
  lease.isPending = false
  lease.outstanding = ask.held + (lease.granted - ask.received)
  lease.used = ask.used
  lease.returned = ask.returned
  lease.spent = ask.spent
  lease.heardAt = now
  lease.want = ask.want
  lease.need = ask.need
  lease.isAwaited = ask.isAwaited
  lease.isOwed = true
  return returned
}

export function sumOf(leases: Iterable<Lease>, what: 'outstanding' | 'spent'): number {
  let sum = 0
  for (const lease of leases) sum += lease[what]
  return sum
}

/** A request waits for what is elsewhere; later than this it was refused, whatever became of the need. */
export function isAwaitedNow({ need, isAwaited, heardAt }: Lease, now: number): boolean {
  return isAwaited && need > EPSILON && now - heardAt <= QUOTA_LIMITS.waitMs
}

/** Those who want something, in the order of being served: where a request waits comes before where one was refused. */
export function waitingOf(leases: Iterable<Lease>, now: number): Lease[] {
  const waiting = [...leases].filter((lease) => lease.want > 0)
  const rankOf = (lease: Lease): number => (isAwaitedNow(lease, now) ? 0 : 1)
  return waiting.sort((one, other) => rankOf(one) - rankOf(other))
}

/** Less than this is not worth a message, unless a request waits for it. */
export function leastOf({ need, want, isAwaited }: Lease): number {
  return isAwaited && need > 0 ? need : Math.max(need, Math.min(want, 1))
}

/**
 * It holds more than is worth a message, and either wants nothing or has too little to do anything with it. While requests
 * are refused elsewhere (`isUrgent`) what it said counts no more: it may have no use by now for what it has, or what it
 * used of a window has come back to it.
 */
export function isWorthRecalling(lease: Lease, isUrgent: boolean, hasComeBack: boolean): boolean {
  if (lease.isPending) return false
  if (isUrgent) return lease.outstanding > EPSILON || hasComeBack
  return lease.outstanding > 1 && (lease.want <= 0 || lease.need > 0)
}

/** Until others are to be asked again for what `head` needs; infinite when they have nothing. */
export function untilRecallMs(leases: Iterable<Lease>, head: Lease, recallMs: number, now: number): number {
  let untilMs = Number.POSITIVE_INFINITY
  for (const lease of leases) {
    if (lease === head || !isWorthRecalling(lease, true, lease.spent > 0)) continue
    const sinceMs = now - lease.recalledAt
    untilMs = Math.min(untilMs, sinceMs < recallMs ? recallMs - sinceMs : recallMs)
  }
  return untilMs
}

/** Who gets how much of what there is: each its share, or at least what is of use to it. Lowers `want` and `need`. */
export function deal(waiting: readonly Lease[], free: number): Map<Lease, number> {
  const given = new Map<Lease, number>()
  let left = free
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const before = left
    left = dealRound(waiting, left, given)
    if (left === before) break
  }
  return given
}

function dealRound(waiting: readonly Lease[], free: number, given: Map<Lease, number>): number {
  let left = free
  let open = waiting.filter((lease) => lease.want > 0).length
  for (const lease of waiting) {
    if (lease.want <= 0) continue
    const least = leastOf(lease)
    if (least > left + EPSILON) {
      // Whoever needs much would never get it if others were served meanwhile.
      if (lease.need > 0) break
      open -= 1
      continue
    }
    const tokens = Math.min(lease.want, Math.max(least, left / open))
    open -= 1
    left -= tokens
    lease.want -= tokens
    lease.need = Math.max(lease.need - tokens, 0)
    given.set(lease, (given.get(lease) ?? 0) + tokens)
  }
  return left
}

/** What of `free` those get who have less than their part. */
export function restock(
  leases: readonly Lease[],
  part: number,
  free: number,
  slack: number,
): Map<Lease, number> {
  const given = new Map<Lease, number>()
  // Fractions of a token in all workers are of no use to any of them.
  if (part < 1) return given
  const poor = leases.filter((lease) => lease.outstanding + lease.spent < part - slack)
  let left = free
  for (const [index, lease] of poor.entries()) {
    const missing = part - lease.outstanding - lease.spent
    // One share more than there are takers stays here for whoever asks first.
    const tokens = Math.min(missing, left / (poor.length - index + 1))
    if (tokens < Math.min(1, missing)) continue
    given.set(lease, tokens)
    left -= tokens
  }
  return given
}
