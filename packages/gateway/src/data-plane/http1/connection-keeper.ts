import type { GatewayError } from '../../base/errors.ts'
import type { TargetPlan, UpstreamPlan } from '../../protocol/generation.ts'
import type { FieldLines } from '../fields.ts'
import type { Sweeper } from '../sweeper.ts'
import type { BodyLimits } from './body-decoder.ts'
import type { HeadLimits } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

/** Who sends a request over a connection and takes its response. */
export interface ConnectionUser {
  onInformational(status: number, fields: FieldLines): void
  onHead(head: ResponseHead): void
  onData(buffer: Buffer, start: number, end: number): void
  onEnd(trailers: FieldLines | null): void
  onFlush(): void
  onDrain(): void
  /** `unanswered`: the connection had been idle before this request, and not a byte of the response came. */
  onLost(error: GatewayError, unanswered: boolean): void
  onTunnelData(buffer: Buffer, start: number, end: number): void
  onTunnelEnd(): void
}

/** The limits that a connection to an upstream goes by. */
export type UpstreamLimits = HeadLimits & BodyLimits & { readonly relayBufferBytes: number }

/** Who keeps connections. */
export interface ConnectionKeeper {
  readonly plan: UpstreamPlan
  readonly target: TargetPlan
  readonly limits: UpstreamLimits
  readonly tunnelIdleMs: number
  readonly sweeper: Sweeper
  onConnected(connection: UpstreamConnection): void
  /** The response is complete and the connection can serve again. */
  onReusable(connection: UpstreamConnection): void
  /** Called once; `error` is set when the connection never stood. */
  onConnectionClosed(connection: UpstreamConnection, error: GatewayError | null): void
  /** An invariant of ours did not hold; the connection at hand is closed. */
  onInternalError(error: unknown): void
}
