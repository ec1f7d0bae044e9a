import type { FieldLines } from '../fields.ts'

export interface ReceivedHead {
  readonly status: number
  /** As on the wire, Content-Length or Transfer-Encoding included. */
  readonly fields: readonly (readonly [name: string, value: string])[]
}

/** Up to here a head waits for its content (see http1/outbox.ts). */
const GATHERED_BYTES_MAX = 4 * 1024

/**
 * A response as its client sees it: not before it was flushed, only what was read, and held to its own framing, so that
 * a Content-Length that does not fit shows as the broken response that it is.
 */
export class ReceivedResponse {
  readonly informational: ReceivedHead[] = []
  /** Resolves with the head; rejects when there will be none. */
  readonly head: Promise<ReceivedHead>
  /** Resolves with the whole content; rejects when the response ends before its end. */
  readonly content: Promise<Buffer>
  trailers: ReceivedHead['fields'] = []
  readonly #head = Promise.withResolvers<ReceivedHead>()
  readonly #content = Promise.withResolvers<Buffer>()
  readonly #relayBufferBytes: number
  readonly #onDrain: () => void
  #sentHead: ReceivedHead | null = null
  /** Sent, and waiting for a flush. */
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  /** Flushed, and not read yet. */
  #unread: Buffer[] = []
  #unreadBytes = 0
  #read: Buffer[] = []
  #reading = true
  #ended = false
  readonly #answersHead: boolean
  #contentLength = -1
  #bytes = 0
  #failure = ''

  constructor(relayBufferBytes: number, answersHead: boolean, onDrain: () => void) {
    this.#answersHead = answersHead
    this.#relayBufferBytes = relayBufferBytes
    this.#onDrain = onDrain
    this.head = this.#head.promise
    this.content = this.#content.promise
    // A test that does not ask for them must not fail by them.
    this.head.catch(() => {})
    this.content.catch(() => {})
  }

  /** What has been read so far. */
  get received(): Buffer {
    return Buffer.concat(this.#read)
  }

  /** '' while nothing went wrong. */
  get failure(): string {
    return this.#failure
  }

  /** What was sent and waits for the client to read it. */
  get unreadBytes(): number {
    return this.#unreadBytes
  }

  get full(): boolean {
    return this.#unreadBytes > this.#relayBufferBytes
  }

  stopReading(): void {
    this.#reading = false
  }

  startReading(): void {
    const wasFull = this.full
    this.#reading = true
    this.#takeUnread()
    if (wasFull && !this.#ended) this.#onDrain()
  }

  takeInformational(status: number, fields: FieldLines | null): void {
    this.informational.push({ status, fields: fields === null ? [] : pairsIn(fields) })
  }

  takeHead(status: number, fields: FieldLines, contentLength: number, hasContent: boolean): void {
    if (this.#sentHead !== null) throw new Error('A second response head was sent')
    const lines = pairsIn(fields).filter(([name]) => name !== 'content-length')
    if (hasContent && contentLength === -1) lines.push(['transfer-encoding', 'chunked'])
    else if (contentLength !== -1 && status !== 204) lines.push(['content-length', String(contentLength)])
    this.#sentHead = { status, fields: lines }
    // Not what the gateway thinks, but how a client reads it (RFC 9112, 6.3).
    const isEmpty = this.#answersHead || status === 204 || status === 304
    this.#contentLength = isEmpty ? 0 : contentLength
    if (status === 101) this.#contentLength = -1
  }

  takeData(data: Buffer): void {
    if (this.#sentHead === null) throw new Error('Content was sent before a head')
    if (this.#ended || data.length === 0) return
    this.#gathered.push(Buffer.from(data))
    this.#gatheredBytes += data.length
    this.#bytes += data.length
    if (this.#contentLength !== -1 && this.#bytes > this.#contentLength) {
      this.fail(`There are more than the ${this.#contentLength} bytes of content that the head announced`)
    } else if (this.#gatheredBytes > GATHERED_BYTES_MAX) this.flush()
  }

  flush(): void {
    if (this.#sentHead === null || this.#failure !== '') return
    this.#head.resolve(this.#sentHead)
    this.#unread.push(...this.#gathered)
    this.#unreadBytes += this.#gatheredBytes
    this.#gathered = []
    this.#gatheredBytes = 0
    if (this.#reading) this.#takeUnread()
  }

  takeEnd(trailers: FieldLines | null): void {
    if (this.#ended) return
    if (this.#contentLength !== -1 && this.#bytes < this.#contentLength) {
      this.fail(`There are ${this.#bytes} bytes of content, and the head announced ${this.#contentLength}`)
      return
    }
    this.#ended = true
    // Only a chunked body has a place for them (RFC 9112, 7.1.2).
    const chunked = this.#sentHead?.fields.some(([name]) => name === 'transfer-encoding') === true
    if (trailers !== null && chunked) this.trailers = pairsIn(trailers)
    this.flush()
  }

  /** The connection is gone before the response's end. */
  fail(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#failure = reason
    const error = new Error(`The response is not complete: ${reason}`)
    this.#head.reject(error)
    this.#content.reject(error)
  }

  #takeUnread(): void {
    this.#read.push(...this.#unread)
    this.#unread = []
    this.#unreadBytes = 0
    if (this.#ended && this.#failure === '') this.#content.resolve(this.received)
  }
}

function pairsIn({ lines }: FieldLines): [name: string, value: string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i < lines.length; i += 2) pairs.push([lines[i] as string, lines[i + 1] as string])
  return pairs
}
