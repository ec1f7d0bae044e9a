import type { Protocol } from '@cardea/sdk'
import type { GatewayError } from '../base/errors.ts'
import type { HostPolicy } from '../protocol/generation.ts'
import type { FieldLines } from './fields.ts'
import type { ForwardingFields } from './forwarding/forwarded.ts'

/**
 * The two sides of an exchange as the request story sees them, free of HTTP versions and sockets: an HTTP/1.1
 * connection implements them, and so does the plugin harness.
 */

/** Where a request came from and its response goes. */
export interface ClientStream {
  readonly protocol: Protocol
  readonly forwarding: ForwardingFields
  /** True while more waits to be sent than the relay buffer allows. */
  readonly needsDrain: boolean

  /** Sends a 1xx response (RFC 9110, 15.2); a no-op towards HTTP/1.0. */
  sendInformational(status: number, fields: FieldLines | null): void
  /**
   * Starts the response. `contentLength` -1 is unknown. `hasContent` false: nothing follows, whatever the length says
   * (HEAD, 304).
   */
  sendHead(status: number, fields: FieldLines, contentLength: number, hasContent: boolean): void
  /** The bytes are copied or sent before the call returns. */
  sendData(buffer: Buffer, start: number, end: number): void
  sendEnd(trailers: FieldLines | null): void
  /** Sends what a head waits for content to travel with. Called when no more content comes for now. */
  flush(): void
  /** The response head has left and its end never will: makes the client see that. */
  reset(): void

  /** Holds the request's content back until `resumeBody`; what is being decoded may still arrive. */
  pauseBody(): void
  resumeBody(): void
  /** After a 101 has been sent: bytes go both ways as they are. */
  startTunnel(): void
  sendTunnelData(buffer: Buffer, start: number, end: number): void
  /** Half-closes the tunnel towards the client. */
  endTunnel(): void
}

/** The side of an exchange that a client stream calls. */
export interface ClientStreamUser {
  onRequestData(buffer: Buffer, start: number, end: number): void
  onRequestEnd(trailers: FieldLines | null): void
  /** What the client sends cannot be read on; `code` is from the error table. */
  onRequestBroken(code: RequestFault, detail: string): void
  /** The client is gone, or given up. */
  onClientClosed(why: ClientFault): void
  onClientDrain(): void
  onTunnelData(buffer: Buffer, start: number, end: number): void
  onTunnelEnd(): void
}

export type ClientFault = 'CLIENT_ABORTED' | 'CLIENT_TOO_SLOW'

export type RequestFault =
  | 'REQUEST_MALFORMED'
  | 'REQUEST_HEAD_TOO_LARGE'
  | 'REQUEST_BODY_TIMEOUT'
  | 'REQUEST_BODY_TOO_LARGE'

/** What an upstream connection needs to know of the request it carries. */
export interface UpstreamRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly fields: FieldLines
  /** Complete lines of the gateway's own fields: Forwarded and its kin, Via, X-Request-Id. */
  readonly forwardingLines: string
  readonly hostPolicy: HostPolicy
  /** -1: unknown, sent chunked. 0 without content. */
  readonly contentLength: number
  readonly hasContent: boolean
  readonly expectContinue: boolean
  readonly upgrade: string | null
  /** Whether the content, if any, can be sent a second time. */
  readonly replayable: boolean
}

/** The response head as an upstream gave it. */
export interface UpstreamResponse {
  readonly status: number
  readonly fields: FieldLines
  readonly contentLength: number
  readonly chunked: boolean
  readonly upgrade: string | null
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minorVersion: number
}

/** The side of an exchange that its upstream leg calls. */
export interface UpstreamLegUser {
  /** The head is on its way: content may follow, from its start (also on a second try). */
  onUpstreamReady(): void
  onUpstreamInformational(status: number, fields: FieldLines): void
  onUpstreamHead(response: UpstreamResponse): void
  onUpstreamData(buffer: Buffer, start: number, end: number): void
  onUpstreamEnd(trailers: FieldLines | null): void
  onUpstreamDrain(): void
  /** No more bytes for now. */
  onUpstreamFlush(): void
  onUpstreamFailed(error: GatewayError): void
  onUpstreamTunnelData(buffer: Buffer, start: number, end: number): void
  onUpstreamTunnelEnd(): void
}

/** The way of one exchange to its upstream: choice of a target, connection, tries. */
export interface UpstreamLeg {
  /** The target in use or used last, as `http://host:port`; null before one was chosen. */
  readonly target: string | null
  readonly needsDrain: boolean
  /** Acquires a connection and sends the head; then `onUpstreamReady`, or `onUpstreamFailed`. */
  start(): void
  sendData(buffer: Buffer, start: number, end: number): void
  sendEnd(trailers: FieldLines | null): void
  flush(): void
  /** Holds the response's content back until `resume`; what is being decoded may still arrive. */
  pause(): void
  resume(): void
  sendTunnelData(buffer: Buffer, start: number, end: number): void
  endTunnel(): void
  /** The exchange wants no more of it. Idempotent. */
  cancel(): void
}
