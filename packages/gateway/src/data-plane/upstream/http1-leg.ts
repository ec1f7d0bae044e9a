import type { ErrorCode, GatewayError } from '../../base/errors.ts'
import type { FieldLines } from '../fields.ts'
import type { ConnectionUser } from '../http1/connection-keeper.ts'
import type { ResponseHead } from '../http1/response-head.ts'
import type { UpstreamConnection } from '../http1/upstream-connection.ts'
import type { UpstreamLeg, UpstreamLegUser, UpstreamRequest } from '../streams.ts'
import type { Acquirer, TargetPool } from './target-pool.ts'
import type { Upstream } from './upstream.ts'

/** RFC 9110, 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

const NOTHING_TRIED: readonly TargetPool[] = []

/** There was no connection, so nothing was sent: another target may do. */
const NOT_CONNECTED: ReadonlySet<ErrorCode> = new Set([
  'UPSTREAM_CONNECT_FAILED',
  'UPSTREAM_CONNECT_TIMEOUT',
  'UPSTREAM_DNS_FAILED',
  'UPSTREAM_QUEUE_FULL',
])

/**
 * One exchange's way over HTTP/1.1. Tried again, each at most once per target, `triesMax` times in all and none of them
 * later than `triesTimeoutMs`: a connection that could not be had, since nothing was sent; and an idle connection that
 * died before a byte of the answer, when the request is idempotent and its content can be sent again. A request that is
 * not idempotent is never sent twice.
 */
export class Http1Leg implements UpstreamLeg, Acquirer, ConnectionUser {
  readonly #upstream: Upstream
  readonly #request: UpstreamRequest
  readonly #user: UpstreamLegUser
  #pool: TargetPool | null = null
  #connection: UpstreamConnection | null = null
  #tried: TargetPool[] | null = null
  #resent = false
  /** Connections that could not be had, or were lost. */
  #failures = 0
  #startedMs = 0
  #isTunnel = false
  /** Cancelled, or complete. */
  #over = false

  constructor(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser) {
    this.#upstream = upstream
    this.#request = request
    this.#user = user
  }

  get target(): string | null {
    return this.#pool?.target.url ?? null
  }

  get needsDrain(): boolean {
    return this.#connection?.needsDrain ?? false
  }

  start(): void {
    const pool = this.#upstream.choose(NOTHING_TRIED)
    if (pool === null) throw new Error(`Upstream "${this.#upstream.plan.name}" has no target`)
    this.#startedMs = pool.sweeper.nowMs
    this.#acquireFrom(pool)
  }

  #acquireFrom(pool: TargetPool): void {
    this.#pool = pool
    pool.acquire(this)
  }

  onAcquired(connection: UpstreamConnection): void {
    this.#connection = connection
    connection.request(this, this.#request)
    this.#user.onUpstreamReady()
  }

  onAcquireFailed(error: GatewayError): void {
    if (this.#over) return
    // A queue that is full costs nothing: it is no try, and there is no more of them than targets.
    if (error.code !== 'UPSTREAM_QUEUE_FULL') this.#failures++
    const next = NOT_CONNECTED.has(error.code) && this.#mayTryAgain() ? this.#nextPool() : null
    if (next === null) this.#user.onUpstreamFailed(error)
    else this.#acquireFrom(next)
  }

  #mayTryAgain(): boolean {
    const { triesMax, triesTimeoutMs } = this.#upstream.plan
    const nowMs = this.#pool?.sweeper.nowMs ?? 0
    return this.#failures < triesMax && nowMs - this.#startedMs < triesTimeoutMs
  }

  /** A target that has not failed this request; null when none is left. */
  #nextPool(): TargetPool | null {
    this.#tried ??= []
    if (this.#pool !== null) this.#tried.push(this.#pool)
    return this.#upstream.choose(this.#tried)
  }

  onTargetEjected(): boolean {
    if (!this.#mayTryAgain()) return false
    const tried = [...(this.#tried ?? NOTHING_TRIED)]
    if (this.#pool !== null) tried.push(this.#pool)
    const next = this.#upstream.chooseSound(tried)
    if (next === null) return false
    this.#tried = tried
    this.#acquireFrom(next)
    return true
  }

  onLost(error: GatewayError, unanswered: boolean): void {
    this.#connection = null
    if (this.#over) return
    this.#failures++
    if (unanswered && this.#pool !== null && this.#mayResend()) {
      this.#resent = true
      this.#pool.acquireNew(this)
      return
    }
    // A tunnel ends as either side of it sees fit, many by a reset or in silence: that says nothing of the target. Nor does
    // a mistake of ours, or a plugin that took the response with it.
    if (!this.#isTunnel && error.source === 'upstream') this.#pool?.noteFailure()
    this.#user.onUpstreamFailed(error)
  }

  #mayResend(): boolean {
    const { replayable, method } = this.#request
    return !this.#resent && replayable && IDEMPOTENT.has(method) && this.#mayTryAgain()
  }

  sendData(buffer: Buffer, start: number, end: number): void {
    this.#connection?.sendData(buffer, start, end)
  }

  sendEnd(trailers: FieldLines | null): void {
    this.#connection?.sendEnd(trailers)
  }

  flush(): void {
    this.#connection?.flush()
  }

  pause(): void {
    this.#connection?.pause()
  }

  resume(): void {
    this.#connection?.resume()
  }

  sendTunnelData(buffer: Buffer, start: number, end: number): void {
    this.#connection?.sendTunnelData(buffer, start, end)
  }

  endTunnel(): void {
    this.#connection?.endTunnel()
  }

  cancel(): void {
    if (this.#over) return
    this.#over = true
    if (this.#connection !== null) this.#connection.close()
    else this.#pool?.cancel(this)
    this.#connection = null
  }

  onInformational(status: number, fields: FieldLines): void {
    this.#user.onUpstreamInformational(status, fields)
  }

  onHead(head: ResponseHead): void {
    this.#pool?.noteSuccess()
    this.#isTunnel = head.status === 101
    this.#user.onUpstreamHead(head)
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#user.onUpstreamData(buffer, start, end)
  }

  onEnd(trailers: FieldLines | null): void {
    this.#connection = null
    this.#over = true
    this.#user.onUpstreamEnd(trailers)
  }

  onFlush(): void {
    this.#user.onUpstreamFlush()
  }

  onDrain(): void {
    this.#user.onUpstreamDrain()
  }

  onTunnelData(buffer: Buffer, start: number, end: number): void {
    this.#user.onUpstreamTunnelData(buffer, start, end)
  }

  onTunnelEnd(): void {
    this.#user.onUpstreamTunnelEnd()
  }
}
