import { FieldLines } from '../fields.ts'
import { ExtensionState, readExtensionByte } from './chunk-extension.ts'
import { FieldRole, withDashes } from './field-names.ts'
import { type FieldReader, listHas, readScannedFields, scanFields } from './field-section.ts'
import { Malformed, type MalformedCodes } from './malformed.ts'
import { CR, HEX_VALUE, LF, SEMICOLON } from './syntax.ts'

/** Takes the content of a body as it is decoded. The buffer is the reader's own: copy what outlives the call. */
export interface BodySink {
  onBodyData(buffer: Buffer, start: number, end: number): void
  /** The body is complete. Called once. */
  onBodyEnd(trailers: FieldLines | null): void
}

export interface BodyLimits {
  readonly trailerBytesMax: number
  readonly chunkExtensionBytesMax: number
  readonly headerCountMax: number
}

const State = {
  done: 0,
  length: 1,
  untilClose: 2,
  sizeFirst: 3,
  size: 4,
  extension: 5,
  sizeLf: 6,
  chunk: 7,
  chunkCr: 8,
  chunkLf: 9,
  trailers: 10,
} as const
type State = (typeof State)[keyof typeof State]

/** A chunk size beyond this many digits is an attack on somebody's integer (RFC 9112, 7.1 asks to be wary). */
const CHUNK_SIZE_DIGITS_MAX = 12

/**
 * What must not come after the content, when all decisions it could change were made (RFC 9110, 6.5.1): conditions and
 * other request modifiers, credentials, control data of a response, what says how to process the content, and what we say
 * of our own. With `_` for `-` too.
 */
const FORBIDDEN_IN_TRAILERS: ReadonlySet<string> = new Set(
  `age authorization cache-control content-encoding content-range content-type cookie date expires if-match
if-modified-since if-none-match if-range if-unmodified-since location max-forwards pragma proxy-authenticate
proxy-authorization range retry-after set-cookie trailer vary warning www-authenticate x-cardea-generation`.split(
    /\s+/,
  ),
)

/**
 * Decodes one message body, whatever its framing, from pieces cut anywhere (RFC 9112, 6 and 7). One decoder serves a
 * connection: `start…` rearms it.
 */
export class BodyDecoder {
  readonly #limits: BodyLimits
  readonly #codes: MalformedCodes
  #state: State = State.done
  #remaining = 0
  #digits = 0
  #extension: ExtensionState = ExtensionState.nameFirst
  #extensionBytes = 0
  /** An incomplete trailer section, kept until its end comes. */
  #partial: Buffer | null = null
  #connection: string | null = null

  constructor(limits: BodyLimits, codes: MalformedCodes) {
    this.#limits = limits
    this.#codes = codes
  }

  get done(): boolean {
    return this.#state === State.done
  }

  /** How many bytes are left of this body; infinite where only its end will tell. */
  get bytesLeft(): number {
    if (this.#state === State.done) return 0
    return this.#state === State.length ? this.#remaining : Number.POSITIVE_INFINITY
  }

  /** Whether only the end of the connection ends this body. */
  get untilClose(): boolean {
    return this.#state === State.untilClose
  }

  startLength(length: number): void {
    this.#remaining = length
    this.#state = length === 0 ? State.done : State.length
  }

  /** `connection`: what the head's Connection field says. What it names ends here, in trailers too (RFC 9110, 7.6.1). */
  startChunked(connection: string | null = null): void {
    this.#connection = connection
    this.#remaining = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#partial = null
    this.#state = State.sizeFirst
  }

  startUntilClose(): void {
    this.#state = State.untilClose
  }

  /** Forgets a body that will not be read to its end. */
  abandon(): void {
    this.#state = State.done
    this.#partial = null
    this.#connection = null
  }

  /** Decodes from `start` on and returns the offset after what belongs to this body. Throws Malformed. */
  feed(buffer: Buffer, start: number, end: number, sink: BodySink): number {
    let i = start
    while (i < end && this.#state !== State.done) i = this.#step(buffer, i, end, sink)
    return i
  }

  #step(buffer: Buffer, i: number, end: number, sink: BodySink): number {
    switch (this.#state) {
      case State.length:
      case State.chunk:
        return this.#takeCounted(buffer, i, end, sink)
      case State.untilClose:
        sink.onBodyData(buffer, i, end)
        return end
      case State.sizeFirst:
      case State.size:
        return this.#takeSize(buffer, i, end)
      case State.extension:
        return this.#takeExtension(buffer, i, end)
      case State.trailers:
        return this.#takeTrailers(buffer, i, end, sink)
      default:
        return this.#takeLineBreak(buffer[i] as number, i)
    }
  }

  #takeCounted(buffer: Buffer, i: number, end: number, sink: BodySink): number {
    const taken = Math.min(end - i, this.#remaining)
    this.#remaining -= taken
    if (this.#remaining === 0 && this.#state === State.chunk) this.#state = State.chunkCr
    sink.onBodyData(buffer, i, i + taken)
    // Only now, and only if the sink has not abandoned the body: an end that comes after that would be another's.
    if (this.#remaining === 0 && this.#state === State.length) {
      this.#state = State.done
      sink.onBodyEnd(null)
    }
    return i + taken
  }

  #takeSize(buffer: Uint8Array, start: number, end: number): number {
    let i = start
    while (i < end) {
      const byte = buffer[i] as number
      const digit = HEX_VALUE[byte] as number
      if (digit === 255) return this.#endSize(byte, i)
      if (++this.#digits > CHUNK_SIZE_DIGITS_MAX) throw this.#malformed('A chunk size has too many digits')
      this.#remaining = this.#remaining * 16 + digit
      this.#state = State.size
      i++
    }
    return i
  }

  #endSize(byte: number, i: number): number {
    if (this.#state === State.sizeFirst) throw this.#malformed('A chunk size is missing (RFC 9112, 7.1)')
    if (byte === CR) this.#state = State.sizeLf
    else if (byte === SEMICOLON) {
      this.#state = State.extension
      this.#extension = ExtensionState.nameFirst
    } else throw this.#malformed('A chunk size is not hexadecimal (RFC 9112, 7.1)')
    return i + 1
  }

  /** Chunk extensions mean nothing to us and are dropped (RFC 9112, 7.1.1). */
  #takeExtension(buffer: Uint8Array, start: number, end: number): number {
    let i = start
    let extension = this.#extension
    while (i < end && extension < ExtensionState.ended) {
      extension = readExtensionByte(extension, buffer[i++] as number)
    }
    this.#extension = extension
    this.#extensionBytes += i - start
    if (this.#extensionBytes > this.#limits.chunkExtensionBytesMax) {
      throw this.#malformed(`Chunk extensions are longer than ${this.#limits.chunkExtensionBytesMax} bytes`)
    }
    if (extension === ExtensionState.malformed) {
      throw this.#malformed('A chunk extension is not a name with an optional value (RFC 9112, 7.1.1)')
    }
    if (extension === ExtensionState.ended) this.#state = State.sizeLf
    return i
  }

  #takeLineBreak(byte: number, i: number): number {
    if (this.#state === State.chunkCr) {
      if (byte !== CR) throw this.#malformed('A chunk is longer than its size says (RFC 9112, 7.1)')
      this.#state = State.chunkLf
      return i + 1
    }
    if (byte !== LF) throw this.#malformed('A CR stands without LF in a chunked body (RFC 9112, 7.1)')
    if (this.#state === State.sizeLf && this.#remaining > 0) {
      this.#state = State.chunk
    } else {
      this.#state = this.#state === State.sizeLf ? State.trailers : State.sizeFirst
    }
    this.#digits = 0
    return i + 1
  }

  #takeTrailers(buffer: Buffer, start: number, end: number, sink: BodySink): number {
    const partial = this.#partial
    const held = partial === null ? 0 : partial.length
    const whole = partial === null ? buffer : Buffer.concat([partial, buffer.subarray(start, end)])
    const from = partial === null ? start : 0
    const to = partial === null ? end : whole.length
    const sectionEnd = scanFields(whole, from, to, this.#limits.headerCountMax, this.#codes)
    if ((sectionEnd === -1 ? to : sectionEnd) - from > this.#limits.trailerBytesMax) {
      throw new Malformed(
        this.#codes.tooLarge,
        `The trailer section is longer than ${this.#limits.trailerBytesMax} bytes`,
      )
    }
    if (sectionEnd === -1) {
      this.#partial = Buffer.from(whole.subarray(from, to))
      return end
    }
    this.#partial = null
    this.#state = State.done
    const trailers = this.#readTrailers(whole, from, sectionEnd)
    this.#connection = null
    sink.onBodyEnd(trailers)
    return partial === null ? sectionEnd : start + sectionEnd - held
  }

  #readTrailers(buffer: Buffer, start: number, end: number): FieldLines | null {
    if (end - start === 2) return null
    const trailers = new Trailers()
    readScannedFields(buffer, buffer.toString('latin1', start, end), start, trailers)
    if (trailers.refused) {
      throw this.#malformed('A trailer field changes framing, routing or credentials (RFC 9110, 6.5.1)')
    }
    return trailers.fields.without((name) => this.#isDropped(withDashes(name)))
  }

  #isDropped(name: string): boolean {
    if (FORBIDDEN_IN_TRAILERS.has(name)) return true
    return this.#connection !== null && listHas(withDashes(this.#connection), name)
  }

  #malformed(detail: string): Malformed {
    return new Malformed(this.#codes.malformed, detail)
  }
}

class Trailers implements FieldReader {
  readonly fields = new FieldLines()
  refused = false

  readKnown(role: FieldRole): boolean {
    if (role === FieldRole.host || role === FieldRole.contentLength || role === FieldRole.transferEncoding) {
      this.refused = true
    }
    return false
  }
}
