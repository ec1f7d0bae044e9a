import type { ErrorCode } from '../../base/errors.ts'
import type { GatewaySettings } from '../../protocol/generation.ts'
import type { ForwardingFields } from '../forwarding/forwarded.ts'
import type { Generation } from '../generation.ts'
import type { ClientStream, ClientStreamUser } from '../streams.ts'
import type { Sweeper } from '../sweeper.ts'
import type { WireOptions } from '../wire.ts'
import type { RequestHead } from './request-head.ts'

/** What a connection needs from whoever accepted it. */
export interface ConnectionHost {
  readonly settings: GatewaySettings
  readonly sweeper: Sweeper
  /** By those `settings`. */
  readonly wireOptions: WireOptions
  /** True: answers carry `Connection: close`, and idle connections are closed. */
  readonly draining: boolean
  /** How long an idle connection may still bring a request then. */
  readonly idleGraceMs: number
  forwardingFor(peerAddress: string, localPort: number): ForwardingFields
  /** Makes the exchange of a request whose head is complete; null while there is nothing to serve it with. */
  openExchange(client: ClientStream, head: RequestHead): StartedByConnection | null
  /** The whole answer, last on its connection, to what becomes no exchange. `head` is null if it could not be read. */
  refusal(code: ErrorCode, detail: string, head: RequestHead | null, forwarding: ForwardingFields): string
  connectionClosed(): void
  /** An invariant of ours did not hold; the connection at hand is closed. */
  onInternalError(error: unknown): void
}

export interface StartedByConnection extends ClientStreamUser {
  /** Those of a worker grow with time. */
  readonly id: string
  readonly generation: Generation
  begin(): void
  /** No more content comes for now. */
  flush(): void
  /** For people: `GET /events (route sse)`. */
  describe(): string
  /** It has had its time, as `code` says: answers so, or cuts the response. */
  expire(code: ErrorCode): void
  /** Cuts it, whatever its hooks still do. */
  breakOff(code: ErrorCode): void
}
