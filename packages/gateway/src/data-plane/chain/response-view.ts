import type { BodyOptions, BodyTransform, Fields, Response, ResponseInit, StreamPair } from '@cardea/sdk'
import type { BodyFlow } from '../body/body-flow.ts'
import type { HookContext } from './context.ts'
import { type ExchangeView, Phase } from './exchange-view.ts'
import { FieldsView, RESPONSE_FIELDS, RESPONSE_TRAILERS } from './fields-view.ts'
import { kindOf, shown } from './given.ts'
import { copyOf, ownBuffer, textOf } from './request-view.ts'
import { checkedTransform, type Transformer, TransformStage } from './transform-stage.ts'

/** `ctx.response`. */
export class ResponseView implements Response {
  readonly #context: HookContext
  #headers: FieldsView | null = null

  constructor(context: HookContext) {
    this.#context = context
  }

  get status(): number {
    const { exchange } = this.#context
    return exchange.phase === Phase.handle ? exchange.answer.status : exchange.responseStatus
  }

  set status(status: number) {
    const { exchange } = this.#context
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new TypeError(`Status ${shown(status)} is not a final status (200 to 599)`)
    }
    if (exchange.phase === Phase.handle) {
      this.#context.checkInHandle()
      const { answer } = exchange
      if (answer.status !== status) answer.fields = null
      answer.status = status
    } else if (exchange.phase === Phase.response) {
      this.#context.checkInResponse()
      this.#context.willEdit()
      exchange.changeStatus(status)
    } else throw new TypeError('The response head has been sent; its status is final')
  }

  get headers(): Fields {
    this.#headers ??= new FieldsView(this.#context, RESPONSE_FIELDS)
    return this.#headers
  }

  get trailers(): Fields {
    return new FieldsView(this.#context, RESPONSE_TRAILERS)
  }

  send(body: string | Uint8Array | null = null, init: ResponseInit = {}): false {
    const { exchange } = this.#context
    if (exchange.phase !== Phase.handle) {
      throw new TypeError('send, json and redirect belong to handle; set status and setBody in onResponse')
    }
    this.#context.checkInHandle()
    // Before the fields: which of them there may be depends on it.
    if (init.status !== undefined || exchange.answer.status === 0) this.status = init.status ?? 200
    this.#setHeaders(init.headers ?? {})
    if (typeof body === 'string' && !this.headers.has('content-type')) {
      this.headers.set('content-type', 'text/plain; charset=utf-8')
    }
    exchange.answer.content = body === null ? null : ownBuffer(body)
    exchange.answer.sent = true
    return false
  }

  json(value: unknown, init: ResponseInit = {}): false {
    const text = JSON.stringify(value)
    if (text === undefined) throw new TypeError('The value has no JSON form')
    this.headers.set('content-type', 'application/json')
    return this.send(text, init)
  }

  redirect(location: string, status: 301 | 302 | 303 | 307 | 308 = 302): false {
    this.headers.set('location', location)
    return this.send(null, { status })
  }

  #setHeaders(headers: NonNullable<ResponseInit['headers']>): void {
    // A Headers object has no members: all that is in it would be lost without a word.
    if (typeof headers !== 'object' || Symbol.iterator in headers) {
      throw new TypeError(
        `headers are an object of names and values, not ${kindOf(headers)}; see Object.fromEntries`,
      )
    }
    for (const [name, value] of Object.entries(headers)) this.#setHeader(name, value)
  }

  #setHeader(name: string, value: string | readonly string[]): void {
    if (typeof value === 'string') {
      this.headers.set(name, value)
      return
    }
    if (!Array.isArray(value)) {
      throw new TypeError(
        `The value of field "${name}" is a string or a list of strings, not ${kindOf(value)}`,
      )
    }
    this.headers.delete(name)
    for (const line of value) this.headers.append(name, line)
  }

  async bytes(options?: BodyOptions): Promise<Uint8Array> {
    return copyOf(await this.#gather(options))
  }

  async text(options?: BodyOptions): Promise<string> {
    return textOf(await this.#gather(options))
  }

  setBody(body: string | Uint8Array | null): void {
    const { exchange } = this.#context
    const content = body === null ? null : ownBuffer(body)
    if (exchange.phase === Phase.handle) {
      this.#context.checkInHandle()
      exchange.answer.content = content
      return
    }
    this.#changeable(exchange).replace(content, this.#context.bodyWaitSoFar)
  }

  transformBody(transform: BodyTransform, options?: BodyOptions): void {
    this.#checkChangeable()
    this.pass(checkedTransform(transform), options?.decode === true)
  }

  stream(pair: StreamPair, options?: BodyOptions): void {
    // A pair that comes too late is not locked.
    this.#checkChangeable()
    this.pass(this.#context.openPair(pair), options?.decode === true)
  }

  /** In `handle` it is noted, and done when it is this plugin's turn. */
  pass(transformer: Transformer, decode: boolean): void {
    const { exchange } = this.#context
    if (exchange.phase !== Phase.handle) {
      const stage = new TransformStage(transformer, exchange, this.#context)
      this.#changeable(exchange).addTransform(stage, decode)
      return
    }
    this.#context.willEdit()
    this.#context.recordTransform(transformer, decode)
    // A part of the old content would be no part of the new (RFC 9110, 14): the upstream is asked for the whole.
    exchange.requestFields.delete('range')
    exchange.requestFields.delete('if-range')
  }

  #gather(options: BodyOptions | undefined): Promise<Buffer> {
    return this.#body.gather(options?.decode === true, this.#context.bodyWait)
  }

  get #body(): BodyFlow {
    const { exchange } = this.#context
    if (exchange.phase === Phase.handle) {
      throw new TypeError('There is no response yet; read its body in onResponse')
    }
    return exchange.responseBody
  }

  #changeable(exchange: ExchangeView): BodyFlow {
    this.#checkChangeable()
    this.#context.willEdit()
    if (this.#context.saved !== null) exchange.responseBody.tryOut()
    return exchange.responseBody
  }

  /** Throws TypeError when the body cannot be changed any more. */
  #checkChangeable(): void {
    const { exchange } = this.#context
    if (exchange.phase === Phase.handle) {
      this.#context.checkInHandle()
      return
    }
    if (exchange.phase === Phase.sent)
      throw new TypeError('The response head has been sent; its body is final')
    this.#context.checkInResponse()
    if (exchange.responseIsPartial) {
      throw new TypeError(
        'The body of a 206 response is a part; delete Range and If-Range in handle to get it whole',
      )
    }
  }
}
