import assert from 'node:assert/strict'
import { LIMIT_DEFAULTS } from '../../config/limits.ts'
import type { FieldLines } from '../fields.ts'
import { BodyDecoder, type BodyLimits, type BodySink } from './body-decoder.ts'
import { HeadMemory } from './head-memory.ts'
import { Malformed, REQUEST_CODES, RESPONSE_CODES } from './malformed.ts'
import { type HeadLimits, type RequestHead, readRequestHead } from './request-head.ts'
import { type ResponseHead, readResponseHead } from './response-head.ts'

/** Up to this length a message is cut into three pieces in every way: some 2,000 of them. */
const THREE_PIECES_BYTES_MAX = 64

/** The bytes whole, in every two pieces, byte by byte, and, when they are few, in every three pieces. */
export function* everySplit(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes]
  for (let i = 1; i < bytes.length; i++) yield [bytes.subarray(0, i), bytes.subarray(i)]
  yield byteByByte(bytes)
  if (bytes.length > THREE_PIECES_BYTES_MAX) return
  for (let i = 1; i < bytes.length; i++) {
    for (let j = i + 1; j < bytes.length; j++) {
      yield [bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)]
    }
  }
}

/** Runs the check on every split of the text (latin1); a failure says which. */
export function onEverySplit(text: string, check: (pieces: readonly Buffer[]) => void): void {
  for (const pieces of everySplit(Buffer.from(text, 'latin1'))) {
    try {
      check(pieces)
    } catch (error) {
      if (error instanceof Error) {
        error.message += `\nin ${pieces.map((piece) => JSON.stringify(piece.toString('latin1'))).join(' ')}`
      }
      throw error
    }
  }
}

/** The text is refused with that code, after `whole` messages, however it is cut. */
export function refusedOnEverySplit(
  text: string,
  code: string,
  read: (pieces: readonly Buffer[]) => Reading<unknown>,
  whole = 0,
): void {
  onEverySplit(text, (pieces) => {
    const { messages, refused } = read(pieces)
    assert.equal(refused?.code, code)
    assert.equal(messages.length, whole)
  })
}

export function byteByByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
}

export type Lines = [name: string, value: string][]

export function linesOf(fields: FieldLines): Lines {
  const lines: Lines = []
  for (let i = 0; i < fields.lines.length; i += 2) {
    lines.push([fields.lines[i] ?? '', fields.lines[i + 1] ?? ''])
  }
  return lines
}

/** A message that was read to its end. */
export interface ReadMessage<Head> {
  readonly head: Head
  /** As latin1. */
  readonly body: string
  readonly trailers: Lines | null
  /** Where it ends among all the bytes. */
  readonly end: number
}

export interface Reading<Head> {
  readonly messages: readonly ReadMessage<Head>[]
  readonly refused: Malformed | null
  /** Bytes came that begin a message and do not end it. */
  readonly incomplete: boolean
}

export interface ReadLimits extends HeadLimits, BodyLimits {}

/** Reads requests until one is refused, closes the connection or asks for another protocol. */
export function readRequests(
  pieces: readonly Buffer[],
  limits: ReadLimits = LIMIT_DEFAULTS,
): Reading<RequestHead> {
  // As on a connection: what follows an equal head must read as if it did not.
  const memory = new HeadMemory<RequestHead>()
  const reader = new MessageReader<RequestHead>(new BodyDecoder(limits, REQUEST_CODES), {
    readHead: (buffer, start, end) => readRequestHead(buffer, start, end, limits, memory),
    startBody(head, decoder) {
      if (head.chunked) decoder.startChunked(head.connection)
      else decoder.startLength(Math.max(head.contentLength, 0))
    },
    isLast: (head) => !head.keepAlive || head.upgrade !== null,
  })
  for (const piece of pieces) reader.feed(piece)
  return reader
}

export interface ResponseReading {
  /** Of the request; a response to HEAD has no content (RFC 9112, 6.3). */
  readonly method: string
  /** The upstream closed after the last piece. */
  readonly closed: boolean
}

/** Reads interim responses up to the final one. */
export function readResponses(
  pieces: readonly Buffer[],
  { method, closed }: ResponseReading = { method: 'GET', closed: false },
  limits: ReadLimits = LIMIT_DEFAULTS,
): Reading<ResponseHead> {
  const memory = new HeadMemory<ResponseHead>()
  const reader = new MessageReader<ResponseHead>(new BodyDecoder(limits, RESPONSE_CODES), {
    readHead: (buffer, start, end) => readResponseHead(buffer, start, end, limits, memory),
    startBody({ status, chunked, contentLength, connection }, decoder) {
      if (method === 'HEAD' || status < 200 || status === 204 || status === 304) decoder.startLength(0)
      else if (chunked) decoder.startChunked(connection)
      else if (contentLength >= 0) decoder.startLength(contentLength)
      else decoder.startUntilClose()
    },
    isLast: ({ status }) => status >= 200 || status === 101,
  })
  for (const piece of pieces) reader.feed(piece)
  if (closed) reader.close()
  return reader
}

interface MessageRules<Head> {
  readHead(buffer: Buffer, start: number, end: number): Head | null
  startBody(head: Head, decoder: BodyDecoder): void
  isLast(head: Head): boolean
}

/** Bytes before and behind what a parser may look at: they would change what it reads, were it to look. */
const MARGIN = Buffer.from('\r\n0\r\n: \r\n', 'latin1')

/**
 * Feeds the parsers as a connection does: what is left of a head is kept and parsed again with what comes; content goes
 * to the decoder at once. Buffers are overwritten after use, as sockets' are: nothing may keep a view of them.
 */
class MessageReader<Head extends { readonly end: number }> implements BodySink, Reading<Head> {
  readonly messages: ReadMessage<Head>[] = []
  refused: Malformed | null = null
  readonly #decoder: BodyDecoder
  readonly #rules: MessageRules<Head>
  #held: Buffer = Buffer.alloc(0)
  #head: Head | null = null
  #content: string[] = []
  #trailers: FieldLines | null = null
  #bodyEnds = 0
  #consumed = 0
  #stopped = false

  constructor(decoder: BodyDecoder, rules: MessageRules<Head>) {
    this.#decoder = decoder
    this.#rules = rules
  }

  get incomplete(): boolean {
    return this.refused === null && (this.#head !== null || this.#held.length > 0)
  }

  onBodyData(buffer: Buffer, start: number, end: number): void {
    assert.ok(start < end, 'content is never empty')
    this.#content.push(buffer.toString('latin1', start, end))
  }

  onBodyEnd(trailers: FieldLines | null): void {
    this.#bodyEnds++
    this.#trailers = trailers
  }

  feed(piece: Buffer): void {
    if (this.#stopped) return
    const buffer = Buffer.concat([MARGIN, this.#held, piece, MARGIN])
    const end = buffer.length - MARGIN.length
    let at = MARGIN.length
    try {
      while (at < end && !this.#stopped) {
        const next = this.#read(buffer, at, end)
        if (next === at) break
        this.#consumed += next - at
        at = next
        if (this.#head !== null && this.#decoder.done) this.#finish(this.#head)
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.refused = error
      this.#stopped = true
    }
    this.#held = this.#stopped ? Buffer.alloc(0) : Buffer.from(buffer.subarray(at, end))
    buffer.fill(0xff)
  }

  close(): void {
    if (!this.#stopped && this.#head !== null && this.#decoder.untilClose) this.#finish(this.#head)
  }

  #read(buffer: Buffer, at: number, end: number): number {
    if (this.#head !== null) {
      const next = this.#decoder.feed(buffer, at, end, this)
      if (!this.#decoder.done) assert.equal(next, end, 'an unfinished body takes all there is')
      else assert.equal(this.#bodyEnds, 1, 'a body ends once')
      return next
    }
    const head = this.#rules.readHead(buffer, at, end)
    if (head === null) return at
    this.#head = head
    this.#content = []
    this.#trailers = null
    this.#bodyEnds = 0
    this.#rules.startBody(head, this.#decoder)
    return head.end
  }

  #finish(head: Head): void {
    this.#head = null
    this.#stopped = this.#rules.isLast(head)
    this.messages.push({
      head,
      body: this.#content.join(''),
      trailers: this.#trailers === null ? null : linesOf(this.#trailers),
      end: this.#consumed,
    })
  }
}
