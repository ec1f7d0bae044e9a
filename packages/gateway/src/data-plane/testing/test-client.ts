import type { Protocol } from '@cardea/sdk'
import type { ErrorCode } from '../../base/errors.ts'
import { problemAnswer } from '../answer.ts'
import type { FieldLines } from '../fields.ts'
import type { ForwardingFields } from '../forwarding/forwarded.ts'
import type { RequestHead } from '../http1/request-head.ts'
import type { ClientStream, ClientStreamUser, RequestFault } from '../streams.ts'
import { scribble } from './body-source.ts'
import { ReceivedResponse } from './received-response.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a client is part of. */
export interface TestClientOwner {
  readonly clock: VirtualClock
  readonly method: string
  readonly relayBufferBytes: number
  /** Between two pieces of a request body; then 408. */
  readonly bodyTimeoutMs: number
}

export interface Served extends ClientStreamUser {
  flush(): void
}

type Item =
  | { readonly kind: 'data'; readonly data: Buffer }
  | { readonly kind: 'end'; readonly trailers: FieldLines | null }
  | { readonly kind: 'tunnel-end' }

/**
 * One client of the gateway with a single request, without a socket. It behaves towards the exchange as an HTTP/1.1
 * connection does: content is held while nobody wants it, a head waits for content to travel with, and what is sent to
 * it is gone from the sender's memory when the call is over.
 */
export class TestClient implements ClientStream {
  readonly forwarding: ForwardingFields
  readonly response: ReceivedResponse
  /** Resolves when the exchange is over, `onFinish` hooks included. */
  readonly finished: Promise<void>
  readonly #finish = Promise.withResolvers<void>()
  readonly #owner: TestClientOwner
  #head: RequestHead | null = null
  #user: Served | null = null
  readonly #items: Item[] = []
  #delivering = false
  #paused = false
  #awaitsContinue = false
  #tunnel = false
  #sidesEnded = 0
  #closed = false
  #stopBodyClock: () => void = () => {}

  constructor(owner: TestClientOwner, forwarding: ForwardingFields) {
    this.#owner = owner
    this.forwarding = forwarding
    this.response = new ReceivedResponse(owner.relayBufferBytes, owner.method === 'HEAD', () =>
      this.#user?.onClientDrain(),
    )
    this.finished = this.#finish.promise
  }

  get protocol(): Protocol {
    return this.#head?.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1'
  }

  // The test's side.

  /** Starts the exchange that `open` makes of the head. */
  begin(head: RequestHead, open: () => Served & { begin(): void }): void {
    this.#head = head
    this.#awaitsContinue = head.expectContinue
    const exchange = open()
    this.#user = exchange
    this.#delivering = true
    exchange.begin()
    this.#delivering = false
    this.#deliver()
  }

  /** A head that is no request: answered without an exchange, as the connection does. */
  refuse(code: ErrorCode, detail: string, id: string): void {
    const { status, fields, content } = problemAnswer(code, detail, id)
    this.sendHead(status, fields, content?.length ?? 0, true)
    if (content !== null) this.sendData(content, 0, content.length)
    this.sendEnd()
    this.settle()
  }

  /** Sends content of the request, or after a 101 bytes of the tunnel. */
  write(data: Uint8Array): void {
    this.#items.push({ kind: 'data', data: Buffer.from(data) })
    this.#deliver()
  }

  /** Ends the request's content, or closes this side of the tunnel. */
  end(trailers: FieldLines | null = null): void {
    this.#items.push(this.#tunnel ? { kind: 'tunnel-end' } : { kind: 'end', trailers })
    this.#deliver()
  }

  /** Sends content that breaks the framing, or whatever else `code` stands for. */
  breakBody(code: RequestFault, detail: string): void {
    this.#user?.onRequestBroken(code, detail)
  }

  /** Goes away, at once and without a word. */
  abort(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stopBodyClock()
    const user = this.#user
    this.#user = null
    this.response.fail('The client went away')
    user?.onClientClosed('CLIENT_ABORTED')
  }

  /** The exchange is over. */
  settle(): void {
    this.#stopBodyClock()
    this.#finish.resolve()
  }

  #deliver(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (!this.#paused && !this.#awaitsContinue && this.#user !== null) {
        const item = this.#items.shift()
        if (item === undefined) break
        this.#deliverItem(item, this.#user)
      }
    } finally {
      this.#delivering = false
    }
    this.#user?.flush()
  }

  #deliverItem(item: Item, user: Served): void {
    this.#startBodyClock()
    if (item.kind === 'data') {
      if (this.#tunnel) user.onTunnelData(item.data, 0, item.data.length)
      else user.onRequestData(item.data, 0, item.data.length)
      scribble(item.data)
    } else {
      this.#stopBodyClock()
      if (item.kind === 'end') user.onRequestEnd(item.trailers)
      else this.#endOwnSide(user)
    }
  }

  #endOwnSide(user: Served): void {
    this.#sidesEnded++
    user.onTunnelEnd()
    this.#closeTunnel()
  }

  /** A connection whose two sides have ended is closed. */
  #closeTunnel(): void {
    if (this.#sidesEnded === 2) this.abort()
  }

  /** Runs while the gateway waits for content. */
  #startBodyClock(): void {
    this.#stopBodyClock()
    if (this.#tunnel) return
    this.#stopBodyClock = this.#owner.clock.after(this.#owner.bodyTimeoutMs, () =>
      this.breakBody('REQUEST_BODY_TIMEOUT', 'No byte of the body came in time'),
    )
  }

  // The gateway's side.

  get needsDrain(): boolean {
    return this.response.full
  }

  pauseBody(): void {
    this.#paused = true
    this.#stopBodyClock()
  }

  resumeBody(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#head?.hasBody === true) this.#startBodyClock()
    this.#deliver()
  }

  sendInformational(status: number, fields: FieldLines | null): void {
    if (this.#head?.minorVersion !== 1) return
    this.response.takeInformational(status, fields)
    if (status !== 100) return
    this.#awaitsContinue = false
    // What a client sends thereupon comes later, not within this call.
    queueMicrotask(() => this.#deliver())
  }

  sendHead(status: number, fields: FieldLines, contentLength: number, hasContent: boolean): void {
    this.response.takeHead(status, fields, contentLength, hasContent)
  }

  sendData(buffer: Buffer, start: number, end: number): void {
    this.response.takeData(buffer.subarray(start, end))
  }

  sendEnd(trailers: FieldLines | null = null): void {
    this.#user = null
    this.#items.length = 0
    this.#stopBodyClock()
    this.response.takeEnd(trailers)
  }

  flush(): void {
    this.response.flush()
  }

  reset(): void {
    this.#user = null
    this.#closed = true
    this.#stopBodyClock()
    this.response.fail('The gateway reset the connection')
  }

  startTunnel(): void {
    this.#tunnel = true
    this.#paused = false
    this.#stopBodyClock()
    this.response.flush()
  }

  sendTunnelData(buffer: Buffer, start: number, end: number): void {
    this.response.takeData(buffer.subarray(start, end))
    this.response.flush()
  }

  endTunnel(): void {
    this.#sidesEnded++
    this.response.takeEnd(null)
    this.#closeTunnel()
  }
}
