import type { FieldLines } from '../fields.ts'
import type { Wire } from '../wire.ts'
import { lastChunkText } from './head-text.ts'

/** Up to here text is gathered before it is written, so that a small body leaves with its head in one write. */
const GATHERED_TEXT_MAX = 4 * 1024

/** Frames one message after another onto a wire (RFC 9112, 6 and 7.1). */
export class Outbox {
  readonly #wire: Wire
  readonly #sendMs: number
  #text = ''
  #chunked = false

  /** A peer that takes nothing for `sendMs` of what waits for it is told to the wire's owner; 0: never. */
  constructor(wire: Wire, sendMs: number) {
    this.#wire = wire
    this.#sendMs = sendMs
  }

  /** Starts a message; its head waits for `data`, `end` or `flush`. */
  head(text: string, chunked: boolean): void {
    this.#text += text
    this.#chunked = chunked
  }

  /** Writes a message that is nothing but text. */
  whole(text: string): void {
    this.head(text, false)
    this.flush()
  }

  data(buffer: Buffer, start: number, end: number): void {
    if (end === start) return
    const before = this.#chunked ? `${this.#text}${(end - start).toString(16)}\r\n` : this.#text
    const after = this.#chunked ? '\r\n' : ''
    if (before.length + (end - start) <= GATHERED_TEXT_MAX) {
      this.#text = before + buffer.toString('latin1', start, end) + after
      return
    }
    this.#text = ''
    this.raw(before, buffer, start, end, after)
  }

  /** Writes what is no message: bytes of a tunnel. */
  raw(before: string, buffer: Buffer, start: number, end: number, after: string): void {
    this.#wire.writeBytes(before, buffer, start, end, after)
    this.#watch()
  }

  end(trailers: FieldLines | null): void {
    if (this.#chunked) this.#text += lastChunkText(trailers)
    this.flush()
    this.#watch()
  }

  #watch(): void {
    if (this.#wire.needsDrain) this.#wire.watchSending(this.#sendMs)
  }

  flush(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    this.#wire.writeText(text)
  }
}
