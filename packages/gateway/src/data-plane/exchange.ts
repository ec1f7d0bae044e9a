import type { ExchangeError } from '@cardea/sdk'
import { type ErrorCode, GatewayError, messageOf } from '../base/errors.ts'
import type { GatewaySettings } from '../protocol/generation.ts'
import { type Answer, answerOf, problemAnswer } from './answer.ts'
import type { BodyPort } from './body/body-flow.ts'
import { ChainRun } from './chain/chain-run.ts'
import { type ChainUser, type HookFailure, Phase } from './chain/exchange-view.ts'
import { type ExchangeMeter, meterFor } from './exchange-meter.ts'
import { ExchangeState } from './exchange-state.ts'
import { FieldLines } from './fields.ts'
import type { Generation, LiveRoute } from './generation.ts'
import type { RequestHead } from './http1/request-head.ts'
import { pathOddityNames } from './routing/path.ts'
import type { TemplateValues } from './routing/rewrite.ts'
import { RouteMatch } from './routing/router.ts'
import type {
  ClientStream,
  ClientStreamUser,
  RequestFault,
  UpstreamLeg,
  UpstreamLegUser,
  UpstreamRequest,
  UpstreamResponse,
} from './streams.ts'
import type { Sweeper } from './sweeper.ts'
import type { Upstream } from './upstream/upstream.ts'

/** What exchanges share in a worker. */
export interface ExchangeHost {
  readonly sweeper: Sweeper
  readonly settings: GatewaySettings
  /** `1.1 NAME` (RFC 9110, 7.6.3). */
  readonly via: string
  /** Exchanges without a response head yet. */
  pendingRequests: number
  openLeg(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser): UpstreamLeg
  /** An invariant of ours did not hold, or an upstream misbehaved in a way its owner should know of. */
  logFault(error: GatewayError, exchange: Exchange): void
  onExchangeEnded(exchange: Exchange): void
}

const match = new RouteMatch()

/**
 * One request and its response on their way through a worker. The story, top to bottom: `begin` finds the route and
 * runs the chain; `onHandled` turns to the upstream; `onUpstreamHead` takes its response and runs the chain backwards;
 * `onResponded` sends the head; content follows; `#finish` ends it. `#answer…` and `#fail` are the ways out in between.
 */
export class Exchange extends ExchangeState implements ClientStreamUser, ChainUser, UpstreamLegUser {
  readonly generation: Generation
  readonly #host: ExchangeHost
  route: LiveRoute | null = null
  #run: ChainRun | null = null
  #meter: ExchangeMeter | null = null
  #leg: UpstreamLeg | null = null
  #pending = false
  #requestEnded: boolean
  #requestReady = false
  #tunnel = false
  #responseTaken = false
  #hasContent = true
  #inUpstreamCall = false
  #ended = false
  #matched: TemplateValues = NOTHING_MATCHED
  /** Content of an answer that the gateway or a plugin made. */
  #content: Buffer | null = null
  #ownContentFed = false
  error: ExchangeError | null = null
  aborted = false
  requestBytes = 0
  responseBytes = 0
  statusSent = 0
  /** Path and query as they came, the path normalised. */
  receivedUrl = ''

  constructor(
    client: ClientStream,
    head: RequestHead,
    id: string,
    generation: Generation,
    host: ExchangeHost,
  ) {
    super(client, head, id)
    this.generation = generation
    this.#host = host
    this.#requestEnded = !head.hasBody
  }

  // The request.

  begin(): void {
    this.generation.pin()
    // Content waits until somebody wants it.
    if (!this.#requestEnded) this.client.pauseBody()
    const refusal = this.#findRoute()
    if (refusal !== null) {
      this.#answerWith(refusal, null)
      return
    }
    const chain = this.route?.chain
    if (chain === undefined || chain.length === 0) {
      this.onHandled()
      return
    }
    this.#meter = meterFor(chain, this.#host.sweeper.clock)
    this.#run = new ChainRun(chain, this, this.#host.sweeper)
    this.#run.handle()
  }

  /** Sets `route`, or returns the answer to a request that has none. */
  #findRoute(): Answer | null {
    const { router, routes } = this.generation
    let oddities: number
    try {
      oddities = this.readTarget()
      this.receivedUrl = this.path + this.search
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      return this.#problem(error.code, error.message)
    }
    const compiled = router.match(this.host, this.path, this.method, this.head.fields, match)
    if (compiled === null) return this.#noRoute(match.allow)
    const refused = oddities & ~compiled.allowedOddities
    if (refused !== 0) {
      return this.#problem('REQUEST_PATH_REFUSED', `The path has ${pathOddityNames(refused).join(', ')}`)
    }
    this.route = routes[compiled.index] ?? null
    this.routeName = compiled.name
    this.params = match.params
    if (compiled.usesTemplate) this.#matched = { rawParams: match.rawParams, rest: match.rest }
    if (this.head.contentLength > bodyLimit(compiled.plan.requestBodyBytesMax)) {
      return this.#problem('REQUEST_BODY_TOO_LARGE', null)
    }
    if (this.#host.pendingRequests >= this.#host.settings.limits.pendingRequestsMax) {
      return this.#problem('GATEWAY_OVERLOADED', null)
    }
    this.#pending = true
    this.#host.pendingRequests++
    this.#stripForwardingFields()
    return null
  }

  #noRoute(allow: string): Answer {
    if (allow === '') return this.#problem('ROUTE_NOT_FOUND', null)
    const answer = this.#problem('METHOD_NOT_ALLOWED', null)
    answer.fields.append('allow', allow)
    return answer
  }

  /** What a client says about itself is not for plugins or upstreams to believe; the gateway writes its own. */
  #stripForwardingFields(): void {
    if (!this.head.hasForwardingFields) return
    for (const name of FORWARDING_FIELDS) this.head.fields.delete(name)
  }

  #problem(code: ErrorCode, detail: string | null): Answer {
    this.error = exchangeErrorOf(new GatewayError(code, detail ?? undefined))
    return problemAnswer(code, detail, this.id)
  }

  // The chain has run forwards.

  onHandled(): void {
    this.#meter?.handled()
    const { route } = this
    if (route === null) return
    const { plan } = route.compiled
    if (route.upstream !== null && plan.action.kind === 'upstream') {
      this.#forward(route, route.upstream)
    } else if (route.answer !== null) {
      this.#answerWith(copyAnswer(route.answer), null)
    } else {
      this.#redirect(route)
    }
  }

  #redirect({ compiled }: LiveRoute): void {
    const { action } = compiled.plan
    const location = compiled.location?.apply(this.#matched, this.search) ?? ''
    const status = action.kind === 'redirect' ? action.status : 302
    this.#answerWith(answerOf(status, { location }, null), null)
  }

  #forward(route: LiveRoute, upstream: Upstream): void {
    const { action } = route.compiled.plan
    if (action.kind === 'upstream') this.hostPolicy = action.host
    if (route.compiled.rewriter !== null && !this.#rewrite(route)) return
    if (this.requestFlow !== null) this.settleRequestFields(this.requestFlow)
    this.#leg = this.#host.openLeg(upstream, this, this)
    this.#leg.start()
  }

  #rewrite({ compiled }: LiveRoute): boolean {
    if (this.pathSet && compiled.plan.rewrite !== '') return true
    const path = compiled.rewriter?.apply(this.path, this.#matched) ?? this.path
    if (path === '') {
      this.#fail(new GatewayError('REQUEST_MALFORMED', 'The path cannot be rewritten'))
      return false
    }
    this.path = path
    return true
  }

  get forwardingLines(): string {
    return `${this.forwarding.lines}via: ${this.#host.via}\r\nx-request-id: ${this.id}\r\n`
  }

  onUpstreamReady(): void {
    const leg = this.#leg
    if (leg === null) return
    this.#meter?.connected()
    this.#requestReady = true
    if (this.requestFlow !== null) {
      this.requestFlow.open()
    } else if (this.#requestEnded) {
      leg.sendEnd(null)
    } else {
      this.client.resumeBody()
    }
  }

  onRequestData(buffer: Buffer, start: number, end: number): void {
    this.requestBytes += end - start
    const limit = bodyLimit(this.route?.compiled.plan.requestBodyBytesMax ?? 0)
    if (this.requestBytes > limit) {
      this.onRequestBroken('REQUEST_BODY_TOO_LARGE', `The body is longer than ${limit} bytes`)
    } else if (this.requestFlow !== null) {
      this.requestFlow.push(buffer, start, end)
    } else if (this.#requestReady) {
      this.#sendToUpstream(buffer, start, end)
    }
  }

  #sendToUpstream(buffer: Buffer, start: number, end: number): void {
    const leg = this.#leg
    if (leg === null || this.#responseTaken) return
    leg.sendData(buffer, start, end)
    if (!leg.needsDrain) return
    if (this.requestFlow !== null) this.requestFlow.onSinkFull()
    else this.client.pauseBody()
  }

  onRequestEnd(trailers: FieldLines | null): void {
    this.#requestEnded = true
    this.requestTrailers = trailers
    if (this.requestFlow !== null) this.requestFlow.pushEnd(trailers)
    else if (this.#requestReady && !this.#responseTaken) this.#leg?.sendEnd(trailers)
  }

  onUpstreamDrain(): void {
    if (this.requestFlow !== null) this.requestFlow.onSinkDrained()
    else if (!this.#requestEnded) this.client.resumeBody()
  }

  flush(): void {
    if (!this.#responseTaken) this.#leg?.flush()
  }

  /** The request's content cannot be read on. */
  onRequestBroken(code: RequestFault, detail: string): void {
    this.requestFlow?.abort(new GatewayError(code, detail))
    this.#fail(new GatewayError(code, detail))
  }

  onClientClosed(): void {
    if (this.#ended) return
    if (this.#tunnel && this.phase === Phase.sent) {
      this.#finish()
      return
    }
    this.aborted = true
    this.#cut(new GatewayError('CLIENT_ABORTED'))
  }

  // The response.

  onUpstreamInformational(status: number, fields: FieldLines): void {
    if (status === 100 && !this.expectContinue) return
    this.client.sendInformational(status, fields)
  }

  onUpstreamHead(response: UpstreamResponse): void {
    this.#meter?.answered()
    this.#responseTaken = true
    this.#takeResponse(response.status, response.fields, response.contentLength)
    if (response.status === 101) this.#prepareTunnel(response.upgrade ?? '')
    else if (!this.#requestEnded) this.client.pauseBody()
    this.#inUpstreamCall = true
    this.#respond(null)
    this.#inUpstreamCall = false
  }

  #takeResponse(status: number, fields: FieldLines, contentLength: number): void {
    this.responseStatus = status
    this.responseFields = fields
    this.responseLength = contentLength
    this.phase = Phase.response
    this.responseFlow = null
    if (this.#pending) {
      this.#pending = false
      this.#host.pendingRequests--
    }
    if (this.hasEdits) this.edits.replayOn(fields)
  }

  #prepareTunnel(upgrade: string): void {
    this.#tunnel = true
    this.responseFields.append('connection', 'upgrade')
    this.responseFields.append('upgrade', upgrade)
  }

  #respond(error: ExchangeError | null): void {
    if (this.#run === null) {
      this.onResponded()
      return
    }
    // Nothing of the body may pass before the hooks are done with the head.
    this.#leg?.pause()
    this.#run.respond(error)
  }

  /** The chain has run backwards: the head leaves. */
  onResponded(): void {
    this.phase = Phase.sent
    const status = this.responseStatus
    if (this.responseFlow !== null) this.settleResponseFields(this.responseFlow)
    this.#hasContent = this.method !== 'HEAD' && status !== 304 && status !== 204 && status !== 101
    this.statusSent = status
    this.responseFields.append('via', this.#host.via)
    this.client.sendHead(
      status,
      this.responseFields,
      status === 101 ? -1 : this.responseLength,
      this.#hasContent,
    )
    if (this.#tunnel) this.#openTunnel()
    else this.#openContent()
  }

  #openContent(): void {
    const leg = this.#leg
    if (this.responseFlow !== null) this.responseFlow.open()
    else if (leg === null) this.#sendOwnContent()
    else {
      leg.resume()
      // Within the upstream's call more content may follow at once and leave in the same write.
      if (!this.#inUpstreamCall && !this.#ended) this.client.flush()
    }
  }

  #sendOwnContent(): void {
    const content = this.#content
    if (content !== null) this.#sendToClient(content, 0, content.length)
    this.#endResponse(null)
  }

  onUpstreamData(buffer: Buffer, start: number, end: number): void {
    if (this.responseFlow !== null) this.responseFlow.push(buffer, start, end)
    else this.#sendToClient(buffer, start, end)
  }

  #sendToClient(buffer: Buffer, start: number, end: number): void {
    if (!this.#hasContent) return
    this.responseBytes += end - start
    this.client.sendData(buffer, start, end)
    if (!this.client.needsDrain) return
    if (this.responseFlow !== null) this.responseFlow.onSinkFull()
    else this.#leg?.pause()
  }

  onClientDrain(): void {
    if (this.responseFlow !== null) this.responseFlow.onSinkDrained()
    else this.#leg?.resume()
  }

  onUpstreamFlush(): void {
    this.client.flush()
  }

  onUpstreamEnd(trailers: FieldLines | null): void {
    this.responseTrailers = trailers
    if (this.#tunnel) return
    if (this.responseFlow !== null) this.responseFlow.pushEnd(trailers)
    else this.#endResponse(trailers)
  }

  #endResponse(trailers: FieldLines | null): void {
    if (this.#ended) return
    this.client.sendEnd(trailers)
    this.#finish()
  }

  onUpstreamFailed(error: GatewayError): void {
    if (this.#tunnel && this.phase === Phase.sent) {
      this.client.endTunnel()
      this.#finish()
      return
    }
    this.#host.logFault(error, this)
    this.#fail(error)
  }

  // Tunnels.

  #openTunnel(): void {
    this.client.startTunnel()
    this.client.flush()
    this.#leg?.resume()
  }

  onTunnelData(buffer: Buffer, start: number, end: number): void {
    this.requestBytes += end - start
    this.#leg?.sendTunnelData(buffer, start, end)
    if (this.#leg?.needsDrain === true) this.client.pauseBody()
  }

  onTunnelEnd(): void {
    this.#leg?.endTunnel()
  }

  onUpstreamTunnelData(buffer: Buffer, start: number, end: number): void {
    this.responseBytes += end - start
    this.client.sendTunnelData(buffer, start, end)
    if (this.client.needsDrain) this.#leg?.pause()
  }

  onUpstreamTunnelEnd(): void {
    this.client.endTunnel()
  }

  // Ways out.

  onAnswered(): void {
    this.#meter?.handled()
    const { status, content } = this.answer
    this.#answerWith({ status, fields: new FieldLines(), content }, null)
  }

  onHookFailed(failure: HookFailure): void {
    this.#meter?.handled()
    if (this.phase === Phase.sent) {
      this.#cut(new GatewayError('HOOK_THREW', failure.message))
      return
    }
    const { fallback } = failure
    this.error = failure
    const answer =
      fallback === null
        ? problemAnswer(failure.code as ErrorCode, null, this.id)
        : answerOf(fallback.status, fallback.headers, fallback.body)
    this.#answerWith(answer, failure)
  }

  /** Answers instead of the upstream. Hooks that have not run yet see the answer. */
  #answerWith(answer: Answer, error: ExchangeError | null): void {
    this.#dropLeg()
    this.#content = answer.content
    this.#ownContentFed = false
    this.#tunnel = false
    this.#responseTaken = true
    this.#takeResponse(answer.status, answer.fields, answer.content?.length ?? 0)
    this.#respond(error)
  }

  #fail(error: GatewayError): void {
    if (this.#ended) return
    if (this.phase === Phase.sent) {
      this.#cut(error)
      return
    }
    this.error = exchangeErrorOf(error)
    // What the other side said goes to the log; the client learns the kind of trouble.
    this.#answerWith(
      problemAnswer(error.code, error.source === 'client' ? error.message : null, this.id),
      this.error,
    )
  }

  /** Ends an exchange whose response cannot be completed. */
  #cut(error: GatewayError): void {
    if (this.#ended) return
    this.error = exchangeErrorOf(error)
    const run = this.#run
    if (run === null) this.#finish()
    else run.reportError(this.error, () => this.#finish())
    if (!this.aborted) this.client.reset()
  }

  #dropLeg(): void {
    const leg = this.#leg
    this.#leg = null
    leg?.cancel()
  }

  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#pending) this.#host.pendingRequests--
    this.#pending = false
    const unfinished = new GatewayError('CLIENT_ABORTED')
    this.requestFlow?.abort(unfinished)
    this.responseFlow?.abort(unfinished)
    const target = this.#leg?.target ?? null
    this.#dropLeg()
    if (this.#run === null) this.#free()
    else this.#run.finish(this.#meter?.record(this, target, this.#run.timings()) ?? null, () => this.#free())
  }

  #free(): void {
    this.generation.unpin()
    this.#host.onExchangeEnded(this)
  }

  // Bodies that plugins touch.

  protected requestPort(): BodyPort {
    return {
      gatheredBytesMax: this.#host.settings.limits.bodyBytesMax,
      tooLarge: 'REQUEST_BODY_TOO_LARGE',
      contentEncoding: () => this.head.fields.get('content-encoding'),
      pauseSource: () => this.client.pauseBody(),
      resumeSource: () => this.client.resumeBody(),
      onWaiting: (waiting) => this.#run?.onWaiting(waiting),
      onRead: () => this.#continueRequest(),
      deliver: (chunk) => this.#sendToUpstream(chunk, 0, chunk.length),
      deliverEnd: (trailers) => {
        if (!this.#responseTaken) this.#leg?.sendEnd(trailers)
      },
      onBroken: (error) => this.#onTransformFailed(error),
    }
  }

  protected responsePort(): BodyPort {
    return {
      gatheredBytesMax: this.#host.settings.limits.bodyBytesMax,
      tooLarge: 'UPSTREAM_BODY_TOO_LARGE',
      contentEncoding: () => this.responseFields.get('content-encoding'),
      pauseSource: () => this.#leg?.pause(),
      resumeSource: () => this.#resumeResponse(),
      onWaiting: (waiting) => this.#run?.onWaiting(waiting),
      onRead() {},
      deliver: (chunk) => {
        this.#sendToClient(chunk, 0, chunk.length)
        this.client.flush()
      },
      deliverEnd: (trailers) => this.#endResponse(trailers),
      onBroken: (error) => this.#onTransformFailed(error),
    }
  }

  /** RFC 9110, 10.1.1: the client waits for this before it sends its content. */
  #continueRequest(): void {
    if (!this.expectContinue) return
    this.expectContinue = false
    this.client.sendInformational(100, null)
  }

  #resumeResponse(): void {
    if (this.#leg !== null) {
      this.#leg.resume()
      return
    }
    const flow = this.responseFlow
    if (flow === null || this.#ownContentFed) return
    this.#ownContentFed = true
    const content = this.#content
    if (content !== null) flow.push(content, 0, content.length)
    flow.pushEnd(null)
  }

  #onTransformFailed(error: unknown): void {
    const failure =
      error instanceof GatewayError
        ? error
        : new GatewayError('HOOK_THREW', messageOf(error), { cause: error })
    this.#host.logFault(failure, this)
    this.#fail(failure)
  }
}

const NOTHING_MATCHED: TemplateValues = { rawParams: {}, rest: '' }

/** Deleted from what the client sent, before plugins see the request; the gateway writes its own. */
const FORWARDING_FIELDS = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'x-request-id',
] as const

function bodyLimit(configured: number): number {
  return configured === 0 ? Number.POSITIVE_INFINITY : configured
}

function copyAnswer(answer: Answer): Answer {
  const fields = new FieldLines()
  fields.lines.push(...answer.fields.lines)
  return { status: answer.status, fields, content: answer.content }
}

function exchangeErrorOf(error: GatewayError): ExchangeError {
  const { code, message, source, status, plugin } = error
  return { code, message, source: source === 'config' ? 'gateway' : source, status, plugin }
}
