import type { ExchangeError, FinishRecord } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { GatewaySettings } from '../protocol/generation.ts'
import { type Answer, answerOf, copyAnswer, problemAnswer } from './answer.ts'
import { ChainRun } from './chain/chain-run.ts'
import { type ChainUser, type HookFailure, Phase } from './chain/exchange-view.ts'
import { ExchangeMeter, meterFor } from './exchange-meter.ts'
import { ExchangeState } from './exchange-state.ts'
import type { FieldLines } from './fields.ts'
import { isForwardingField } from './forwarding/forwarded.ts'
import type { Generation, LiveRoute } from './generation.ts'
import type { RequestHead } from './http1/request-head.ts'
import { pathOddityNames } from './routing/path.ts'
import type { TemplateValues } from './routing/rewrite.ts'
import { RouteMatch } from './routing/router.ts'
import type { ClientStream, RequestFault, UpstreamLeg, UpstreamLegUser, UpstreamRequest } from './streams.ts'
import type { Sweeper } from './sweeper.ts'
import type { Upstream } from './upstream/upstream.ts'

/** What exchanges share in a worker. */
export interface ExchangeHost {
  readonly sweeper: Sweeper
  readonly settings: GatewaySettings
  /** Exchanges without a response head yet. */
  pendingRequests: number
  openLeg(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser): UpstreamLeg
  /** The exchange is answered before its chain runs, for a reason that lies with the request or the load. */
  onRefused(error: GatewayError, exchange: RequestSide): void
  /** An upstream or a transform failed in a way that its owner should know of. */
  logFault(error: GatewayError, exchange: RequestSide): void
  /** Every exchange makes a record, and `onTrace` gets it, with the names of the query that plugins have said to hold secrets. */
  readonly tracing: boolean
  onTrace(record: FinishRecord, secretParameters: readonly string[]): void
  onExchangeEnded(exchange: RequestSide): void
}

/** What a Max-Forwards beyond it is taken for. */
const MAX_FORWARDS_MAX = 1_000

/** Characters of a path in a sentence for people. Without the query, which may hold secrets. */
const DESCRIBED_PATH_MAX = 100

/** One for all: read out before anything else can match. */
const match = new RouteMatch()

/**
 * The first half of the story: `begin` finds the route and runs the chain forwards; `onHandled` turns to the upstream;
 * then the request's content flows. The second half is in exchange.ts.
 */
export abstract class RequestSide extends ExchangeState implements ChainUser, UpstreamLegUser {
  readonly generation: Generation
  route: LiveRoute | null = null
  error: ExchangeError | null = null
  requestBytes = 0
  /** Path and query as they came, the path normalised. */
  receivedUrl = ''
  protected readonly owner: ExchangeHost
  protected run: ChainRun | null = null
  protected meter: ExchangeMeter | null = null
  protected leg: UpstreamLeg | null = null
  /** Counted among the host's pending requests. */
  protected pending = false
  protected requestEnded: boolean
  /** There is a response: nothing more of the request is sent. */
  protected responseTaken = false
  /** The upstream has the head: content may follow. */
  #requestReady = false
  #matched: TemplateValues = NOTHING_MATCHED

  constructor(
    client: ClientStream,
    head: RequestHead,
    id: string,
    generation: Generation,
    host: ExchangeHost,
  ) {
    super(client, head, id)
    this.generation = generation
    this.owner = host
    this.requestEnded = !head.hasBody
  }

  begin(): void {
    this.generation.pin()
    const { tracing, sweeper } = this.owner
    if (tracing) this.meter = new ExchangeMeter(sweeper.clock)
    // Content waits until somebody wants it.
    if (!this.requestEnded) this.client.pauseBody()
    const refusal = this.#findRoute()
    if (refusal !== null) {
      this.answerWith(refusal, null)
      return
    }
    const chain = tracing ? this.route?.chain.traced : this.route?.chain
    if (chain === undefined || chain.length === 0) {
      this.onHandled()
      return
    }
    this.meter ??= meterFor(chain, sweeper.clock)
    this.run = new ChainRun(chain, this, sweeper)
    this.run.handle()
  }

  /** Sets `route`, or returns the answer to a request that may have none. */
  #findRoute(): Answer | null {
    let oddities: number
    try {
      oddities = this.readTarget()
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      return this.#refuse(error)
    }
    this.receivedUrl = this.url
    const { router, routes } = this.generation
    const { trusted } = this.client.forwarding
    const claims = this.head.hasForwardingFields
    // Nor is it for the router to believe: what a client says of itself would choose its route, and so its plugins.
    if (claims && !trusted) this.#dropForwardingFields(false)
    const compiled = router.match(this.host, this.path, this.method, this.head.fields, match)
    if (compiled === null) return this.#noRoute(match.allow)
    const refused = oddities & ~compiled.allowedOddities
    if (refused !== 0) {
      const names = pathOddityNames(refused).join(', ')
      return this.#refuse(new GatewayError('REQUEST_PATH_REFUSED', `The path has ${names}`))
    }
    const route = routes[compiled.index] ?? null
    this.route = route
    this.routeName = compiled.name
    this.params = match.params
    if (compiled.usesTemplate) this.#matched = { rawParams: match.rawParams, rest: match.rest }
    if (claims && trusted) this.#dropForwardingFields(true)
    return this.#admit(bodyLimit(route?.plan.requestBodyBytesMax ?? 0))
  }

  #noRoute(allow: string): Answer {
    if (allow === '') return this.#problem(new GatewayError('ROUTE_NOT_FOUND'))
    const answer = this.#problem(new GatewayError('METHOD_NOT_ALLOWED'))
    answer.fields.append('allow', allow)
    return answer
  }

  #admit(bodyBytesMax: number): Answer | null {
    if (this.head.contentLength > bodyBytesMax) this.bodyRefusal = bodyTooLarge(bodyBytesMax)
    if (this.owner.pendingRequests >= this.owner.settings.limits.pendingRequestsMax) {
      return this.#refuse(new GatewayError('GATEWAY_OVERLOADED'))
    }
    this.pending = true
    this.owner.pendingRequests++
    return null
  }

  /** What a client says of itself is not for plugins or upstreams to believe; the gateway writes its own. */
  #dropForwardingFields(trusted: boolean): void {
    const { fields } = this.head
    for (const name of fields.names()) {
      if (name === 'x-request-id' || isForwardingField(name, trusted)) fields.delete(name)
    }
  }

  #refuse(error: GatewayError): Answer {
    this.owner.onRefused(error, this)
    return this.#problem(error)
  }

  #problem(error: GatewayError): Answer {
    this.error = exchangeErrorOf(error)
    return problemAnswer(error.code, error.message, this.id)
  }

  describe(): string {
    const [path = ''] = (this.receivedUrl || this.head.target).split('?', 1)
    const shown = path.length > DESCRIBED_PATH_MAX ? `${path.slice(0, DESCRIBED_PATH_MAX)}…` : path
    return `${this.head.method} ${shown} (route ${this.routeName})`
  }

  // The chain has run forwards.

  onHandled(): void {
    this.meter?.handled()
    const { route } = this
    if (route === null) return
    if (this.bodyRefusal !== null) this.fail(this.bodyRefusal)
    else if (route.upstream !== null) this.#forward(route, route.upstream)
    else if (route.answer !== null) this.answerWith(copyAnswer(route.answer), null)
    else this.#redirect(route)
  }

  #redirect({ plan: { action }, compiled }: LiveRoute): void {
    const location = compiled.location?.apply(this.#matched, this.search) ?? ''
    this.answerWith(answerOf(action.kind === 'redirect' ? action.status : 302, { location }, null), null)
  }

  #forward(route: LiveRoute, upstream: Upstream): void {
    const { action } = route.plan
    if (action.kind === 'upstream') this.hostPolicy = action.host
    if ((this.method === 'OPTIONS' || this.method === 'TRACE') && !this.#mayGoFurther()) return
    if (route.compiled.rewriter !== null && !this.#rewrite(route)) return
    if (this.requestFlow !== null) {
      const { failure } = this.requestFlow
      if (failure !== null) {
        this.onBodyFailed(failure.error)
        return
      }
      this.settleRequestFields(this.requestFlow)
    }
    this.leg = this.owner.openLeg(upstream, this, this)
    this.leg.start()
  }

  /** How many hops a request may still take (RFC 9110, 7.6.2). Returns false when it ends here; then it has been answered. */
  #mayGoFurther(): boolean {
    const { fields } = this.head
    const given = fields.get('max-forwards')
    if (given === null || !/^[0-9]+$/.test(given)) return true
    const left = Number(given)
    if (left > 0) {
      fields.set('max-forwards', String(Math.min(left, MAX_FORWARDS_MAX) - 1))
      return true
    }
    if (this.method === 'OPTIONS') this.answerWith(answerOf(204, {}, null), null)
    else this.fail(new GatewayError('REQUEST_METHOD_UNSUPPORTED', 'TRACE is passed on, never answered here'))
    return false
  }

  /** Returns false when the path cannot be rewritten; then it has been answered. */
  #rewrite({ plan, compiled }: LiveRoute): boolean {
    if (this.pathSet && plan.rewrite !== '') return true
    const path = compiled.rewriter?.apply(this.path, this.#matched) ?? this.path
    if (path === '') {
      this.fail(new GatewayError('REQUEST_MALFORMED', 'The path cannot be rewritten'))
      return false
    }
    this.path = path
    return true
  }

  get forwardingLines(): string {
    const { via, viaHttp10 } = this.generation
    const name = this.head.minorVersion === 0 ? viaHttp10 : via
    return `${this.forwarding.lines}via: ${name}\r\nx-request-id: ${this.id}\r\n`
  }

  onUpstreamReady(): void {
    this.meter?.connected()
    this.#requestReady = true
    if (this.requestFlow !== null) this.requestFlow.open()
    else if (this.requestEnded) this.leg?.sendEnd(null)
    else this.client.resumeBody()
  }

  // The request's content.

  onRequestData(buffer: Buffer, start: number, end: number): void {
    this.requestBytes += end - start
    const bytesMax = bodyLimit(this.route?.plan.requestBodyBytesMax ?? 0)
    if (this.requestBytes > bytesMax) {
      this.onRequestBroken('REQUEST_BODY_TOO_LARGE', bodyTooLarge(bytesMax).message)
    } else if (this.requestFlow !== null) {
      this.requestFlow.push(buffer, start, end)
    } else if (this.#requestReady) {
      this.sendToUpstream(buffer, start, end)
    }
  }

  sendToUpstream(buffer: Buffer, start: number, end: number): void {
    const { leg } = this
    if (leg === null || this.responseTaken) return
    leg.sendData(buffer, start, end)
    if (!leg.needsDrain) return
    if (this.requestFlow !== null) this.requestFlow.onSinkFull()
    else this.client.pauseBody()
  }

  onRequestEnd(trailers: FieldLines | null): void {
    this.requestEnded = true
    this.requestTrailers = trailers
    if (this.requestFlow !== null) this.requestFlow.pushEnd(trailers)
    else if (this.#requestReady) this.endToUpstream(trailers)
  }

  endToUpstream(trailers: FieldLines | null): void {
    if (this.responseTaken || this.leg === null) return
    this.leg.sendEnd(trailers === null ? null : this.requestTrailersToSend(trailers))
  }

  onUpstreamDrain(): void {
    if (this.phase === Phase.sent || this.requestFlow === null) this.client.resumeBody()
    else this.requestFlow.onSinkDrained()
  }

  flush(): void {
    if (!this.responseTaken) this.leg?.flush()
  }

  /** RFC 9110, 10.1.1: the client waits for this before it sends its content. */
  continueRequest(): void {
    if (!this.expectContinue) return
    this.expectContinue = false
    this.client.sendInformational(100, null)
  }

  /** A plugin put other content in the place of the client's. */
  discardRequest(): void {
    // A client that waits for 100 Continue keeps its content; what others send has to come out of the way.
    if (this.expectContinue) this.expectContinue = false
    else this.client.resumeBody()
  }

  get sweeper(): Sweeper {
    return this.owner.sweeper
  }

  /** The request's content cannot be read on. */
  onRequestBroken(code: RequestFault, detail: string): void {
    // Who was told to wait for 100 Continue is not late: it is the upstream that says nothing.
    const isUnasked = code === 'REQUEST_BODY_TIMEOUT' && this.expectContinue && this.requestBytes === 0
    const error =
      isUnasked && this.leg !== null
        ? new GatewayError('UPSTREAM_RESPONSE_TIMEOUT', 'Neither 100 Continue nor an answer came in time')
        : new GatewayError(code, detail)
    // What still comes must not break the request a second time while hooks see the answer.
    this.client.pauseBody()
    this.requestFlow?.abort(error)
    // A response that is there does not depend on it any more; that of an earlier break is the answer to this one too.
    if (this.responseTaken) return
    if (error.source === 'upstream') this.owner.logFault(error, this)
    this.fail(error)
  }

  /** Answers instead of the upstream. Hooks that have not run yet see the answer. */
  protected abstract answerWith(answer: Answer, error: ExchangeError | null): void
  /** Answers with the error's problem, or cuts the response when its head has left. */
  protected abstract fail(error: GatewayError): void
  /** The content of one direction cannot go on. */
  abstract onBodyFailed(error: unknown): void
  abstract onAnswered(): void
  abstract onHookFailed(failure: HookFailure): void
  abstract onResponded(): void
  abstract onFinished(): void
  abstract onHookEnded(error: GatewayError): void
  abstract onBrokenOff(error: GatewayError): void
  abstract onMistake(thrown: unknown): void
  abstract onUpstreamInformational(status: number, fields: FieldLines): void
  abstract onUpstreamHead(response: Parameters<UpstreamLegUser['onUpstreamHead']>[0]): void
  abstract onUpstreamData(buffer: Buffer, start: number, end: number): void
  abstract onUpstreamEnd(trailers: FieldLines | null): void
  abstract onUpstreamFlush(): void
  abstract onUpstreamFailed(error: GatewayError): void
  abstract onUpstreamTunnelData(buffer: Buffer, start: number, end: number): void
  abstract onUpstreamTunnelEnd(): void
}

const NOTHING_MATCHED: TemplateValues = { rawParams: {}, rest: '' }

function bodyTooLarge(bytesMax: number): GatewayError {
  return new GatewayError('REQUEST_BODY_TOO_LARGE', `The body is longer than ${bytesMax} bytes`)
}

/** 0 stands for no limit. */
function bodyLimit(configured: number): number {
  return configured === 0 ? Number.POSITIVE_INFINITY : configured
}

export function exchangeErrorOf(error: GatewayError): ExchangeError {
  const { code, message, source, status, plugin } = error
  return { code, message, source: source === 'config' ? 'gateway' : source, status, plugin }
}
