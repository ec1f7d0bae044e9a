import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import type { FieldLines } from '../fields.ts'
import { decodeStages } from './decode.ts'
import { type Stage, transformStage } from './stage.ts'

/** What a flow needs of the exchange, one object per direction. */
export interface BodyPort {
  /** Bound of what is gathered. */
  readonly gatheredBytesMax: number
  readonly tooLarge: ErrorCode
  /** The message's Content-Encoding. */
  contentEncoding(): string | null
  pauseSource(): void
  resumeSource(): void
  /** A plugin waits for bytes (true), or has got them (false): its hook's clock stands meanwhile. */
  onWaiting(waiting: boolean): void
  /** A plugin is about to read: a client that waits for 100 Continue must be told to go on. */
  onRead(): void
  deliver(chunk: Buffer): void
  deliverEnd(trailers: FieldLines | null): void
  /** A transform failed while the content flowed. */
  onBroken(error: unknown): void
}

/**
 * The content of one direction of an exchange, once a plugin has touched it; untouched content never comes here. From
 * the source it passes the stages in order, and either is gathered (for `bytes()`), or, after `open`, goes to the sink.
 */
export class BodyFlow {
  readonly #port: BodyPort
  #stages: Stage[] = []
  /** The content as far as plugins are done with it, when it is known as a whole. */
  #whole: Buffer | null = null
  #wholeDecoded: Buffer | null = null
  #gathering: Gathering | null = null
  /** Chunks that came while a stage was busy. */
  readonly #queue: { readonly chunk: Buffer; readonly last: boolean }[] = []
  #busy = false
  #opened = false
  #sourceEnded = false
  #aborted = false
  #trailers: FieldLines | null = null
  #sinkFull = false
  /** What `setBody` after a decoded read replaces is the decoded form. */
  #readDecoded = false
  #replaced = false
  #decodes = false

  constructor(port: BodyPort) {
    this.#port = port
  }

  /** The content as it will go on, when that is known; null while it flows. */
  get whole(): Buffer | null {
    return this.#stages.length === 0 ? this.#whole : null
  }

  /** Whether content that goes on can differ from what came. */
  get changed(): boolean {
    return this.#replaced || this.#stages.length > 0
  }

  /** Whether Content-Encoding does not describe what goes on. */
  get decoded(): boolean {
    return this.#decodes
  }

  // The plugins' side.

  async gather(decode: boolean): Promise<Buffer> {
    if (this.#opened)
      throw new Error('The body is on its way; read it in handle (request) or onResponse (response)')
    const whole = this.#whole !== null && this.#stages.length === 0 ? this.#whole : await this.#gatherWhole()
    if (!decode || this.#decodes) return whole
    this.#readDecoded = true
    this.#wholeDecoded ??= await this.#decodeWhole(whole)
    return this.#wholeDecoded
  }

  #gatherWhole(): Promise<Buffer> {
    return (this.#gathering ?? this.#startGathering()).promise
  }

  #startGathering(): Gathering {
    const gathering = new Gathering()
    // Set first: the source may deliver before `resumeSource` returns.
    this.#gathering = gathering
    const known = this.#whole
    if (known !== null) {
      this.#whole = null
      // The stages of earlier plugins turn what is known into what this plugin reads.
      queueMicrotask(() => this.#take(known, true))
    } else {
      this.#port.onRead()
      this.#port.onWaiting(true)
      this.#port.resumeSource()
    }
    return gathering
  }

  async #decodeWhole(whole: Buffer): Promise<Buffer> {
    let content: Buffer = whole
    for (const stage of decodeStages(this.#port.contentEncoding(), this.#port.gatheredBytesMax)) {
      content = asBuffer(await stage.push(content, true))
      if (content.length > this.#port.gatheredBytesMax) throw this.#tooLarge()
    }
    return content
  }

  replace(content: Buffer | null): void {
    this.#dropStages()
    this.#whole = content ?? NOTHING
    this.#wholeDecoded = null
    this.#replaced = true
    if (this.#readDecoded) this.#decodes = true
    this.#trailers = null
    this.#queue.length = 0
    this.#gathering?.resolve(this.#whole)
    this.#gathering = null
    // What still comes from the source is read and thrown away.
    if (this.#sourceEnded) return
    this.#port.onRead()
    this.#port.resumeSource()
  }

  addTransform(transform: Parameters<typeof transformStage>[0], decode: boolean): void {
    if (decode && !this.#decodes) {
      const decoders = decodeStages(this.#port.contentEncoding(), this.#port.gatheredBytesMax)
      this.#stages.push(...decoders)
      if (decoders.length > 0) this.#decodes = true
    }
    this.#stages.push(transformStage(transform))
  }

  // The source's side.

  /** There is no content at all. */
  knowEmpty(): void {
    this.#sourceEnded = true
    this.#whole = NOTHING
  }

  push(buffer: Buffer, start: number, end: number): void {
    if (this.#aborted || this.#replaced) return
    this.#take(Buffer.from(buffer.subarray(start, end)), false)
  }

  pushEnd(trailers: FieldLines | null): void {
    this.#sourceEnded = true
    if (this.#aborted || this.#replaced) return
    this.#trailers = trailers
    this.#take(NOTHING, true)
  }

  #take(chunk: Buffer, last: boolean): void {
    if (this.#busy) {
      this.#queue.push({ chunk, last })
      this.#port.pauseSource()
      return
    }
    try {
      const pending = this.#advance(0, chunk, last)
      if (pending !== null) this.#await(pending)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Passes a chunk on from stage `from`; a promise when some stage needs time. */
  #advance(from: number, chunk: Buffer, last: boolean): Promise<void> | null {
    let content = chunk
    for (let i = from; i < this.#stages.length; i++) {
      const result = this.#stages[i]?.push(content, last) ?? null
      if (result instanceof Promise) {
        return result.then((value) => {
          if (this.#aborted || (value === null && !last)) return undefined
          return this.#advance(i + 1, asBuffer(value), last) ?? undefined
        })
      }
      if (result === null && !last) return null
      content = asBuffer(result)
    }
    this.#emit(content, last)
    return null
  }

  #await(pending: Promise<void>): void {
    this.#busy = true
    pending.then(
      () => {
        this.#busy = false
        this.#drainQueue()
      },
      (error) => this.#fail(error),
    )
  }

  #drainQueue(): void {
    while (!this.#busy && !this.#aborted) {
      const next = this.#queue.shift()
      if (next === undefined) {
        if (!this.#sinkFull && !this.#sourceEnded) this.#port.resumeSource()
        return
      }
      this.#take(next.chunk, next.last)
    }
  }

  #emit(chunk: Buffer, last: boolean): void {
    if (this.#gathering !== null) this.#collect(this.#gathering, chunk, last)
    else {
      if (chunk.length > 0) this.#port.deliver(chunk)
      if (last) this.#port.deliverEnd(this.#trailers)
    }
  }

  #collect(gathering: Gathering, chunk: Buffer, last: boolean): void {
    gathering.add(chunk)
    if (gathering.bytes > this.#port.gatheredBytesMax) throw this.#tooLarge()
    if (!last) return
    if (this.#stages.length > 0) this.#replaced = true
    this.#stages = []
    this.#gathering = null
    this.#whole = gathering.take()
    this.#port.onWaiting(false)
    gathering.resolve(this.#whole)
  }

  #tooLarge(): GatewayError {
    return new GatewayError(
      this.#port.tooLarge,
      `The body is longer than the ${this.#port.gatheredBytesMax} bytes that may be gathered`,
    )
  }

  // The exchange's side.

  /** The hooks are done: content goes to the sink from now on. May be called again for content known as a whole. */
  open(): void {
    this.#opened = true
    const whole = this.#whole
    if (whole === null) {
      this.#port.resumeSource()
      return
    }
    // Kept for a second try when nothing has to be run over it.
    if (this.#stages.length > 0) this.#whole = null
    this.#take(whole, true)
  }

  get opened(): boolean {
    return this.#opened
  }

  onSinkFull(): void {
    this.#sinkFull = true
    this.#port.pauseSource()
  }

  onSinkDrained(): void {
    this.#sinkFull = false
    if (!this.#busy && !this.#sourceEnded) this.#port.resumeSource()
  }

  abort(error: GatewayError): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#queue.length = 0
    this.#dropStages()
    this.#gathering?.reject(error)
    this.#gathering = null
  }

  #fail(error: unknown): void {
    const gathering = this.#gathering
    this.#gathering = null
    this.#aborted = true
    this.#dropStages()
    if (gathering === null) {
      this.#port.onBroken(error)
      return
    }
    this.#port.onWaiting(false)
    gathering.reject(error)
  }

  #dropStages(): void {
    for (const stage of this.#stages) stage.abort()
    this.#stages = []
  }
}

const NOTHING = Buffer.alloc(0)

function asBuffer(content: Uint8Array | null): Buffer {
  if (content === null) return NOTHING
  if (!(content instanceof Uint8Array)) {
    throw new GatewayError(
      'HOOK_RETURN_INVALID',
      'A transform returned something other than a Uint8Array or null',
    )
  }
  return Buffer.isBuffer(content)
    ? content
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}

/** Chunks on their way to one piece. */
class Gathering {
  readonly promise: Promise<Buffer>
  bytes = 0
  readonly #chunks: Buffer[] = []
  readonly #resolvers = Promise.withResolvers<Buffer>()

  constructor() {
    this.promise = this.#resolvers.promise
    // Whoever waits sees the rejection; nobody may be waiting any more when an exchange is aborted.
    this.promise.catch(() => {})
  }

  add(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.bytes += chunk.length
  }

  take(): Buffer {
    const first = this.#chunks[0]
    return this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
  }

  resolve(content: Buffer): void {
    this.#resolvers.resolve(content)
  }

  reject(error: unknown): void {
    this.#resolvers.reject(error)
  }
}
