import type { BodyOptions, BodyTransform, Fields, Protocol, Request, StreamPair } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { toBuffer } from '../answer.ts'
import type { BodyFlow } from '../body/body-flow.ts'
import { isToken } from '../fields.ts'
import type { HookContext } from './context.ts'
import { type ExchangeView, Phase } from './exchange-view.ts'
import { FieldsView, REQUEST_FIELDS, REQUEST_TRAILERS } from './fields-view.ts'
import { kindOf, shown } from './given.ts'
import { checkedTransform, type Transformer, TransformStage } from './transform-stage.ts'

/** `ctx.request`. */
export class RequestView implements Request {
  readonly #context: HookContext
  #headers: FieldsView | null = null

  constructor(context: HookContext) {
    this.#context = context
  }

  get method(): string {
    return this.#context.exchange.method
  }

  set method(method: string) {
    if (!isToken(method)) throw new TypeError(`The method ${shown(method)} is not a token (RFC 9110, 9.1)`)
    if (method === 'CONNECT') throw new TypeError('The method cannot become CONNECT')
    this.#editable.method = method
  }

  get url(): string {
    return this.#context.exchange.url
  }

  get path(): string {
    return this.#context.exchange.path
  }

  set path(path: string) {
    this.#editable.setPath(path)
  }

  get query(): URLSearchParams {
    const context = this.#context
    const { exchange } = context
    // Edits that come after its handle go nowhere.
    const { outcome } = context
    if (exchange.phase === Phase.handle ? outcome !== 'entered' : outcome === 'overtaken')
      return new URLSearchParams(exchange.query)
    context.willEdit()
    return exchange.query
  }

  get headers(): Fields {
    this.#headers ??= new FieldsView(this.#context, REQUEST_FIELDS)
    return this.#headers
  }

  get host(): string {
    return this.#context.exchange.host
  }

  get clientIp(): string {
    return this.#context.exchange.clientIp
  }

  get scheme(): 'http' | 'https' {
    return this.#context.exchange.scheme
  }

  get protocol(): Protocol {
    return this.#context.exchange.protocol
  }

  get trailers(): Fields {
    return new FieldsView(this.#context, REQUEST_TRAILERS)
  }

  async bytes(options?: BodyOptions): Promise<Uint8Array> {
    return copyOf(await this.#gather(options))
  }

  async text(options?: BodyOptions): Promise<string> {
    return textOf(await this.#gather(options))
  }

  async json(options?: BodyOptions): Promise<unknown> {
    return jsonOf(await this.text(options))
  }

  setBody(body: string | Uint8Array | null): void {
    const content = body === null ? null : ownBuffer(body)
    this.#changeableBody(this.#editable).replace(content, this.#context.bodyWaitSoFar)
  }

  transformBody(transform: BodyTransform, options?: BodyOptions): void {
    this.#pass(this.#editable, checkedTransform(transform), options)
  }

  stream(pair: StreamPair, options?: BodyOptions): void {
    // A pair that comes too late is not locked.
    this.#pass(this.#editable, this.#context.openPair(pair), options)
  }

  #pass(exchange: ExchangeView, transformer: Transformer, options?: BodyOptions): void {
    const stage = new TransformStage(transformer, exchange, this.#context)
    this.#changeableBody(exchange).addTransform(stage, options?.decode === true)
  }

  #changeableBody({ requestBody }: ExchangeView): BodyFlow {
    if (this.#context.saved !== null) requestBody.tryOut()
    return requestBody
  }

  #gather(options: BodyOptions | undefined): Promise<Buffer> {
    return this.#body.gather(options?.decode === true, this.#context.bodyWait)
  }

  get #body(): BodyFlow {
    return this.#context.exchange.requestBody
  }

  get #editable(): ExchangeView {
    const { exchange } = this.#context
    if (exchange.phase !== Phase.handle) {
      throw new TypeError('The request has been sent; it can be changed in handle only')
    }
    this.#context.checkInHandle()
    this.#context.willEdit()
    return exchange
  }
}

/** A plugin may write into what it gets; the body that goes on must not change with it. */
export function copyOf(content: Buffer): Uint8Array {
  return new Uint8Array(content)
}

/**
 * A plugin may go on writing into what it gave. Throws TypeError on what is neither text nor bytes: of an array of larger
 * numbers a Buffer takes the lowest byte of each.
 */
export function ownBuffer(content: string | Uint8Array): Buffer {
  if (typeof content === 'string') return toBuffer(content)
  if (content instanceof Uint8Array) return Buffer.from(content)
  throw new TypeError(`A body is a string, a Uint8Array or null, not ${kindOf(content)}`)
}

const utf8 = new TextDecoder('utf-8')

export function textOf(content: Buffer): string {
  return utf8.decode(content)
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    // V8's message quotes the text, which is the client's and not for logs.
    throw new GatewayError('BODY_UNREADABLE', 'The body is not JSON', { cause: error })
  }
}
