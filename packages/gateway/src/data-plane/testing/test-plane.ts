import type { FinishRecord, Log } from '@cardea/sdk'
import type { GatewayError } from '../../base/errors.ts'
import { allSteps } from '../../base/steps.ts'
import type { FaultEvent } from '../../protocol/faults.ts'
import type { GatewaySettings, GenerationPlan } from '../../protocol/generation.ts'
import type { StagedInstances } from '../../protocol/instance.ts'
import type { ExchangeTrace } from '../../protocol/trace.ts'
import { GuardBook } from '../chain/guard.ts'
import { Exchange } from '../exchange.ts'
import type { ExchangeHost, RequestSide } from '../exchange-request.ts'
import { AddressBlocks } from '../forwarding/cidr.ts'
import { ForwardingFields, type TrustedProxies } from '../forwarding/forwarded.ts'
import { type Generation, generationInSteps } from '../generation.ts'
import { Malformed, REQUEST_CODES } from '../http1/malformed.ts'
import { type RequestHead, readRequestHead } from '../http1/request-head.ts'
import type { RequestFault, UpstreamLeg, UpstreamLegUser, UpstreamRequest } from '../streams.ts'
import { Sweeper } from '../sweeper.ts'
import { traceOf } from '../trace-of.ts'
import { TurnWrites } from '../turn-writes.ts'
import { AddressBook } from '../upstream/addresses.ts'
import { type Upstream, UpstreamRegistry } from '../upstream/upstream.ts'
import { type BodySource, bytesIn, type FieldsInit, pairsOf, piecesOf } from './body-source.ts'
import { ScriptedLeg } from './scripted-leg.ts'
import { TestClient } from './test-client.ts'
import { decodedTrailers } from './trailer-section.ts'
import type { UpstreamRequestSeen, UpstreamScript } from './upstream-script.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What traces name. */
const TRACED_WORKER = 3

export interface TestPlaneOptions {
  readonly plan: GenerationPlan
  /** Started; the plane releases them when it closes. */
  readonly held: Pick<StagedInstances, 'instances' | 'release'>
  readonly clock: VirtualClock
  readonly script: UpstreamScript
  readonly log: Log
}

/** A request as a test sends it. */
export interface TestRequest {
  /** GET unless said. */
  readonly method?: string
  /** As in the request line: `/path?query`, or an absolute URL. */
  readonly target: string
  /** Host is added when it is missing, and the framing of a body. */
  readonly headers?: FieldsInit
  readonly body?: BodySource
  /** Content follows by `write` and `end` of the client. */
  readonly streamed?: boolean
  /** Fields after the body, which is then chunked. */
  readonly trailers?: FieldsInit
  /** 1.1 unless said. */
  readonly httpVersion?: '1.0' | '1.1'
  /** The peer's address; 192.0.2.1 unless said. */
  readonly clientIp?: string
  readonly scheme?: 'http' | 'https'
}

const CLOSE_SECONDS_MAX = 600

/** A worker's data plane without sockets: the production exchange, chain and router between scripted ends. */
export class TestPlane implements ExchangeHost {
  readonly settings: GatewaySettings
  readonly sweeper: Sweeper
  readonly seen: UpstreamRequestSeen[] = []
  /** What a worker would report. */
  readonly faults: FaultEvent[] = []
  readonly guards: GuardBook
  pendingRequests = 0
  tracing = false
  readonly traces: ExchangeTrace[] = []
  readonly #options: TestPlaneOptions
  readonly #generation: Generation
  readonly #trust: TrustedProxies
  readonly #clients = new Map<RequestSide, TestClient>()
  readonly #stopping: Promise<void>[] = []
  #requests = 0

  /** Throws when the plan does not compile. */
  constructor(options: TestPlaneOptions) {
    const { plan, held, clock } = options
    this.#options = options
    this.settings = plan.settings
    this.#trust = { blocks: new AddressBlocks(plan.settings.trustedProxies) }
    this.sweeper = new Sweeper(clock, (error) => {
      throw error
    })
    const registry = new UpstreamRegistry({
      sweeper: this.sweeper,
      addresses: new AddressBook(() => clock.nowMs()),
      writes: new TurnWrites(clock),
      // Nothing here opens a connection that could have one.
      onInternalError(error) {
        throw error
      },
    })
    this.guards = new GuardBook(plan.settings.faults, this.sweeper, (event) => this.faults.push(event))
    const onFree = (): void => void this.#stopping.push(held.release())
    const parts = { instances: held.instances, registry, guards: this.guards, onFree }
    this.#generation = allSteps(generationInSteps(plan, parts, null))
  }

  /** Exchanges that are not over. */
  get openExchanges(): number {
    return this.#clients.size
  }

  /** Sends a request. What its head asks for happens before this returns, as far as it needs no time. */
  open(request: TestRequest): TestClient {
    const { settings } = this
    const facts = {
      peerAddress: request.clientIp ?? '192.0.2.1',
      localPort: 80,
      scheme: request.scheme ?? 'http',
    }
    const client = new TestClient(
      {
        clock: this.#options.clock,
        method: request.method ?? 'GET',
        relayBufferBytes: settings.limits.relayBufferBytes,
        bodyTimeoutMs: settings.timeouts.bodyMs,
      },
      new ForwardingFields(facts, this.#trust),
    )
    const pieces = piecesOf(request.body)
    const head = this.#readHead(request, pieces, client)
    if (head === null) return client
    client.begin(head, () => {
      const exchange = new Exchange(client, head, this.#nextId(), this.#generation, this)
      this.#clients.set(exchange, client)
      return exchange
    })
    if (head.hasBody && request.streamed !== true) {
      this.#sendBody(client, pieces, 0, () => this.#sendTrailers(client, head, request))
    }
    return client
  }

  #readHead(
    request: TestRequest,
    pieces: readonly (Buffer | number)[],
    client: TestClient,
  ): RequestHead | null {
    const bytes = Buffer.from(headText(request, pieces), 'latin1')
    try {
      const head = readRequestHead(bytes, 0, bytes.length, this.settings.limits)
      if (head === null) throw new Error('The request of the test is no complete head')
      const contentBytes = bytesIn(pieces)
      if (head.contentLength !== -1 && request.streamed !== true && head.contentLength !== contentBytes) {
        throw new Error(
          `The request of the test says Content-Length ${head.contentLength} and has ${contentBytes} bytes`,
        )
      }
      return head
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      client.refuse(error.code, error.message, this.#nextId())
      return null
    }
  }

  #sendBody(client: TestClient, pieces: readonly (Buffer | number)[], from: number, end: () => void): void {
    for (let i = from; i < pieces.length; i++) {
      const piece = pieces[i]
      if (typeof piece === 'number') {
        this.#options.clock.after(piece, () => this.#sendBody(client, pieces, i + 1, end))
        return
      }
      if (piece !== undefined) client.write(piece)
    }
    end()
  }

  #sendTrailers(client: TestClient, { connection }: RequestHead, { trailers }: TestRequest): void {
    try {
      client.end(decodedTrailers(trailers, connection, this.settings.limits, REQUEST_CODES))
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      client.breakBody(error.code as RequestFault, error.message)
    }
  }

  #nextId(): string {
    return `test-${++this.#requests}`
  }

  openLeg(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser): UpstreamLeg {
    const { clock, script } = this.#options
    const { limits } = this.settings
    return new ScriptedLeg(upstream, request, user, {
      clock,
      limits,
      script,
      onSeen: (seen) => this.seen.push(seen),
    })
  }

  logFault(error: GatewayError, exchange: RequestSide): void {
    const { code, message } = error
    this.#options.log.warn(message, { code, requestId: exchange.id, route: exchange.routeName })
  }

  /** No plugin hears of it: nothing that a test of one would look for. */
  onRefused(): void {}

  onTrace(record: FinishRecord, secretParameters: readonly string[]): void {
    this.traces.push(traceOf(record, TRACED_WORKER, secretParameters))
  }

  onExchangeEnded(exchange: RequestSide): void {
    this.#clients.get(exchange)?.settle()
    this.#clients.delete(exchange)
  }

  /** Cuts what is still going on, and stops the instances. Rejects when an exchange left something behind. */
  async close(): Promise<void> {
    const clients = [...this.#clients.values()]
    for (const client of clients) client.abort()
    // A hook of onFinish may still be waiting for its timeout.
    for (let seconds = 0; this.#clients.size > 0; seconds++) {
      if (seconds === CLOSE_SECONDS_MAX) throw new Error(`${this.#clients.size} exchanges do not end`)
      await this.#options.clock.advance(1_000)
    }
    this.#generation.retire()
    await Promise.all(this.#stopping)
    const left = this.sweeper.size
    this.sweeper.stop()
    if (left > 0 || this.pendingRequests !== 0) {
      throw new Error(`${left} deadlines and ${this.pendingRequests} pending requests stayed behind`)
    }
  }
}

function headText(request: TestRequest, pieces: readonly (Buffer | number)[]): string {
  const { method = 'GET', target, httpVersion = '1.1', body = null, streamed = false, trailers } = request
  const fields = pairsOf(request.headers)
  const says = (name: string) => fields.some(([other]) => other.toLowerCase() === name)
  if (!says('host')) fields.unshift(['host', 'gateway.test'])
  if (!says('content-length') && !says('transfer-encoding')) {
    if (streamed || Array.isArray(body) || trailers !== undefined)
      fields.push(['transfer-encoding', 'chunked'])
    else if (body !== null) fields.push(['content-length', String(bytesIn(pieces))])
  }
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `${method} ${target} HTTP/${httpVersion}\r\n${lines}\r\n`
}
