/**
 * The contract between Cardea and its plugins.
 *
 * A plugin exports one function, {@link PluginMain}. The gateway calls it once per instance and keeps the
 * {@link Middleware} it returns; its hooks then run for every exchange of every route the instance is on.
 *
 * Life of an instance, in order:
 *
 *   1. `PluginMain(config, host)`, or `updateConfig(next)` of the instance before: may refuse by throwing; nothing has
 *      been served yet.
 *   2. `validateConfig(config, placement)`: may refuse.
 *   3. `healthCheck()`: may refuse.
 *   4. per exchange: `handle` → `onResponse` (reverse order), or `onError` then `onResponse`; last `onFinish`.
 *   5. `stop()`: may not refuse; timers, listeners and `host.signal` are already cancelled when it returns.
 *
 * Every step up to 3 runs first in a trial process, then in each worker. A change makes an instance anew only when its
 * code, its config, its permissions or an instance it depends on changed; otherwise the living one is carried over.
 */

import type { FinishRecord } from './finish-record.ts'
import type { Host } from './host.ts'

export type { Admission, AuthGate, AuthGateOptions, Challenge, Refusal } from './auth-gate.ts'
export { authGate } from './auth-gate.ts'
export type { Consumer } from './consumer.ts'
export { consumerOf, defineConsumer, setConsumer } from './consumer.ts'
export type { CredentialReader, CredentialSource } from './credentials.ts'
export { AMBIGUOUS, credentialReader } from './credentials.ts'
export { digestIndex } from './digest-index.ts'
export type * from './finish-record.ts'
export type * from './host.ts'
export type { Problem } from './problem.ts'
export { sendProblem } from './problem.ts'
export { noteSecretParameters, secretParametersOf } from './secret-parameters.ts'
export type { TrustedFields } from './trusted-fields.ts'
export { fieldText, trustedFields } from './trusted-fields.ts'
export { DURATION_UNITS, durationMs, SIZE_UNITS, sizeBytes } from './units.ts'

/** What {@link Context.values} may hold: everything the structured clone algorithm copies, functions excluded. */
export type Cloneable =
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined
  | Date
  | Uint8Array
  | readonly Cloneable[]
  | { readonly [key: string]: Cloneable }

/** The entry point of a plugin. `Config` is the type its `config_schema` describes. */
export type PluginMain<Config = Record<string, unknown>> = (
  config: Config,
  host: Host,
) => Middleware<Config> | Promise<Middleware<Config>>

/**
 * The same type under a name that does not clash with the exported function's: TypeScript refuses a module that imports
 * a type and declares a value of one name.
 *
 *     import type { Plugin } from '@cardea/sdk'
 *     export const PluginMain: Plugin<{ greeting: string }> = (config) => ({ … })
 */
export type Plugin<Config = Record<string, unknown>> = PluginMain<Config>

/** What a plugin's entry point returns. Only `name` and `handle` are required. */
export interface Middleware<Config = Record<string, unknown>> {
  /** For logs and errors; by custom the plugin's own name. */
  readonly name: string

  /**
   * Runs once the request head is complete, in chain order.
   *
   * Return true to go on, false to stop: then `ctx.response` is the answer. `send`, `json` and `redirect`
   * return false, so `return ctx.response.json(…)` reads well. Anything but true or false, false without a
   * status, true after `send()`, a throw or a rejection fails the hook; `on_failure` then decides. Its edits of
   * `ctx.response` are dropped then. `open` goes on as if the plugin were not there: what it did to `ctx.request` and put into
   * `ctx.values` is taken back. Where that cannot be, since the body has passed its transform, the exchange fails as by `closed`.
   *
   * A hook that returns a boolean and not a promise costs no promise. What it leaves running and does not wait for may
   * read on; edits of request and response throw TypeError once the hook has ended.
   */
  handle(ctx: Context): boolean | Promise<boolean>

  /**
   * Runs when a response head is there, in reverse order, for every plugin whose `handle` returned true, whoever
   * answered: the upstream, a later plugin, `on_failure`, or the gateway's own 502/504.
   *
   * If it fails, `on_failure` decides what is answered instead; `open` takes its edits back and goes on, as in `handle`.
   */
  onResponse?(ctx: Context): void | Promise<void>

  /**
   * Runs before `onResponse` when the exchange failed, again if the answer to that failed too; not for a plugin whose
   * `onResponse` has run. When the client is gone or the response was cut it runs alone. It may look, not answer.
   */
  onError?(ctx: Context, error: ExchangeError): void | Promise<void>

  /**
   * Runs once, after the last byte, for every plugin entered, however its hooks before ended. The record is only made when
   * some plugin of the chain has this hook. `ctx` can be read, also after a timeout (see {@link Context}), and is revoked
   * when the hook ends.
   */
  onFinish?(ctx: Context, record: FinishRecord): void | Promise<void>

  /**
   * Refuses a config by throwing; for rules that JSON Schema cannot say. `placement` tells of the generation that the instance
   * is to be part of, for rules that several instances have to keep together. Runs when this instance is made, not when
   * another one is: the other one's does then.
   */
  validateConfig?(config: Config, placement: Placement<Config>): void | Promise<void>

  /** Refuses to go live by throwing. Called after `PluginMain`, before the first request. */
  healthCheck?(): void | Promise<void>

  /**
   * Called instead of `PluginMain` when only the config of the instance changed: returns a new middleware, for the new
   * config, that shares this one's resources. This one stays in use until its last exchange ended; each of the two gets its own
   * `stop`. They share one host: its timers live and `host.signal` stays quiet until the last of them has stopped.
   * Refuses by throwing; then nothing of this one may have changed.
   */
  updateConfig?(next: Config): Middleware<Config> | Promise<Middleware<Config>>

  /** Frees what the instance holds. Called once, after its last exchange ended. */
  stop?(): void | Promise<void>
}

/**
 * One exchange as one plugin sees it: the same object for all its hooks, revoked after `onFinish` and after a hook's timeout.
 * Then every use throws.
 *
 * No hook is waited for when its time is over, nor when the exchange goes another way meanwhile: the client goes away, its
 * body is broken, late or too large, the upstream breaks off. What it does after that changes nothing: after its timeout
 * its context is revoked; otherwise that can be read until the exchange ends, and edits throw TypeError or go nowhere
 * (`values`, `query`, `own`). Later hooks of the plugin get another context, with what was in `own`.
 */
export interface Context {
  /** The request id: unique per node; sent to the upstream and in error answers. */
  readonly id: string
  readonly request: Request
  readonly response: Response
  /** The route that matched. It stays even when a plugin rewrites the path. */
  readonly route: RouteInfo
  /**
   * Data that plugins of this exchange share, along the chain and across hooks. Values must be cloneable. Who is calling
   * stands in it too: see {@link Consumer}.
   */
  readonly values: Map<string, Cloneable>
  /**
   * What this plugin keeps for its later hooks of the same exchange, such as a start time or a decision. Undefined at first;
   * anything may be put here, for it goes nowhere: no other plugin sees it, nor another instance of this one.
   */
  own: unknown
  /** Logs with the request id, the route and the plugin's name. */
  readonly log: Log
  /**
   * Aborts when the client goes away, the exchange is answered while the hook runs, the hook times out, or the exchange ends.
   * After a timeout and at the end the context is revoked already when listeners run. What they throw is logged.
   */
  readonly signal: AbortSignal
}

export interface RouteInfo {
  readonly name: string
  /** What `:name` segments of the route's path matched, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
}

export type Protocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'

export interface Request extends Body {
  /** The method as sent, case kept (RFC 9110, 9.1: methods are case-sensitive). May be set in `handle`. */
  method: string
  /** Path and query as they will go upstream. Set `path` or edit `query` to change it. */
  readonly url: string
  /**
   * The normalised path: unreserved characters decoded, dot segments resolved. The router, all plugins and the
   * upstream see this form. May be set in `handle`; what is set must start with `/` and is normalised again.
   */
  path: string
  /**
   * The query, parsed on first use. Edits go upstream; pairs that they leave alone go byte for byte as the client wrote them,
   * for URLSearchParams keeps neither the spelling nor bytes that are not UTF-8.
   */
  readonly query: URLSearchParams
  /**
   * Edits in `handle` go upstream. Hop-by-hop fields are already gone. What the gateway tells of the client
   * (X-Forwarded-*, Forwarded, X-Request-Id) is neither here nor to be edited; Host can be set to a host.
   */
  readonly headers: Fields
  /** The Host field or the authority of an absolute-form target, lower case, port included if it was sent. */
  readonly host: string
  /** The peer's address, or what a trusted proxy says of it. Never with a port. */
  readonly clientIp: string
  readonly scheme: 'http' | 'https'
  readonly protocol: Protocol
  /** As `text`, parsed. Rejects with `BODY_UNREADABLE` when it is not JSON. */
  json(options?: BodyOptions): Promise<unknown>
  /**
   * Fields after the body (RFC 9110, 6.5); empty until the body has been read to its end. They cannot be edited. Those go on
   * whose names are in the head neither as it came nor as plugins left it: what a plugin sets, appends or deletes in
   * `headers` does not come from the client in the trailers.
   */
  readonly trailers: Fields
}

export interface Response extends Body {
  /** 0 while there is no response yet. Setting it in `handle` counts when `handle` returns false. */
  status: number
  /**
   * In `handle`: edits that are recorded and replayed on whatever response comes. In `onResponse`: the response's
   * own fields. What frames the message or belongs to the connection is the gateway's to write. One field is the plugin's:
   * the `upgrade` of a response whose status is 426, set before it. It goes with that status, and with no other response.
   */
  readonly headers: Fields
  /** As those of the request. Those go on to the client whose names no plugin set, appended or deleted in `headers`. */
  readonly trailers: Fields
  /** Makes `ctx.response` the answer, status 200 unless said. Only in `handle`. Returns false. */
  send(body?: string | Uint8Array | null, init?: ResponseInit): false
  /** As `send`, with `content-type: application/json`. The value must be cloneable. */
  json(value: unknown, init?: ResponseInit): false
  /** As `send`, with a Location field; status 302 unless said. */
  redirect(location: string, status?: 301 | 302 | 303 | 307 | 308): false
}

export interface ResponseInit {
  /** 200 to 599. */
  status?: number
  headers?: Readonly<Record<string, string | readonly string[]>>
}

/**
 * A chunk goes in, a chunk comes out; null drops it. `last` is true once, with an empty chunk if need be. A message
 * without a body (a plain GET, the answer to HEAD, 204, 304) makes that one call, and has none afterwards either.
 *
 * A call that throws, rejects or takes longer than `timeout_ms` ends the exchange: by `on_failure` while there is no
 * response, else by a reset. `open` does not help then, for part of the content has passed.
 */
export type BodyTransform = (
  chunk: Uint8Array,
  last: boolean,
) => Uint8Array | null | Promise<Uint8Array | null>

/**
 * What is written to `writable` comes out of `readable`, changed or not: a TransformStream, a CompressionStream, or two ends of
 * your own. It is written plain `Uint8Array` chunks, none of them empty, and has to give `Uint8Array` chunks.
 */
export interface StreamPair {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array<ArrayBuffer>>
}

export interface BodyOptions {
  /**
   * Open gzip, deflate, br or zstd content first. Default false. Reading leaves the body as it is; a transform sends
   * it on decoded, and Content-Encoding is removed at once. Plugins that have their turn later see content without it.
   */
  decode?: boolean
}

/**
 * A message body. Reading gathers it up to `limits.body_bytes` (over that the read rejects with
 * `REQUEST_BODY_TOO_LARGE` or `UPSTREAM_BODY_TOO_LARGE`), can be repeated, and the body still goes on to the other side.
 * What nobody has read is gone once it is on its way: the request's after `handle`, the response's after `onResponse`.
 */
export interface Body {
  bytes(options?: BodyOptions): Promise<Uint8Array>
  text(options?: BodyOptions): Promise<string>
  /**
   * Replaces the body; Content-Length, digests and ETag are put right. Null removes it. After a read with `decode` in the
   * same hook the new body counts as decoded and Content-Encoding is removed, unless it was changed meanwhile; otherwise
   * it has the encoding of the old one. Whoever encodes the new one says so by setting the field after this.
   */
  setBody(body: string | Uint8Array | null): void
  /**
   * Passes every chunk through `transform`, after those of plugins before it. Backpressure is kept. Asked for in
   * `handle` on the response, it takes Range off the request; a part (206) cannot be transformed.
   */
  transformBody(transform: BodyTransform, options?: BodyOptions): void
  /**
   * Passes the body through a pair of web streams, with all that is said of `transformBody`. A chunk is written when the pair
   * has taken the one before it, as its own queue says; what can be read goes on as it comes and as the other side takes it.
   * So a chunk may become any amount of content, of which no more than a piece is kept here. After the last chunk `writable` is
   * closed; the body ends when that is done and `readable` has ended.
   *
   * Each body needs a pair of its own: the call locks both ends for good. Throws TypeError on what is no such pair, is locked,
   * or was used before. If the body does not come to its end, whatever the reason, `writable` is aborted and `readable`
   * cancelled, with an AbortError; the context is revoked by then if the exchange is over.
   *
   * A stream that errors fails as a transform that throws does, with its error. A `readable` that gives something other than a
   * Uint8Array, or ends before the body (`terminate()`), breaks the contract: HOOK_RETURN_INVALID. `timeout_ms` is the time
   * that the pair has to take a chunk, to give the next piece of what it makes of it, and, after the last one, to end.
   *
   * Costs more than a function: 11 µs of CPU a body and 2 to 3 a chunk, so that an exchange with one small answer takes 2.7
   * times as much with a TransformStream that does nothing as with a function that does nothing (18 µs, 6.5).
   */
  stream(pair: StreamPair, options?: BodyOptions): void
}

/** Header or trailer fields. Names are case-insensitive and come out in lower case (RFC 9110, 5.1). */
export interface Fields extends Iterable<[name: string, value: string]> {
  /** The value, several field lines joined by `, ` (RFC 9110, 5.3), or null. */
  get(name: string): string | null
  /** One entry per field line; what Set-Cookie needs. */
  getAll(name: string): string[]
  has(name: string): boolean
  /** Replaces all field lines of that name. Throws TypeError on a name or value that RFC 9110 does not allow. */
  set(name: string, value: string): void
  append(name: string, value: string): void
  delete(name: string): void
}

export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** Why an exchange failed, as {@link Middleware.onError} sees it. */
export interface ExchangeError {
  /** A stable code from the table in docs/reference/errors.md. */
  readonly code: string
  readonly message: string
  /** Whose fault it is. */
  readonly source: 'client' | 'upstream' | 'plugin' | 'gateway'
  /** The status that the gateway answers unless `on_failure` says otherwise. */
  readonly status: number
  /** The instance whose hook failed, or null. */
  readonly plugin: string | null
}

/** Where an instance stands in its generation. Frozen. */
export interface Placement<Config = Record<string, unknown>> {
  /** Names of the routes whose chains have it. */
  readonly routes: readonly string[]
  /** All other instances of the same plugin. */
  readonly others: readonly PlacedInstance<Config>[]
}

export interface PlacedInstance<Config = Record<string, unknown>> {
  /** The instance's name: the plugin's, or the key under `plugins:`. */
  readonly name: string
  /** The effective config. That it is valid is not said: each instance refuses its own. */
  readonly config: Readonly<Config>
  readonly routes: readonly string[]
}
