import type { BodySource, FieldPairs, FieldsInit } from './body-source.ts'

/** What an upstream does when the gateway turns to it. */
export interface UpstreamScript {
  /**
   * What becomes of the connection: `accept` (default); `refuse` at once; `hang` until the connect timeout; `unknown`,
   * since its name has no address; `stale`, an idle one that dies when the request has been written, once.
   */
  connect?(request: UpstreamRequestSeen): UpstreamConnect
  /** Called when the request's head is there: an answer given here comes before the request's end; null waits for that. */
  onHead?(request: UpstreamRequestSeen): UpstreamAnswer | null
  /** Called when the request is complete. */
  answer?(request: UpstreamRequestSeen): UpstreamAnswer | Promise<UpstreamAnswer>
}

export type UpstreamConnect = 'accept' | 'refuse' | 'hang' | 'unknown' | 'stale'

/** What an upstream answers. `{}` is a 200 without content. */
export interface UpstreamAnswer {
  /** 200 unless said. */
  readonly status?: number
  readonly headers?: FieldsInit
  /** Whole bodies are sent with Content-Length, pieces chunked, unless `headers` says otherwise. */
  readonly body?: BodySource
  /** Fields after a chunked body. */
  readonly trailers?: FieldsInit
  /** Interim responses (1xx) before it. */
  readonly informational?: readonly { readonly status: number; readonly headers?: FieldsInit }[]
  /** Time before the head. */
  readonly delayMs?: number
  /** After the body's pieces: its end, the end of the connection without it, or nothing more. */
  readonly ends?: 'complete' | 'cut' | 'stall'
  /** Instead of an answer: closes the connection, says nothing, or says something that is not HTTP. */
  readonly fault?: 'closed' | 'silent' | 'malformed'
}

/** One request as it arrived at the upstream. */
export interface UpstreamRequestSeen {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Headers
  /** Every field line in its order, those of the framing included. */
  readonly fields: FieldPairs
  /** The name of the upstream. */
  readonly upstream: string
  /** The target, such as `http://upstream.test`. */
  readonly target: string
  /** What has come of the content; all of it once `complete`. */
  readonly body: Uint8Array
  readonly trailers: Headers
  readonly complete: boolean
  /** The gateway let go of the connection before the response was complete. */
  readonly cancelled: boolean
  /** How often the request was sent from its start. */
  readonly attempts: number
  /** `body` as UTF-8. */
  text(): string
  /** `body` parsed as JSON. */
  json(): unknown
  /** Takes no more content, until `resume`. */
  pause(): void
  resume(): void
}
