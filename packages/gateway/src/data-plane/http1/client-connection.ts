import type { Protocol } from '@cardea/sdk'
import type { ErrorCode } from '../../base/errors.ts'
import type { GatewaySettings } from '../../protocol/generation.ts'
import type { FieldLines } from '../fields.ts'
import type { ForwardingFields } from '../forwarding/forwarded.ts'
import type { ClientStream, RequestFault } from '../streams.ts'
import type { Swept } from '../sweeper.ts'
import { Wire, type WireOwner } from '../wire.ts'
import { BodyDecoder, type BodySink } from './body-decoder.ts'
import type { ConnectionHost, StartedByConnection } from './connection-host.ts'
import { responseText, statusLine } from './head-text.ts'
import { LingeringClose } from './lingering-close.ts'
import { Malformed, REQUEST_CODES } from './malformed.ts'
import { Outbox } from './outbox.ts'
import { ReadCursor } from './read-cursor.ts'
import { RequestClock } from './request-clock.ts'
import { type RequestHead, readRequestHead, requestMemory } from './request-head.ts'
import { LF } from './syntax.ts'

/** What the connection waits for. `drain`: before its next request, that the client takes the answers to those before. */
const Waiting = { head: 0, drain: 1, exchange: 2, tunnel: 3, linger: 4, closed: 5 } as const
type Waiting = (typeof Waiting)[keyof typeof Waiting]

/**
 * One client connection (RFC 9112): reads requests, one exchange at a time, and writes their responses in order. What
 * comes before its turn (pipelined requests, content that nobody may see yet) is held, and past a bound not read.
 */
export class ClientConnection implements WireOwner, BodySink, ClientStream, Swept {
  sweepIndex = -1
  readonly #host: ConnectionHost
  /** Those it was accepted under: limits of sockets and parsing belong to a connection, not to an exchange. */
  readonly #settings: GatewaySettings
  readonly #wire: Wire
  readonly #outbox: Outbox
  readonly #decoder: BodyDecoder
  readonly #clock: RequestClock
  readonly #memory = requestMemory()
  readonly #cursor = new ReadCursor()
  readonly forwarding: ForwardingFields
  #waiting: Waiting = Waiting.head
  #user: StartedByConnection | null = null
  #head: RequestHead | null = null
  /** Bytes that are not read yet: part of a head, or what must wait for its turn. */
  #held: Buffer | null = null
  #consuming = false
  #bodyPaused = false
  #keepAlive = true
  #responseEnded = true
  /** The client has sent its FIN. */
  #peerEnded = false
  #requests = 0
  #lingering: LingeringClose | null = null

  constructor(handle: object, localPort: number, host: ConnectionHost) {
    const { settings, sweeper, wireOptions } = host
    this.#host = host
    this.#settings = settings
    this.#wire = Wire.accept(handle, wireOptions, this)
    this.#outbox = new Outbox(this.#wire, settings.timeouts.sendMs)
    this.#decoder = new BodyDecoder(settings.limits, REQUEST_CODES)
    this.forwarding = host.forwardingFor(this.#wire.peerAddress, localPort)
    this.#clock = new RequestClock(settings.timeouts, sweeper)
    this.#clock.startHead()
    sweeper.add(this)
  }

  get protocol(): Protocol {
    return this.#head?.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1'
  }

  /** What its bytes belong to now. */
  get exchange(): StartedByConnection | null {
    return this.#user
  }

  get needsDrain(): boolean {
    return this.#wire.needsDrain
  }

  // Reading.

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#waiting === Waiting.tunnel) {
      this.#clock.startTunnel()
      this.#user?.onTunnelData(buffer, start, end)
    } else if (this.#waiting === Waiting.linger) this.#lingering?.discard(end - start)
    else if (this.#held === null) this.#consume(buffer, start, end)
    else this.#consumeHeld(this.#held, buffer, start, end)
  }

  /** Adds to what is held, and reads it if that can lead any further. */
  #consumeHeld(before: Buffer, buffer: Buffer, start: number, end: number): void {
    const held = Buffer.concat([before, buffer.subarray(start, end)])
    this.#held = held
    if (this.#waiting !== Waiting.head) {
      this.#applyReading()
      return
    }
    // Only a line break can complete a head; without this a head sent byte by byte would be parsed for every byte.
    const lineBreak = buffer.indexOf(LF, start)
    if ((lineBreak === -1 || lineBreak >= end) && held.length <= this.#settings.limits.headBytesMax) return
    this.#held = null
    this.#consume(held, 0, held.length)
  }

  #consume(buffer: Buffer, start: number, end: number): void {
    let i = start
    this.#consuming = true
    try {
      while (i < end) {
        if (this.#waiting === Waiting.head) {
          const memory = this.#requests === 0 ? null : this.#memory // Many connections carry one request only.
          const head = readRequestHead(buffer, i, end, this.#settings.limits, memory)
          if (head === null) {
            this.#clock.continueHead()
            break
          }
          i = head.end
          this.#cursor.enter(buffer, i, end)
          this.#startExchange(head)
          this.#cursor.leave()
        } else if (this.#waiting === Waiting.exchange && !this.#bodyPaused && !this.#decoder.done) {
          this.#clock.resumeBody()
          i = this.#decoder.feed(buffer, i, end, this)
        } else break
      }
    } catch (error) {
      i = end
      this.#onMalformed(error)
    } finally {
      this.#consuming = false
    }
    if (i < end && this.#waiting <= Waiting.exchange) {
      this.#held = Buffer.from(buffer.subarray(i, end))
      this.#applyReading()
    }
    this.#user?.flush()
  }

  #startExchange(head: RequestHead): void {
    this.#waiting = Waiting.exchange
    this.#head = head
    this.#requests++
    this.#keepAlive = head.keepAlive && this.#requests !== this.#settings.limits.requestsPerConnectionMax
    this.#responseEnded = false
    this.#bodyPaused = false
    this.#clock.stop()
    if (head.chunked) this.#decoder.startChunked(head.connection)
    else this.#decoder.startLength(Math.max(head.contentLength, 0))
    if (!this.#decoder.done) this.#clock.startBody()
    this.#user = this.#host.openExchange(this, head)
    if (this.#user === null) this.refuse('GATEWAY_NOT_READY', 'No generation is ready yet')
    else this.#user.begin()
  }

  onBodyData(buffer: Buffer, start: number, end: number): void {
    this.#clock.countBody(end - start)
    this.#user?.onRequestData(buffer, start, end)
  }

  onBodyEnd(trailers: FieldLines | null): void {
    this.#clock.stop()
    if (this.#responseEnded) this.#next()
    else this.#user?.onRequestEnd(trailers)
  }

  #onMalformed(error: unknown): void {
    if (!(error instanceof Malformed)) this.onFault(error)
    else if (this.#user !== null) this.#breakRequest(error.code as RequestFault, error.message)
    else this.refuse(error.code, error.message)
  }

  /** A mistake of ours, or of a plugin's where we did not expect it: this client pays, the others do not. */
  onFault(error: unknown): void {
    this.#host.onInternalError(error)
    this.#wire.destroy()
  }

  /** The content cannot be read on: the exchange answers, if it still can, and the connection closes. */
  #breakRequest(code: RequestFault, detail: string): void {
    this.#keepAlive = false
    this.#clock.stop()
    this.#decoder.abandon()
    this.#user?.onRequestBroken(code, detail)
  }

  /** Answers what never became an exchange, and closes. */
  refuse(code: ErrorCode, detail: string): void {
    this.#outbox.whole(this.#host.refusal(code, detail, this.#head, this.forwarding))
    this.#responseEnded = true
    this.#lingerThenClose()
  }

  // Pausing. While the exchange wants no content, or too much is held, the socket is not read.

  pauseBody(): void {
    this.#bodyPaused = true
    if (this.#waiting === Waiting.tunnel) this.#wire.pause()
    else this.#clock.stop()
  }

  resumeBody(): void {
    if (!this.#bodyPaused) return
    this.#bodyPaused = false
    if (this.#waiting === Waiting.tunnel) this.#wire.resume()
    else {
      if (!this.#decoder.done) this.#clock.resumeBody()
      this.#readHeld()
    }
  }

  /** Reading goes on into a bounded hold, since only reading shows that the client went away. */
  #applyReading(): void {
    const isFull = (this.#held?.length ?? 0) >= this.#settings.limits.pipelinedBytesMax
    if (isFull && this.#waiting !== Waiting.head) this.#wire.pause()
    else this.#wire.resume()
  }

  #readHeld(): void {
    if (this.#consuming) return
    const held = this.#held
    if (held === null) this.#user?.flush()
    else {
      this.#held = null
      this.#consume(held, 0, held.length)
    }
    this.#applyReading()
    if (this.#peerEnded) this.#endWithPeer()
  }

  // Writing.

  sendInformational(status: number, fields: FieldLines | null): void {
    if (this.#head?.minorVersion !== 1) return
    this.#outbox.whole(`${statusLine(status)}${fields === null ? '' : fields.text}\r\n`)
  }

  sendHead(status: number, fields: FieldLines, contentLength: number, hasContent: boolean): void {
    const http10 = this.#head?.minorVersion === 0
    if (this.#host.draining || (hasContent && contentLength === -1 && http10)) this.#keepAlive = false
    // Of content that has come whole the rest is skipped, and the connection lives on.
    if (this.#decoder.bytesLeft > this.#unreadBytes()) this.#keepAlive = false
    const chunked = hasContent && contentLength === -1 && !http10
    this.#outbox.head(responseText(status, fields, contentLength, chunked, this.#keepAlive, http10), chunked)
  }

  #unreadBytes(): number {
    return this.#consuming ? this.#cursor.unreadBytes : (this.#held?.length ?? 0)
  }

  sendData(buffer: Buffer, start: number, end: number): void {
    this.#outbox.data(buffer, start, end)
  }

  sendEnd(trailers: FieldLines | null): void {
    this.#outbox.end(trailers)
    this.#responseEnded = true
    this.#user = null
    const isLast = this.#head?.isLast === true && this.#unreadBytes() === 0
    this.#head = null
    this.#bodyPaused = false
    if (!this.#keepAlive) this.#lingerThenClose(isLast)
    else if (this.#decoder.done) this.#next()
    else this.#readHeld()
  }

  flush(): void {
    this.#outbox.flush()
  }

  onDrain(): void {
    this.#wire.watchSending(0)
    if (this.#waiting !== Waiting.drain) this.#user?.onClientDrain()
    else this.#next()
  }

  onSendTimeout(): void {
    const user = this.#user
    this.reset()
    user?.onClientClosed('CLIENT_TOO_SLOW')
  }

  reset(): void {
    this.#user = null
    this.#wire.reset()
  }

  /** The connection turns to its next request; not before the client reads, or answers would pile up without bound. */
  #next(): void {
    this.#waiting = this.#wire.needsDrain ? Waiting.drain : Waiting.head
    this.#bodyPaused = false
    if (this.#waiting === Waiting.head) this.#clock.startIdle()
    // Its last answer did not say that it closes: a request may be on its way already, or here.
    if (this.#host.draining) this.closeIfIdle(this.#host.idleGraceMs)
    this.#readHeld()
  }

  // Closing.

  #lingerThenClose(isLast = false): void {
    this.#waiting = Waiting.linger
    this.#held = null
    this.#decoder.abandon()
    this.#lingering = new LingeringClose(this.#wire, this.#clock, this.#settings, isLast)
  }

  onEnd(): void {
    this.#peerEnded = true
    if (this.#waiting === Waiting.tunnel) this.#user?.onTunnelEnd()
    else this.#endWithPeer()
  }

  /** The client sends no more: what it has sent as a whole is still served if the config says so. */
  #endWithPeer(): void {
    const mayBeWhole = this.#decoder.done || (this.#bodyPaused && this.#held !== null)
    const serves = this.#settings.halfClose === 'serve'
    if (this.#waiting === Waiting.drain && serves) return
    if (this.#waiting !== Waiting.exchange) this.#wire.end()
    else if (!mayBeWhole || !serves) this.#wire.destroy()
  }

  onClosed(): void {
    this.#waiting = Waiting.closed
    this.#held = null
    this.#host.sweeper.remove(this)
    this.#host.connectionClosed()
    const user = this.#user
    this.#user = null
    user?.onClientClosed('CLIENT_ABORTED')
  }

  /** For draining: where nothing is going on, the connection closes unless a request comes within `graceMs`. */
  closeIfIdle(graceMs: number): void {
    if (this.#waiting === Waiting.head && this.#held === null) this.#clock.hasten(graceMs)
  }

  /** The end of draining, where no exchange is to be ended: closes, a client that still sends once it has its answer. */
  close(): void {
    if (this.#waiting === Waiting.exchange) this.#lingerThenClose()
    else if (this.#waiting !== Waiting.head || this.#held === null) this.#wire.close()
    else this.refuse('GATEWAY_NOT_READY', 'The gateway ends, and serves no more requests')
  }

  sweep(nowMs: number): void {
    this.#wire.lookForReset()
    if (this.#waiting === Waiting.exchange) {
      const fault = this.#clock.bodyFault(nowMs)
      if (fault !== null) this.#breakRequest('REQUEST_BODY_TIMEOUT', fault)
      return
    }
    if (!this.#clock.hasPassed(nowMs)) return
    if (this.#waiting === Waiting.head) {
      if (this.#held !== null) this.refuse('REQUEST_HEAD_TIMEOUT', 'The head was not complete in time')
      else if (this.#requests === 0) this.#wire.destroy()
      else this.#lingerThenClose()
    } else if (this.#lingering !== null) this.#lingering.onDeadline()
    else this.#wire.destroy()
  }

  /** See broken-off.ts. */
  seize(): boolean {
    if (!this.#consuming) return false
    this.#consuming = false
    this.#keepAlive = false
    const rest = this.#cursor.breakOff()
    if (rest === false) this.#decoder.abandon()
    else this.#held = rest
    return true
  }

  mend(): void {
    if (this.#waiting < Waiting.exchange) this.#lingerThenClose()
    else if (this.#waiting === Waiting.exchange) this.#readHeld()
  }

  // Tunnels.

  startTunnel(): void {
    this.#outbox.flush()
    this.#keepAlive = false
    this.#waiting = Waiting.tunnel
    this.#clock.startTunnel()
    const held = this.#held
    this.#held = null
    if (held !== null) this.#user?.onTunnelData(held, 0, held.length)
    if (this.#peerEnded) this.#user?.onTunnelEnd()
    this.#applyReading()
  }

  sendTunnelData(buffer: Buffer, start: number, end: number): void {
    this.#clock.startTunnel()
    this.#outbox.raw('', buffer, start, end, '')
  }

  endTunnel(): void {
    this.#wire.end()
  }
}
