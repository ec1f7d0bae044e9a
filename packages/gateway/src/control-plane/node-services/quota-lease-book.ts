/** See quota-bucket.ts. */
const EPSILON = 1e-6

/** A worker that has given its own part up. */
export interface Lease {
  readonly worker: number
  /** What it may still use: what it said that it holds, and what is on its way to it. */
  outstanding: number
  granted: number
  /** Its `used`, as last heard. */
  used: number
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

/** Less than this is not worth a message. */
export function leastOf(lease: Lease): number {
  return Math.max(lease.need, Math.min(lease.want, 1))
}

/** It holds something, and either wants nothing or has too little to do anything with it. */
export function isWorthRecalling(lease: Lease): boolean {
  return !lease.isPending && lease.outstanding > EPSILON && (lease.want <= 0 || lease.need > 0)
}
