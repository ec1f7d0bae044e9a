import type { Cloneable, Log } from './index.ts'

/** What the gateway gives an instance. Everything acquired through it is released when the instance stops. */
export interface Host {
  /** The instance's name, as the config has it; the plugin's own where it gives none. */
  readonly name: string
  readonly log: Log
  /** Aborts when the instance stops. What its listeners throw is logged. */
  readonly signal: AbortSignal
  /**
   * The Fetch API, for the hosts that `permissions` grants as `net:HOST:PORT`, or as `net:config/KEY`: those of the URLs that
   * the config has at that key. Others, also those that a redirect leads to, are refused with `PERMISSION_DENIED` before
   * anything is sent.
   */
  fetch(url: string | URL, init?: RequestInit): Promise<globalThis.Response>
  /** A digest, synchronous: 0.8 µs where `crypto.subtle.digest` costs 23. */
  hash(algorithm: HashAlgorithm, data: string | Uint8Array, encoding?: 'hex' | 'base64' | 'base64url'): string
  hmac(
    algorithm: HashAlgorithm,
    key: string | Uint8Array,
    data: string | Uint8Array,
    encoding?: 'hex' | 'base64' | 'base64url',
  ): string
  /** Compares in time that depends on the lengths only. */
  timingSafeEqual(a: string | Uint8Array, b: string | Uint8Array): boolean
  /** Timers that die with the instance and never keep a process alive. */
  setTimeout(callback: () => void, delayMs: number): HostTimer
  setInterval(callback: () => void, periodMs: number): HostTimer
  /**
   * One live object per worker, shared by all instances of the plugin that ask for this name and version: a swap of code
   * or config moves nothing and forgets nothing. For a `version` that does not live yet, `create` makes the value, of
   * the newest living version (`previous`, to be read, not changed) or of nothing (null). It runs in the very turn in
   * which the first generation using it goes live, so `previous` is complete; before that, in the trial process, on a
   * copy if there can be one: a value with functions or instances of classes is not tried on. Should it throw all the
   * same, it is asked again with null. It must be synchronous, and return something. Asked for in a hook, a value is made at
   * once. It dies with the last instance using it: one that `updateConfig` made uses what it asks for, and of other names
   * what the one before it did. What a hook asks for lives as long as any of them.
   *
   * A rollback is no exception: `create` of the older code gets a `previous` of a version higher than its own, which it did not
   * know when it was written. One that finds no way to read that may begin anew. Where exchanges still run on the older code,
   * its value lives and is taken as it is.
   */
  state<T>(name: string, version: number, create: (previous: PreviousState | null) => T): State<T>
  /** Data shared by all workers of the node, kept on disk, under the plugin's own name. Needs the permission `kv`. */
  readonly kv: KeyValueStore
  /**
   * Takes tokens from a bucket that all workers of the node share: it fills at `rate` tokens per second up to `burst`, or
   * by the rules of a `window`. Synchronous, from tokens leased to this worker; what may be elsewhere is worth waiting for
   * (`pending`). Buckets belong to the plugin: no swap forgets them.
   *
   * Given several requests, of different keys, it takes from all of the buckets or from none. Their decisions come in the
   * same order, `allowed` true for those that had enough.
   */
  quota(request: QuotaRequest): QuotaDecision
  quota(requests: readonly QuotaRequest[]): readonly QuotaDecision[]
  /**
   * Lines for a file of the gateway's `logs` folder, written by all workers in whole lines; `-` is stdout. Never
   * blocks: what would be too much is dropped and counted. A file that was moved away is begun anew, at once on SIGHUP to
   * the gateway, else within a second. Needs the permission `sink`.
   */
  sink(file: string, options?: SinkOptions): Sink
  /**
   * Runs `task` in one worker of the node at a time, from when this instance goes live until a generation without it does,
   * though exchanges may still run on this one: nothing runs of an instance that does not start, or whose change fails.
   * When the worker ends, or the instance is not live there any more, it runs in another. `signal` aborts
   * when the task must end here; 5 s later it may run elsewhere even if it goes on. A task that throws runs again after
   * 1 s, and after twice the pause each time, up to 60 s; one that returns is done until it would end here. At
   * most 100 tasks for an instance, under names of 1 to 128 characters; the same name in another instance of the plugin
   * is the same task. What `updateConfig` asks for takes the place of the same name when what it returns goes live; what
   * it does not ask for again runs on. Throws TypeError or RangeError on others.
   */
  once(name: string, task: (signal: AbortSignal) => void | Promise<void>): void
  /**
   * Offers functions to instances whose plugin.json names this plugin in `dependencies`. Only while `PluginMain` runs;
   * what `updateConfig` returns goes on offering them.
   */
  provide(service: Readonly<Record<string, ServiceFunction>>): void
  /**
   * What the plugin of that name provides; it must stand in `dependencies`. The instance behind it is that of plugin.json
   * and the config's `plugins:`, whatever routes make of it. Every call is async, its arguments and its result are cloned,
   * and so is what it throws (name, message, code, stack). The dependency always starts before and stops after; when it
   * changes, this instance is made anew. Once it has stopped, calls reject with `SERVICE_UNAVAILABLE`.
   */
  use<Service extends object = Readonly<Record<string, (...args: Cloneable[]) => Promise<unknown>>>>(
    plugin: string,
  ): Service
  /**
   * Tells all listeners to `PLUGIN/event` in this worker, after the current turn; `data` is cloned. What is told before
   * this instance is live is delivered when it is.
   */
  emit(event: string, data?: Cloneable): void
  /**
   * Listens to `PLUGIN/event`, of this plugin or one in `dependencies`, from when this instance is live until it stops: while
   * exchanges run on a generation that was replaced, the instances of both hear each event once. A listener that throws is logged.
   */
  on(event: string, listener: (data: unknown) => void): void
}

export interface PreviousState {
  readonly version: number
  readonly value: unknown
}

export interface State<T> {
  /** The live object. Throws STATE_NOT_LIVE before the generation goes live: use it in hooks, not in `PluginMain`. */
  readonly value: T
}

/** Values are {@link Cloneable}; keys are at most 512 bytes, values 64 KiB. */
export interface KeyValueStore {
  /** The value, or undefined. */
  get(key: string): Promise<unknown>
  /** `ttlMs`: forgotten after that time. */
  set(key: string, value: Cloneable, options?: { readonly ttlMs?: number }): Promise<void>
  delete(key: string): Promise<void>
  /** Keys that start with `prefix`, in order, at most `limit` (default 1,000). */
  list(prefix?: string, limit?: number): Promise<readonly string[]>
}

export interface QuotaRequest {
  readonly key: string
  /** Tokens per second, above 0. */
  readonly rate: number
  /** The size of the bucket, at least 1. */
  readonly burst: number
  /** Tokens to take; default 1. */
  readonly cost?: number
  /**
   * Without it the bucket fills evenly. With it `burst` is the limit of a window that lasts `burst / rate` seconds.
   * `fixed`: windows follow each other, and each begins with a full bucket; two windows' worth can be used around the end
   * of one. `sliding`: what is used in one window comes back evenly during the next one, so that no span of that length
   * has much more than the limit, however it lies.
   */
  readonly window?: 'fixed' | 'sliding' | null
  /**
   * What happens to a key that is new when there are as many as the gateway remembers, none of which can be forgotten.
   * `refuse` (default): it is not allowed. `share`: it uses one bucket together with others of its kind, so that a flood of
   * keys limits itself and not everybody.
   */
  readonly onFull?: 'share' | 'refuse'
}

export interface QuotaDecision {
  readonly allowed: boolean
  /** Tokens left in the whole bucket as far as this worker knows, rounded down. */
  readonly remaining: number
  /** Until `cost` tokens should be there; 0 when allowed. */
  readonly retryAfterMs: number
  /**
   * Only of what was not allowed: in this worker are no tokens, and elsewhere there may be some. That is so where limits hold
   * for several gateways, and of a bucket that is small for the number of workers. Resolves, never rejects, when more is
   * known, which takes moments; then ask again, which may give another one. Whoever does not wait refuses what the bucket has.
   */
  readonly pending?: Promise<void>
  /**
   * Only of what was not allowed: the gateway cannot say whether the bucket has it. The Redis that keeps limits for several
   * gateways is away, and `on_loss` is `refuse`.
   */
  readonly isUnknown?: true
  /** Until the bucket is full again if nothing more is used; of a fixed window, until it ends. */
  readonly resetMs: number
}

/**
 * Only instances that are live have a say in how a file is rotated. Where several of them name one file, what loses the
 * fewest lines holds: the largest size, the longest period, never before both, and the most files.
 */
export interface SinkOptions {
  /** The file is renamed to `FILE.1` (older ones count up) at this size. Default 100 MiB; 0: never. */
  readonly rotateBytes?: number
  /**
   * It is renamed also whenever so many milliseconds of Unix time have passed that it was begun in another such span: with a
   * day's at midnight, UTC. At least 1,000. Default 0: never.
   */
  readonly rotatePeriodMs?: number
  /** Rotated files that are kept. Default 5. */
  readonly keep?: number
}

export interface Sink {
  /** One line, newline added. False when it was dropped. */
  write(line: string): boolean
  /** Lines dropped by this worker so far. */
  readonly dropped: number
}

export type ServiceFunction = (...args: never[]) => unknown

export type HashAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512'

export interface HostTimer {
  cancel(): void
}
