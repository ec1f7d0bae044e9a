/** The limits of host.quota, which stand beside all others in limits.ts. */

/** `host.quota`: buckets of tokens that the workers of a node share. */
export const QUOTA_LIMITS = {
  /**
   * Keys of one plugin that the workers of a node know together. Those with a full bucket make room for others. *Measured* under a
   * flood of 10 million keys: 40 MB of heap in all processes, of sliding windows 51, of fixed ones 58; 60,000 took 71.
   */
  keysMax: 45_000,
  /** Of those the supervisor knows so many. Of further ones each worker has its own part, and no more. */
  supervisorKeysMax: 12_000,
  /** Keys beyond that share so many buckets for each rate, burst and window, if they may; in all at most `sharedKeysMax`. */
  sharedBuckets: 256,
  sharedKeysMax: 4_096,
  /** Longer keys are replaced by their digest: the table must not keep what a client sent. */
  keyUnitsMax: 64,
  /** Of the bucket, what a worker may have used before it says so: what a dead worker never told. */
  untoldRatio: 0.04,
  /** A lease is what the worker used within twice this time; below half of it, it asks for more. */
  leaseMs: 100,
  /** A lease that was not used for so long goes back, down to the worker's own part. */
  idleMs: 1_000,
  /** Between two looks at who waits for tokens. */
  pushPeriodMs: 20,
  /** Between two steps of the sweep for what is idle or full, and the keys of one step. */
  sweepPeriodMs: 250,
  sweepKeysMax: 5_000,
  /** Asked again for what is not used elsewhere no sooner than this. */
  recallPeriodMs: 100,
  /** A request waits so long for tokens that are not in its worker, and for so long after that nobody waits again. */
  waitMs: 50,
  /** A supervisor that does not answer for so long is gone: workers fill their own parts meanwhile. */
  silentMs: 250,
  /** After its start the supervisor waits so long for what the workers know, if one of them says nothing. */
  settleMs: 1_000,
  /** Asks and notes of one message. */
  batchMax: 1_000,
} as const

/** A worker's connection to a Redis that several nodes share. */
export const REDIS_LIMITS = {
  connectTimeoutMs: 2_000,
  /** A connection that is silent for so long although something was asked is given up. Requests wait `silentMs` at most. */
  silentTimeoutMs: 2_000,
  /** A worker that ends waits so long for what it gives back to arrive. */
  closeTimeoutMs: 250,
  /** Tried again after this times the number of tries, at most `retryMaxMs`. */
  retryStepMs: 100,
  retryMaxMs: 1_000,
} as const
