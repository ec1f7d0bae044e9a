import type { FieldLines } from '../fields.ts'
import type { Wire } from '../wire.ts'
import { lastChunkText } from './head-text.ts'

/** Up to here text is gathered before it is written, so that a small body leaves with its head in one write. */
const GATHERED_TEXT_MAX = 4 * 1024

/** Frames one message after another onto a wire (RFC 9112, 6 and 7.1). */
export class Outbox {
  readonly #wire: Wire
  #text = ''
  #chunked = false

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** Starts a message; its head waits for `data`, `end` or `flush`. */
  head(text: string, chunked: boolean): void {
    this.#text += text
    this.#chunked = chunked
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
    this.#wire.writeBytes(before, buffer, start, end, after)
  }

  end(trailers: FieldLines | null): void {
    if (this.#chunked) this.#text += lastChunkText(trailers)
    this.flush()
  }

  flush(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    this.#wire.writeText(text)
  }
}
