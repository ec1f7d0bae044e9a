/**
 * What plugins share across the workers of one node; the supervisor keeps it. Messages travel inside of
 * supervisor-worker.ts. A worker keeps what is not answered and sends it again to the next supervisor (`id` is then the
 * same), so every operation is safe to repeat.
 */
export type NodeRequest =
  | { readonly kind: 'kv'; readonly id: number; readonly plugin: string; readonly operation: KvOperation }
  /** Batched: what a worker wants of buckets since its last message. */
  | { readonly kind: 'quota'; readonly asks: readonly QuotaAsk[] }
  /** This worker would run the task, or (`held`) runs it already and had it granted by a former supervisor. */
  | { readonly kind: 'once-claim'; readonly plugin: string; readonly task: string; readonly held: boolean }
  | { readonly kind: 'once-release'; readonly plugin: string; readonly task: string }
  /** A line of this file has been written by this worker: it is rotated by these rules from now on. */
  | {
      readonly kind: 'sink-open'
      readonly plugin: string
      readonly file: string
      readonly rotation: SinkRotation
    }

export type NodeAnswer =
  | { readonly kind: 'kv'; readonly id: number; readonly result: KvResult }
  | { readonly kind: 'quota'; readonly grants: readonly QuotaGrant[] }
  | { readonly kind: 'once-granted'; readonly plugin: string; readonly task: string }
  /** It was granted to another worker, or moved there. */
  | { readonly kind: 'once-denied'; readonly plugin: string; readonly task: string }
  /** The file was renamed away: open it again under its name. */
  | { readonly kind: 'sink-reopen'; readonly file: string }
  /** A supervisor that knows nothing of this worker yet: claim and ask again. */
  | { readonly kind: 'hello' }

export type KvOperation =
  | { readonly kind: 'get'; readonly key: string }
  | { readonly kind: 'set'; readonly key: string; readonly value: unknown; readonly ttlMs: number | null }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'list'; readonly prefix: string; readonly limit: number }

export type KvResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'keys'; readonly keys: readonly string[] }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string }

export interface QuotaAsk {
  readonly plugin: string
  readonly key: string
  /** Tokens per second. */
  readonly rate: number
  readonly burst: number
  /** Tokens the worker wants beyond what it holds. */
  readonly want: number
  /** Tokens taken since the last ask. */
  readonly used: number
  /** Tokens given back: the worker has no use for them. */
  readonly returned: number
  /** What the worker last knew of the whole bucket, for a supervisor that has just started: tokens, and when. */
  readonly known: { readonly tokens: number; readonly at: number } | null
}

export interface QuotaGrant {
  readonly plugin: string
  readonly key: string
  readonly tokens: number
  /** The bucket after the grant: tokens (may be negative), and the Unix time in milliseconds. */
  readonly left: number
  readonly at: number
}

export interface SinkRotation {
  /** 0: not by size. */
  readonly bytesMax: number
  /** Rotated files that are kept. */
  readonly keep: number
}
