import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import { INTERIM_RESPONSES_MAX } from '../../config/limits.ts'
import type { FieldLines } from '../fields.ts'
import type { UpstreamRequest } from '../streams.ts'
import type { Swept } from '../sweeper.ts'
import type { Wire, WireOwner } from '../wire.ts'
import { BodyDecoder, type BodySink } from './body-decoder.ts'
import { connectFailure } from './connect-failure.ts'
import type { ConnectionKeeper, ConnectionUser } from './connection-keeper.ts'
import { Malformed, RESPONSE_CODES } from './malformed.ts'
import { Outbox } from './outbox.ts'
import { ReadCursor } from './read-cursor.ts'
import { requestText } from './request-text.ts'
import { type ResponseHead, readResponseHead, responseMemory } from './response-head.ts'

const Waiting = { connect: 0, idle: 1, head: 2, content: 3, tunnel: 4, closed: 5 } as const
type Waiting = (typeof Waiting)[keyof typeof Waiting]

/** One connection to a target: one request at a time, kept alive between them (RFC 9112, 9). */
export class UpstreamConnection implements WireOwner, BodySink, Swept {
  sweepIndex = -1
  readonly #keeper: ConnectionKeeper
  readonly #decoder: BodyDecoder
  readonly #wire: Wire
  readonly #outbox: Outbox
  readonly #memory = responseMemory()
  readonly #cursor = new ReadCursor()
  #waiting: Waiting = Waiting.connect
  #user: ConnectionUser | null = null
  /** The last user, until it has been told that its response has ended. */
  #leaving: ConnectionUser | null = null
  #held: Buffer | null = null
  #paused = false
  /** Part of the content at hand will never be passed on. */
  #isLost = false
  #consuming = false
  #peerEnded = false
  #requestEnded = true
  #keepAlive = true
  #answersHead = false
  /** The value of Upgrade as it was sent. */
  #upgradeOffered: string | null = null
  #interimResponses = 0
  /** It has never been idle: the peer has had no time to give it up. */
  #fresh = true
  #answered = false
  #trailers: FieldLines | null = null
  #deadlineMs: number

  constructor(keeper: ConnectionKeeper, open: (owner: WireOwner, onConnected: () => void) => Wire) {
    this.#keeper = keeper
    this.#decoder = new BodyDecoder(keeper.limits, RESPONSE_CODES)
    this.#deadlineMs = keeper.sweeper.nowMs + keeper.plan.connectTimeoutMs
    this.#wire = open(this, () => {
      this.#becomeIdle()
      keeper.onConnected(this)
      if (this.#waiting === Waiting.idle) this.#fresh = false
    })
    this.#outbox = new Outbox(this.#wire, keeper.plan.responseTimeoutMs)
    keeper.sweeper.add(this)
  }

  get needsDrain(): boolean {
    return this.#wire.needsDrain
  }

  /** Nothing has come that was not asked for, and the peer has not hung up: it may carry a request. */
  get usable(): boolean {
    return this.#waiting === Waiting.idle && !this.#peerEnded && !this.#wire.isBroken
  }

  // Sending.

  /** Sends the head; content follows by `sendData` and `sendEnd`. */
  request(user: ConnectionUser, request: UpstreamRequest): void {
    this.#user = user
    this.#waiting = Waiting.head
    this.#requestEnded = false
    this.#answered = false
    this.#keepAlive = true
    this.#paused = false
    this.#answersHead = request.method === 'HEAD'
    this.#upgradeOffered = request.upgrade
    this.#interimResponses = 0
    this.#deadlineMs = 0
    this.#outbox.head(requestText(request, this.#keeper.target), request.contentLength === -1)
  }

  /** An upstream that takes nothing of it is as late as one that does not answer. */
  sendData(buffer: Buffer, start: number, end: number): void {
    this.#outbox.data(buffer, start, end)
  }

  sendEnd(trailers: FieldLines | null): void {
    this.#requestEnded = true
    this.#outbox.end(trailers)
    // The clock of the response starts with the last byte of the request.
    if (this.#waiting === Waiting.head) this.#deadlineMs = this.#after(this.#keeper.plan.responseTimeoutMs)
  }

  flush(): void {
    this.#outbox.flush()
  }

  /** 0 stands for no deadline. */
  #after(durationMs: number): number {
    return durationMs === 0 ? 0 : this.#keeper.sweeper.nowMs + durationMs
  }

  // Reading.

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#held !== null) {
      const held = Buffer.concat([this.#held, buffer.subarray(start, end)])
      this.#held = null
      this.#consume(held, 0, held.length)
    } else this.#consume(buffer, start, end)
  }

  #consume(buffer: Buffer, start: number, end: number): void {
    let i = start
    this.#consuming = true
    try {
      while (i < end && !this.#paused) {
        const at = this.#step(buffer, i, end)
        if (at === -1) break
        i = at
      }
      if (this.#waiting === Waiting.idle) {
        this.#giveBack(i === end)
        i = end
      }
    } catch (error) {
      if (error instanceof Malformed) this.#fail('UPSTREAM_RESPONSE_INVALID', error.message)
      else this.onFault(error)
      return
    } finally {
      this.#consuming = false
    }
    if (i < end && this.#waiting !== Waiting.closed) {
      this.#held = Buffer.from(buffer.subarray(i, end))
      if (this.#paused) this.#wire.pause()
    }
    this.#user?.onFlush()
  }

  /** Returns the offset after what was taken, or -1 while bytes are missing. */
  #step(buffer: Buffer, start: number, end: number): number {
    switch (this.#waiting) {
      case Waiting.head:
        this.#answered = true
        return this.#takeHead(buffer, start, end)
      case Waiting.content:
        // A response without content that is held back: what came after it shows once it is passed on.
        if (this.#decoder.done) return -1
        this.#deadlineMs = this.#after(this.#keeper.plan.idleTimeoutMs)
        return this.#decoder.feed(buffer, start, end, this)
      case Waiting.tunnel:
        this.#touchTunnel()
        this.#user?.onTunnelData(buffer, start, end)
        return end
      default:
        return -1
    }
  }

  #takeHead(buffer: Buffer, start: number, end: number): number {
    const head = readResponseHead(buffer, start, end, this.#keeper.limits, this.#memory)
    if (head === null) return -1
    const { status } = head
    this.#cursor.enter(buffer, head.end, end)
    if (status === 101) this.#takeSwitch(head)
    else if (status < 200) this.#takeInterim(head)
    else this.#takeFinalHead(head)
    this.#cursor.leave()
    return head.end
  }

  #takeInterim(head: ResponseHead): void {
    if (++this.#interimResponses > INTERIM_RESPONSES_MAX)
      throw invalid(`There are more than ${INTERIM_RESPONSES_MAX} interim responses`)
    this.#user?.onInformational(head.status, head.fields)
  }

  #takeSwitch(head: ResponseHead): void {
    if (!head.switchesTo(this.#upgradeOffered))
      throw invalid('It switched to a protocol that was not offered (RFC 9110, 7.8)')
    this.#waiting = Waiting.tunnel
    this.#keepAlive = false
    this.#touchTunnel()
    this.#user?.onHead(head)
  }

  #takeFinalHead(head: ResponseHead): void {
    const { status } = head
    // An answer before the request's end: the rest is not sent, so nothing else may be sent here either.
    this.#keepAlive = head.keepAlive && this.#requestEnded
    if (!this.#requestEnded) this.#wire.watchSending(0)
    this.#waiting = Waiting.content
    if (this.#answersHead || status === 204 || status === 304) this.#decoder.abandon()
    else if (head.chunked) this.#decoder.startChunked(head.connection)
    else if (head.contentLength !== -1) this.#decoder.startLength(head.contentLength)
    else {
      this.#decoder.startUntilClose()
      this.#keepAlive = false
    }
    this.#deadlineMs = this.#after(this.#keeper.plan.idleTimeoutMs)
    this.#user?.onHead(head)
    if (this.#decoder.done && !this.#paused) this.onBodyEnd(null)
  }

  onBodyData(buffer: Buffer, start: number, end: number): void {
    this.#user?.onData(buffer, start, end)
  }

  onBodyEnd(trailers: FieldLines | null): void {
    if (this.#waiting !== Waiting.content) return
    this.#becomeIdle()
    this.#trailers = trailers
    if (!this.#consuming) this.#giveBack(this.#held === null)
  }

  #becomeIdle(): void {
    this.#waiting = Waiting.idle
    this.#deadlineMs = this.#keeper.sweeper.nowMs + this.#keeper.plan.keepAliveMs
  }

  /** `clean` false: more came than the response said, and nothing that comes now can be told from the next response. */
  #giveBack(clean: boolean): void {
    const user = this.#user
    this.#leaving = user
    this.#user = null
    this.#held = null
    this.resume() // The pause was for this response: the next one would wait for bytes that nobody reads.
    this.#fresh = false
    const reusable = clean && this.#keepAlive && this.#requestEnded && this.usable
    if (reusable) this.#keeper.onReusable(this)
    else this.close()
    this.#leaving = null
    // Last: the client's next request may need just this connection.
    user?.onEnd(this.#trailers)
  }

  /** Holds the response back: bytes that come are kept, then not read. */
  pause(): void {
    this.#paused = true
    if (this.#waiting === Waiting.tunnel) this.#wire.pause()
    else this.#deadlineMs = 0
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#waiting === Waiting.content) this.#deadlineMs = this.#after(this.#keeper.plan.idleTimeoutMs)
    else if (this.#waiting === Waiting.head && this.#requestEnded)
      this.#deadlineMs = this.#after(this.#keeper.plan.responseTimeoutMs)
    if (!this.#consuming) this.#readHeld()
    if (!this.#paused) this.#wire.resume()
  }

  #readHeld(): void {
    const held = this.#held
    this.#held = null
    if (held !== null) this.#consume(held, 0, held.length)
    if (this.#paused) return
    if (this.#waiting === Waiting.content && this.#decoder.done) this.onBodyEnd(null)
    else if (this.#peerEnded) this.#onPeerEnded()
  }

  onDrain(): void {
    this.#wire.watchSending(0)
    this.#user?.onDrain()
  }

  onSendTimeout(): void {
    this.#fail('UPSTREAM_RESPONSE_TIMEOUT', 'The upstream takes no bytes of the request')
  }

  // Ending.

  onEnd(): void {
    this.#peerEnded = true
    if (!this.#paused || this.#waiting === Waiting.tunnel) this.#onPeerEnded()
  }

  #onPeerEnded(): void {
    if (this.#waiting === Waiting.tunnel) this.#user?.onTunnelEnd()
    else if (this.#waiting === Waiting.content && this.#decoder.untilClose) {
      this.#decoder.abandon()
      this.onBodyEnd(null)
    } else if (this.#waiting === Waiting.idle) this.close()
    else this.#fail('UPSTREAM_CLOSED', 'The upstream closed the connection before its response was complete')
  }

  onClosed(error: Error | null): void {
    if (this.#waiting === Waiting.closed) return
    const connecting = this.#waiting === Waiting.connect
    const user = this.#user
    this.#forget()
    const detail = error === null ? 'The connection was closed' : `The connection failed: ${error.message}`
    this.#keeper.onConnectionClosed(this, connecting ? connectFailure(error, detail) : null)
    if (user === null) return
    user.onLost(new GatewayError('UPSTREAM_CLOSED', detail, { cause: error }), this.#unanswered)
  }

  get #unanswered(): boolean {
    return !this.#fresh && !this.#answered
  }

  #fail(code: ErrorCode, detail: string): void {
    this.#failBy(new GatewayError(code, detail))
  }

  #failBy(error: GatewayError): void {
    const user = this.#user
    this.#user = null
    this.close()
    user?.onLost(error, error.code === 'UPSTREAM_CLOSED' && this.#unanswered)
  }

  /** A mistake of ours: the exchange that has the connection fails, and no other. */
  onFault(error: unknown): void {
    this.#keeper.onInternalError(error)
    try {
      this.#fail('INTERNAL_ERROR', 'The response could not be handled')
    } catch (again) {
      this.#keeper.onInternalError(again)
    }
  }

  #forget(): void {
    this.#waiting = Waiting.closed
    this.#user = null
    this.#held = null
    this.#keeper.sweeper.remove(this)
  }

  /** Lets go of the user and the socket. */
  close(): void {
    this.#user = null
    this.#wire.destroy()
  }

  sweep(nowMs: number): void {
    if (this.#deadlineMs === 0 || nowMs < this.#deadlineMs) return
    this.#deadlineMs = 0
    if (this.#waiting === Waiting.connect) {
      this.#forget()
      this.#wire.destroy()
      this.#keeper.onConnectionClosed(this, connectTimeout())
    } else if (this.#waiting === Waiting.head) {
      if (this.#requestEnded) this.#fail('UPSTREAM_RESPONSE_TIMEOUT', 'No response head came in time')
    } else if (this.#waiting === Waiting.content) {
      this.#fail('UPSTREAM_IDLE_TIMEOUT', 'No byte of the response came in time')
    } else if (this.#waiting === Waiting.tunnel) {
      this.#fail('UPSTREAM_IDLE_TIMEOUT', 'No byte came in time, of either side')
    } else this.close()
  }

  /** See broken-off.ts. */
  seize(): boolean {
    if (!this.#consuming) return false
    this.#consuming = false
    const rest = this.#cursor.breakOff()
    this.#isLost = rest === false && this.#waiting === Waiting.content
    this.#paused ||= this.#isLost
    if (rest !== false) this.#held = rest
    return true
  }

  /** `error`: what the plugin was ended by, which has lost the response if anything has. */
  mend(error: GatewayError): void {
    const leaving = this.#leaving
    this.#leaving = null
    leaving?.onEnd(this.#trailers)
    if (this.#isLost) this.#failBy(error)
    else if (!this.#paused) this.#readHeld()
    this.#user?.onFlush()
  }

  // Tunnels.

  sendTunnelData(buffer: Buffer, start: number, end: number): void {
    this.#touchTunnel()
    this.#wire.writeBytes('', buffer, start, end, '')
  }

  endTunnel(): void {
    this.#wire.end()
  }

  #touchTunnel(): void {
    this.#deadlineMs = this.#keeper.sweeper.nowMs + this.#keeper.tunnelIdleMs
  }
}

const connectTimeout = () =>
  new GatewayError('UPSTREAM_CONNECT_TIMEOUT', 'The target did not accept the connection in time')

const invalid = (detail: string) => new Malformed(RESPONSE_CODES.malformed, detail)
