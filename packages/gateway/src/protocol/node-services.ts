import type { QuotaWindow } from '../base/spent-tokens.ts'

/**
 * What plugins share across the workers of one node; the supervisor keeps it. Messages travel inside of
 * supervisor-worker.ts, in order between one worker and one supervisor.
 *
 *   hello → [what the worker knew before: kv not answered yet, once-claim, sink-rotation, quota (`isLast`)] → …
 *
 * A worker keeps what is not answered and sends it again after the next `hello`, so every operation is safe to repeat.
 */
export type NodeRequest =
  | { readonly kind: 'kv'; readonly id: number; readonly plugin: string; readonly operation: KvOperation }
  /** Batched: what a worker wants of buckets, and says of them, since its last message. */
  | {
      readonly kind: 'quota'
      /** Of the `hello` that these belong to; a supervisor takes none but its own. */
      readonly session: number
      readonly asks: readonly QuotaAsk[]
      /** With this message all is said that the worker knew before the `hello`. */
      readonly isLast: boolean
    }
  /**
   * This worker would run the task, or (`held`) runs it already and had it granted by a former supervisor. `claim` is
   * new for every claim of a worker: a grant that was on its way when the worker gave the task back must not be taken
   * for an answer to its next claim, since another worker may run the task by now.
   */
  | {
      readonly kind: 'once-claim'
      readonly plugin: string
      readonly task: string
      readonly claim: number
      readonly held: boolean
    }
  | { readonly kind: 'once-release'; readonly plugin: string; readonly task: string }
  /**
   * What the instances that are live in this worker and write to the file want of its rotation, in place of what was said
   * before. Those of a generation that does not serve (yet) have no say. Empty: nobody here writes to it any more.
   */
  | { readonly kind: 'sink-rotation'; readonly file: string; readonly wishes: readonly SinkWish[] }

export type NodeAnswer =
  | { readonly kind: 'kv'; readonly id: number; readonly result: KvResult }
  | { readonly kind: 'quota'; readonly notes: readonly QuotaNote[] }
  | { readonly kind: 'once-granted'; readonly plugin: string; readonly task: string; readonly claim: number }
  /** Another worker runs it, and runs it alone. This one is remembered, and told when it may. */
  | { readonly kind: 'once-denied'; readonly plugin: string; readonly task: string; readonly claim: number }
  /** The file was renamed away or is gone: open it again under its name. */
  | { readonly kind: 'sink-reopen'; readonly file: string }
  /** A supervisor that knows nothing of this worker yet. `session` is new for every process on either side. */
  | { readonly kind: 'hello'; readonly session: number }

export type KvOperation =
  | { readonly kind: 'get'; readonly key: string }
  /** `value`: as `v8.serialize` writes it; nobody but the plugin's worker reads it. */
  | {
      readonly kind: 'set'
      readonly key: string
      readonly value: Uint8Array
      readonly ttlMs: number | null
    }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'list'; readonly prefix: string; readonly limit: number }

export type KvResult =
  | { readonly kind: 'value'; readonly value: Uint8Array | null }
  | { readonly kind: 'keys'; readonly keys: readonly string[] }
  | { readonly kind: 'done' }
  /** `isFull`: the plugin has reached a bound, which is its own matter; else the disk is at fault. */
  | { readonly kind: 'failed'; readonly message: string; readonly isFull: boolean }

/**
 * Quotas: one bucket of tokens for each (plugin, key), of which every worker has a part.
 *
 * As long as a worker has said nothing of a key, its part is `burst / workers` and fills by itself with
 * `rate / workers`: nobody else uses it, and the supervisor need not know the key. The parts make the whole, so traffic
 * that is spread evenly costs no message. With its first ask (`isClaim`) the worker gives that part up: from then on it
 * has what it holds, and the supervisor fills the rest and grants from it. When that is not enough for one worker, the
 * supervisor calls back (`recall`) what others have no use for, and grants it only when they have given it back. Once the
 * bucket is full again the supervisor lets everybody `forget` it: the parts are as they were.
 *
 * A bucket that is small for the number of workers (a part is a token or few) is not to be used by guesses: a request that
 * finds too little waits for the answer (`isAwaited`), and what lies in other workers is called back at once.
 *
 * All that is ever granted was in the bucket, whoever dies meanwhile; what a dead worker held counts as used.
 *
 * The limit of a window is a bucket into which nothing flows: what a worker used of it comes back to that worker when the
 * window lets go of it (base/spent-tokens.ts), and from there it is called back like anything else that is of no use.
 * What a dead worker held or used comes back to the supervisor, a window later.
 *
 * Tokens are fractions, rates tokens per second, times milliseconds of the machine's monotonic clock, which all
 * processes share.
 */
export interface QuotaAsk {
  readonly plugin: string
  readonly key: string
  readonly rate: number
  readonly burst: number
  readonly window: QuotaWindow | null
  /** The worker's own part ends with this; also the answer to a `recall` of a key that it had said nothing of. */
  readonly isClaim: boolean
  /** What it holds, `returned` no longer included. */
  readonly held: number
  /** What it got by grants since its claim: the rest of what was granted is still on its way. */
  readonly received: number
  /** What it used since its claim. */
  readonly used: number
  /** Of a window: what it used, also before its claim, and has not got back. */
  readonly spent: number
  /** What it wants beyond `held`; 0: nothing. Replaces what it wanted before. */
  readonly want: number
  /** The least that is of any use to it: a request waits for this much. At most `want`. */
  readonly need: number
  /** Requests wait for the answer: it is not put off. */
  readonly isAwaited: boolean
  /** What it gave back since its claim: back into the bucket. */
  readonly returned: number
  /** Taken without a grant, while the supervisor was silent: out of the bucket. */
  readonly drawn: number
  /** After a `hello`, what the worker last heard of the bucket; null if nothing, and in all other asks. */
  readonly known: QuotaKnowledge | null
}

export interface QuotaKnowledge {
  /** Tokens of the bucket that no worker holds; negative when more was used than there was. */
  readonly free: number
  readonly at: number
  /** Orders what the same supervisor said at the same time. */
  readonly sequence: number
  /** Between these it took its part of what flows into the bucket, because the supervisor was silent. Equal: never. */
  readonly drawnFrom: number
  readonly drawnUntil: number
  /** What it used since. */
  readonly used: number
}

export type QuotaNote =
  /** Answers every ask, also with nothing; later again whenever there is something for one who waits. */
  | {
      readonly kind: 'grant'
      readonly plugin: string
      readonly key: string
      /** Below 0: that much is taken away, of a window whose limit was lowered or that was used before it was there. */
      readonly tokens: number
      /** The whole bucket: free and held by all workers. */
      readonly left: number
      readonly free: number
      readonly at: number
      readonly sequence: number
      /** The worker's own `used` and `returned`, as far as the supervisor has heard. */
      readonly used: number
      readonly returned: number
      /** More will follow by itself. */
      readonly isWaiting: boolean
    }
  /**
   * Give back what is of no use here: about half of it, or all (`isUrgent`: elsewhere requests are refused already).
   * Answered by an ask.
   */
  | {
      readonly kind: 'recall'
      readonly plugin: string
      readonly key: string
      readonly rate: number
      readonly burst: number
      readonly window: QuotaWindow | null
      readonly isUrgent: boolean
    }
  /**
   * The bucket is full; the worker has its own part again, less what it used beyond `used`. Or (`isRefused`) the
   * supervisor knows too many keys: the claim is void, and the worker has to do with its own part for now.
   */
  | {
      readonly kind: 'forget'
      readonly plugin: string
      readonly key: string
      readonly used: number
      readonly isRefused: boolean
    }

/** What an instance that writes to a file wants of its rotation. Null: it leaves that to the others, and to the default. */
export interface SinkWish {
  /** 0: not by size. */
  readonly bytesMax: number | null
  /** Milliseconds of Unix time that one file spans; 0: not by time. */
  readonly periodMs: number | null
  /** Rotated files that are kept. */
  readonly keep: number | null
}
