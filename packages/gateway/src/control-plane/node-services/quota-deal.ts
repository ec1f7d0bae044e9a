/** A worker that has given its own part up. */
export interface Lease {
  readonly worker: number
  /** What it may still use: what it said that it holds, and what is on its way to it. */
  outstanding: number
  granted: number
  /** Its `used` and `returned`, as last heard. */
  used: number
  returned: number
  want: number
  need: number
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
    want: 0,
    need: 0,
    isOwed: false,
    isPending: false,
    unfoundedPart: 0,
    recalledAt: Number.NEGATIVE_INFINITY,
  }
}

/** Less than this is not worth a message. */
export function leastOf({ need, want }: Lease): number {
  return Math.max(need, Math.min(want, 1))
}

/**
 * It holds more than is worth a message, and either wants nothing or has too little to do anything with it. While requests
 * are refused elsewhere (`isUrgent`) what it said counts no more: it may have no use by now for what it has.
 */
export function isWorthRecalling(lease: Lease, isUrgent: boolean): boolean {
  if (lease.isPending) return false
  if (isUrgent) return lease.outstanding > EPSILON
  return lease.outstanding > 1 && (lease.want <= 0 || lease.need > 0)
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
