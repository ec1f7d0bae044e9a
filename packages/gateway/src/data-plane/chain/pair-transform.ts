import { isReadable, isWritable, Readable } from 'node:stream'
import type { BodyTransform, StreamPair } from '@cardea/sdk'
import { GatewayError, isInstance, messageOf } from '../../base/errors.ts'
import { NOBODY, runningMark } from '../../base/running-mark.ts'
import { kindOf } from './given.ts'

/** Pieces that a readable may give without letting anybody else have a turn of the event loop. */
const PIECES_PER_TURN_MAX = 64

/** The one call that waits for a pair. */
interface Caller {
  readonly promise: Promise<Uint8Array | null>
  resolve(piece: Uint8Array | null): void
  reject(error: unknown): void
}

/**
 * A pair of web streams as a transform of a body: a chunk is written, and what can be read is handed on piece by piece. A
 * call ends when the pair has taken the chunk, the last one when it has ended too. One piece at the most is kept here, and
 * nothing is written before the chunk before it was taken: whatever else waits, waits in the pair, as far as its own queues
 * let it.
 */
export class PairTransform {
  readonly #reader: ReadableStreamDefaultReader<unknown>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>
  /** Of the instance, for `runningMark`. */
  readonly #mark: number
  /** Read, and not handed on yet. */
  #piece: Uint8Array | null = null
  #pieces = 0
  #isReading = false
  #hasEnded = false
  /** The pair has not taken the last chunk that was written. */
  #isTaking = false
  #lastGiven = false
  #isClosed = false
  #failure: { readonly error: unknown } | null = null
  #isOver = false
  #caller: Caller | null = null
  #onMore: () => void = NOTHING

  /** Locks both ends for good. Throws TypeError when they are no pair of unused streams. */
  constructor(pair: StreamPair, mark: number) {
    const { readable, writable } = checkedPair(pair)
    this.#reader = new ReadableStreamDefaultReader(readable)
    this.#writer = new WritableStreamDefaultWriter(writable)
    this.#mark = mark
  }

  /** To be called again, with nothing, while `hasMore`. Throws when the body was to go on after `abort`. */
  readonly transform: BodyTransform = (chunk, last) => {
    if (this.#failure === null) this.#give(chunk, last)
    if (this.#failure !== null) throw this.#failure.error
    if (this.#piece !== null) return this.#takePiece()
    if (this.#isThrough) return null
    this.#caller = Promise.withResolvers()
    return this.#caller.promise
  }

  /** Code of the plugin may run within it, which may abort the body. */
  #give(chunk: Uint8Array, last: boolean): void {
    // Before the write: whoever waits for what comes out spares a TransformStream a wait of its own.
    this.#read()
    if (chunk.length > 0) this.#write(plain(chunk))
    if (last && !this.#lastGiven) this.#close()
  }

  /** As `Stage.hasMore`. */
  get hasMore(): boolean {
    return this.#piece !== null || this.#failure !== null || !this.#isThrough
  }

  /** Nothing more needs to come of what was pushed. */
  get #isThrough(): boolean {
    return this.#lastGiven ? this.#isClosed && this.#hasEnded : !this.#isTaking
  }

  /** `abort` was called. */
  get isOver(): boolean {
    return this.#isOver
  }

  listen(onMore: () => void): void {
    this.#onMore = onMore
  }

  #write(chunk: Uint8Array<ArrayBuffer>): void {
    this.#isTaking = true
    this.#writer.write(chunk).catch(this.#onWriteFailed)
    // At once while there is room in its queue, which holds one chunk unless its author has said otherwise.
    this.#writer.ready.then(() => {
      this.#isTaking = false
      this.#settle()
    }, NOTHING)
  }

  #close(): void {
    this.#lastGiven = true
    this.#writer.close().then(() => {
      this.#isClosed = true
      this.#settle()
    }, this.#onWriteFailed)
  }

  readonly #onWriteFailed = (error: unknown): void =>
    this.#fail(this.#hasEnded ? endedEarly() : reasonOf(error))

  #read(): void {
    if (this.#isReading || this.#piece !== null || this.#hasEnded || this.#isOver) return
    this.#isReading = true
    if (++this.#pieces % PIECES_PER_TURN_MAX === 0) setImmediate(this.#readNow)
    else this.#readNow()
  }

  readonly #readNow = (): void => {
    this.#reader.read().then(this.#onRead).catch(this.#onReadFailed)
  }

  readonly #onRead = ({ done, value }: { done: boolean; value?: unknown }): void => {
    this.#isReading = false
    if (this.#isOver) return
    if (done) this.#onEnd()
    else if (value instanceof Uint8Array) this.#onPiece(value)
    else this.#fail(noBytes(value))
  }

  readonly #onReadFailed = (error: unknown): void => this.#fail(reasonOf(error))

  #onPiece(piece: Uint8Array): void {
    if (piece.length > 0) this.#piece = piece
    else this.#read()
    this.#settle()
  }

  #onEnd(): void {
    this.#hasEnded = true
    if (this.#lastGiven) this.#settle()
    else this.#fail(endedEarly())
  }

  #takePiece(): Uint8Array | null {
    const piece = this.#piece
    this.#piece = null
    this.#read()
    return piece
  }

  #fail(error: unknown): void {
    if (this.#failure !== null || this.#isOver) return
    this.#failure = { error }
    this.#settle()
  }

  /** Tells whoever waits, or is to know. */
  #settle(): void {
    const caller = this.#caller
    if (caller === null) {
      if (this.#piece !== null || this.#failure !== null) this.#onMore()
      return
    }
    if (this.#failure === null && this.#piece === null && !this.#isThrough) return
    this.#caller = null
    if (this.#failure !== null) caller.reject(this.#failure.error)
    else caller.resolve(this.#takePiece())
  }

  /** The body does not go on: both ends are told, unless they have ended, and so is whoever waits. */
  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onMore = NOTHING
    // Half a body would pass for a whole.
    if (!this.#lastGiven || this.hasMore) this.#cut(new DOMException('The body does not go on', 'AbortError'))
    this.#piece = null
  }

  #cut(reason: DOMException): void {
    this.#failure ??= { error: reason }
    const caller = this.#caller
    this.#caller = null
    // Nobody may have an interest in it any more.
    caller?.promise.catch(NOTHING)
    caller?.reject(reason)
    // Code of the plugin runs there, and must not end what its exchange is in the middle of.
    if (!this.#isClosed || !this.#hasEnded) queueMicrotask(() => this.#abortPair(reason))
  }

  #abortPair(reason: DOMException): void {
    const before = runningMark[0] ?? NOBODY
    runningMark[0] = this.#mark
    this.#writer.abort(reason).catch(NOTHING)
    this.#reader.cancel(reason).catch(NOTHING)
    runningMark[0] = before
  }
}

function checkedPair(given: unknown): StreamPair {
  const { readable, writable } = (given ?? {}) as Partial<StreamPair>
  if (!(readable instanceof ReadableStream) || !(writable instanceof WritableStream)) {
    throw new TypeError(
      'stream() needs a pair of web streams, { readable, writable }, such as a TransformStream; Duplex.toWeb() makes one ' +
        'of a Duplex of Node',
    )
  }
  if (readable.locked || writable.locked) {
    throw new TypeError('stream() needs a pair of its own for each body; this one is locked')
  }
  if (Readable.isDisturbed(readable) || isReadable(readable) !== true || isWritable(writable) !== true) {
    throw new TypeError(
      'stream() needs a pair of its own for each body; this one has been used, or has ended',
    )
  }
  return { readable, writable }
}

/** No Buffer, whose methods an isolated plugin would not find, and no memory that is shared, which not every stream takes. */
function plain(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = chunk
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, length) : new Uint8Array(chunk)
}

/** A DecompressionStream of Node fails with an error that says nothing, and whose cause says it. */
function reasonOf(error: unknown): unknown {
  return messageOf(error) === '' && isInstance(error, TypeError) ? (error.cause ?? error) : error
}

/** Half a body would pass for a whole. */
function endedEarly(): GatewayError {
  return new GatewayError(
    'HOOK_RETURN_INVALID',
    'The readable of the pair ended before the body did; to drop the rest, take it and enqueue nothing',
  )
}

function noBytes(given: unknown): GatewayError {
  return new GatewayError(
    'HOOK_RETURN_INVALID',
    `The readable of the pair gave ${kindOf(given)}, not a Uint8Array; a TextEncoderStream makes that of text`,
  )
}

const NOTHING = (): void => {}
