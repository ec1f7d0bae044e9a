import { GatewayError } from '../../base/errors.ts'
import type { FieldLines } from '../fields.ts'
import type { Before, BodyPort, DecodedRead } from './body-port.ts'
import type { BodyWait } from './body-wait.ts'
import { decodeStages } from './decode.ts'
import { Gathering } from './gathering.ts'
import { asBuffer, NOTHING, type Stage } from './stage.ts'
import { type LineEnd, StageLine } from './stage-line.ts'

/**
 * The content of one direction of an exchange, once a plugin has touched it; untouched content never comes here. From
 * the source it passes the stages in order, and either is gathered (for `bytes()`), or, after `open`, goes to the sink.
 */
export class BodyFlow implements LineEnd {
  readonly #port: BodyPort
  readonly #line = new StageLine(this)
  /** The content as far as plugins are done with it, when it is known as a whole. */
  #whole: Buffer | null = null
  #wholeDecoded: Buffer | null = null
  #gathering: Gathering | null = null
  #opened = false
  #sourceEnded = false
  /** Why nothing more will come of it, once that is so. */
  #failure: { readonly error: unknown } | null = null
  /** The message has no body at all: nothing goes on, whatever transforms make of nothing. */
  #absent = false
  #trailers: FieldLines | null = null
  #sinkFull = false
  /** The Content-Encoding that was opened for a read, and for whose: what that hook replaces is the decoded form. */
  #readDecoded: DecodedRead | null = null
  #replaced = false
  #transformed = false
  #before: Before | null = null

  constructor(port: BodyPort) {
    this.#port = port
  }

  /** The content as it will go on, when that is known; null while it flows. */
  get whole(): Buffer | null {
    return this.#line.length === 0 ? this.#whole : null
  }

  /** Whether content that goes on can differ from what came. */
  get changed(): boolean {
    return this.#replaced || this.#transformed
  }

  /** Whether the message has no body, and no plugin gave it one. */
  get absent(): boolean {
    return this.#absent && !this.#replaced
  }

  get trailers(): FieldLines | null {
    return this.#trailers
  }

  /** Puts in the place of trailers that have come what may go on of them. */
  keepTrailers(keep: (trailers: FieldLines) => FieldLines | null): void {
    if (this.#trailers !== null) this.#trailers = keep(this.#trailers)
  }

  /** Why the content cannot go on, or null. A plugin may have caught it, but half a body must not pass for a whole. */
  get failure(): { readonly error: unknown } | null {
    return this.#failure
  }

  // The plugins' side.

  /** `wait`: of the hook that reads, whose clock stands while bytes are to come. */
  async gather(decode: boolean, wait: BodyWait): Promise<Buffer> {
    if (this.#failure !== null) throw this.#failure.error
    const whole = this.whole ?? (await this.#gatherWhole(wait))
    if (!decode) return whole
    const encoding = this.#port.contentEncoding()
    this.#readDecoded = encoding === null ? null : { encoding, by: wait }
    this.#wholeDecoded ??= await this.#decodeWhole(whole, encoding)
    return this.#wholeDecoded
  }

  #gatherWhole(wait: BodyWait): Promise<Buffer> {
    const gathering = this.#gathering ?? this.#startGathering()
    // It may have come to its end at once.
    if (gathering === this.#gathering) gathering.addWait(wait)
    return gathering.promise
  }

  #startGathering(): Gathering {
    if (this.#opened) {
      throw new TypeError('The body is on its way; read it in handle (request) or onResponse (response)')
    }
    const known = this.#whole
    const gathering = new Gathering(known === null)
    // Set first: the source may deliver before `resumeSource` returns.
    this.#gathering = gathering
    if (known !== null) {
      this.#whole = null
      // The stages of earlier plugins turn what is known into what this plugin reads.
      const { content } = this.#line
      queueMicrotask(() => content === this.#line.content && this.#line.take(known, true))
    } else {
      this.#port.onRead()
      this.#port.resumeSource()
    }
    return gathering
  }

  async #decodeWhole(whole: Buffer, encoding: string | null): Promise<Buffer> {
    let content: Buffer = whole
    for (const stage of this.#decoders(encoding)) {
      content = asBuffer(await stage.push(content, true))
      if (content.length > this.#port.gatheredBytesMax) throw this.#tooLarge()
    }
    return content
  }

  /** `wait`: of the hook that replaces; null when it has read nothing. */
  replace(content: Buffer | null, wait: BodyWait | null): void {
    if (this.#before === null) this.#line.drop(0)
    else this.#putAside(this.#before)
    this.#line.restart()
    this.#failure = null
    this.#whole = content ?? NOTHING
    this.#wholeDecoded = null
    this.#replaced = true
    this.#forgetEncoding(wait)
    this.#trailers = null
    this.#endGathering()?.resolve(this.#whole)
    if (!this.#sourceEnded && this.#before === null) this.#port.onUnwanted()
  }

  #endGathering(): Gathering | null {
    const gathering = this.#gathering
    this.#gathering = null
    gathering?.endWaits()
    return gathering
  }

  /** At once, for what plugins say of the new content from now on is true of it; unless one has done so already. */
  #forgetEncoding(wait: BodyWait | null): void {
    const read = this.#readDecoded
    this.#readDecoded = null
    if (read === null || read.by !== wait) return
    if (read.encoding === this.#port.contentEncoding()) this.#port.removeContentEncoding()
  }

  addTransform(transform: Stage, decode: boolean): void {
    const decoders = decode ? this.#decoders(this.#port.contentEncoding()) : []
    for (const decoder of decoders) this.#line.add(decoder)
    // What a later plugin encodes anew, and says so, is not what is opened here.
    if (decoders.length > 0) {
      this.#readDecoded = null
      this.#port.removeContentEncoding()
    }
    this.#transformed = true
    this.#line.add(transform)
  }

  // What a plugin does that may be passed over, until it is known whether it counts.

  /** From now on what is done can be taken back, until `keep` or `takeBack`. */
  tryOut(): void {
    this.#before ??= {
      stages: this.#line.length,
      content: null,
      isLost: false,
      readDecoded: this.#readDecoded,
      replaced: this.#replaced,
      transformed: this.#transformed,
    }
  }

  #putAside(before: Before): void {
    if (this.#gathering !== null) before.isLost = true
    const others = this.#line.putAside(before.stages)
    this.#line.drop(0)
    before.content ??= {
      stages: others,
      whole: this.#whole,
      wholeDecoded: this.#wholeDecoded,
      trailers: this.#trailers,
      hasFailed: this.#failure !== null,
    }
    before.stages = 0
  }

  keep(): void {
    const before = this.#before
    this.#before = null
    if (before === null || before.content === null) return
    for (const stage of before.content.stages) stage.abort()
    if (!this.#sourceEnded) this.#port.onUnwanted()
  }

  /** Returns false, and changes nothing, when there is content that cannot be what it was. */
  takeBack(): boolean {
    const before = this.#before
    this.#before = null
    if (before === null) return true
    const hasOwnStages = this.#line.length > before.stages
    if (before.isLost || before.content?.hasFailed === true) return false
    if (this.#gathering !== null && hasOwnStages) return false
    this.#line.drop(before.stages)
    const { content } = before
    if (content !== null) {
      this.#line.bringBack(content.stages)
      this.#whole = content.whole
      this.#wholeDecoded = content.wholeDecoded
      this.#trailers = content.trailers
      this.#line.restart()
    }
    this.#readDecoded = before.readDecoded
    this.#replaced = before.replaced
    this.#transformed = before.transformed
    return true
  }

  // The source's side.

  /** No content will come from the source. */
  knowEmpty(): void {
    this.#sourceEnded = true
    this.#whole = NOTHING
  }

  /** The message has no body, and by its kind none can be told from its framing. */
  knowAbsent(): void {
    this.#absent = true
  }

  push(buffer: Buffer, start: number, end: number): void {
    if (this.#failure !== null || this.#replaced) return
    this.#line.take(Buffer.from(buffer.subarray(start, end)), false)
  }

  pushEnd(trailers: FieldLines | null): void {
    this.#sourceEnded = true
    if (this.#failure !== null || this.#replaced) return
    this.#trailers = trailers
    this.#line.take(NOTHING, true)
  }

  // What the line of stages tells.

  get isFull(): boolean {
    return this.#sinkFull
  }

  onBusy(): void {
    this.#port.pauseSource()
  }

  onIdle(): void {
    if (!this.#sinkFull && !this.#sourceEnded) this.#port.resumeSource()
  }

  onFailed(error: unknown): void {
    if (this.#failure !== null) return
    this.#failure = { error }
    this.#dropAll()
    this.#endGathering()?.reject(error)
    if (this.#opened) this.#port.onBroken(error)
  }

  emit(chunk: Buffer, last: boolean): void {
    if (this.#gathering !== null) this.#collect(this.#gathering, chunk, last)
    else {
      if (chunk.length > 0 && !this.absent) this.#port.deliver(chunk)
      if (last) this.#port.deliverEnd(this.#trailers)
    }
  }

  #collect(gathering: Gathering, chunk: Buffer, last: boolean): void {
    gathering.add(chunk)
    if (gathering.bytes > this.#port.gatheredBytesMax) throw this.#tooLarge()
    if (!last) return
    if (this.#before !== null) {
      if (this.#line.length > this.#before.stages) this.#before.isLost = true
      this.#before.stages = 0
    }
    this.#line.clear()
    const whole = gathering.take()
    this.#whole = whole
    this.#wholeDecoded = null
    this.#endGathering()?.resolve(whole)
    // Nobody waited for the read before the exchange went on.
    if (this.#opened) this.#line.take(whole, true)
  }

  #decoders(encoding: string | null): Stage[] {
    const { gatheredBytesMax, tooLarge } = this.#port
    return decodeStages(encoding, gatheredBytesMax, tooLarge)
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
    if (this.#failure !== null) {
      this.#port.onBroken(this.#failure.error)
      return
    }
    const whole = this.#whole
    if (whole === null) {
      // On a second try transforms have had their call for a body that is not there.
      if (this.absent && this.#sourceEnded) this.#port.deliverEnd(null)
      else this.#port.resumeSource()
      return
    }
    // Kept for a second try when nothing has to be run over it.
    if (this.#line.length > 0) this.#whole = null
    this.#line.take(whole, true)
  }

  /** Nobody touched the content in time: it is on its way past this flow. */
  close(): void {
    this.#opened = true
  }

  onSinkFull(): void {
    this.#sinkFull = true
    this.#port.pauseSource()
  }

  onSinkDrained(): void {
    this.#sinkFull = false
    this.#line.onRoom()
  }

  abort(error: GatewayError): void {
    if (this.#failure !== null) return
    this.#failure = { error }
    this.#dropAll()
    this.#endGathering()?.reject(error)
  }

  #dropAll(): void {
    this.#line.stop()
    for (const stage of this.#before?.content?.stages ?? []) stage.abort()
  }
}
