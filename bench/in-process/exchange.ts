import type { BodyTransform, Context, Host, Middleware } from '@cardea/sdk'
import { allSteps } from '../../packages/gateway/src/base/steps.ts'
import {
  CHANGE_DEFAULTS,
  FAULT_DEFAULTS,
  LIMIT_DEFAULTS,
  TIMEOUT_DEFAULTS,
  UPSTREAM_DEFAULTS,
} from '../../packages/gateway/src/config/limits.ts'
import { GuardBook } from '../../packages/gateway/src/data-plane/chain/guard.ts'
import { Exchange } from '../../packages/gateway/src/data-plane/exchange.ts'
import type { ExchangeHost } from '../../packages/gateway/src/data-plane/exchange-request.ts'
import { AddressBlocks } from '../../packages/gateway/src/data-plane/forwarding/cidr.ts'
import { ForwardingFields } from '../../packages/gateway/src/data-plane/forwarding/forwarded.ts'
import { type Generation, generationInSteps } from '../../packages/gateway/src/data-plane/generation.ts'
import { HeadMemory } from '../../packages/gateway/src/data-plane/http1/head-memory.ts'
import { statusLine } from '../../packages/gateway/src/data-plane/http1/head-text.ts'
import type { RequestHead } from '../../packages/gateway/src/data-plane/http1/request-head.ts'
import { requestText } from '../../packages/gateway/src/data-plane/http1/request-text.ts'
import type { ResponseHead } from '../../packages/gateway/src/data-plane/http1/response-head.ts'
import { RequestIds } from '../../packages/gateway/src/data-plane/request-ids.ts'
import type { ClientStream, UpstreamLeg } from '../../packages/gateway/src/data-plane/streams.ts'
import { Sweeper, systemClock } from '../../packages/gateway/src/data-plane/sweeper.ts'
import { TurnWrites } from '../../packages/gateway/src/data-plane/turn-writes.ts'
import { AddressBook } from '../../packages/gateway/src/data-plane/upstream/addresses.ts'
import { UpstreamRegistry } from '../../packages/gateway/src/data-plane/upstream/upstream.ts'
import type { GatewaySettings, GenerationPlan } from '../../packages/gateway/src/protocol/generation.ts'
import type { LiveInstance } from '../../packages/gateway/src/protocol/instance.ts'
import { instancePlan } from '../../packages/gateway/src/protocol/test-plans.ts'
import { PluginMain as cacheHint } from '../plugins/cache-hint/plugin.ts'
import { PluginMain as clientKind } from '../plugins/client-kind/plugin.ts'
import { PluginMain as frameOptions } from '../plugins/frame-options/plugin.ts'
import { PluginMain as language } from '../plugins/language/plugin.ts'
import { PluginMain as tenant } from '../plugins/tenant/plugin.ts'
import { SMALL_BODY } from '../scenarios.ts'
import { bytesOf, readRequest, readResponse, SMALL_REQUEST, TARGET } from './codec.ts'
import { routeAt } from './routing.ts'
import type { AsyncOperation, Operation } from './timing.ts'

/** Whole exchanges, head parsing and writing included; only the sockets and the pool are not there. */

const FIVE = [tenant, clientKind, language, cacheHint, frameOptions]

const SETTINGS: GatewaySettings = {
  listeners: [],
  workers: 1,
  trustedProxies: [],
  viaName: 'cardea',
  halfClose: 'abort',
  limits: LIMIT_DEFAULTS,
  timeouts: TIMEOUT_DEFAULTS,
  log: { level: 'silent', format: 'json' },
  debug: false,
  changes: CHANGE_DEFAULTS,
  faults: FAULT_DEFAULTS,
}

const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing }

/** The sweeper of all of them keeps no process alive; it is stopped with the process. */
const sweeper = new Sweeper(systemClock, (error) => {
  throw error
})

export async function exchangeOperations(): Promise<Operation[]> {
  // None of the five looks at its host.
  const five = await Promise.all(FIVE.map((main) => main({}, undefined as unknown as Host)))
  const observer: Middleware = { name: 'observer', handle: () => true, onFinish: nothing }
  return [
    exchangeOperation('exchange, empty chain', []),
    exchangeOperation('exchange, 1 plugin', five.slice(0, 1)),
    exchangeOperation('exchange, 5 plugins', five),
    exchangeOperation('exchange, 1 plugin with onFinish', [observer]),
  ]
}

/** An answer that a plugin passes through a function, and one that it passes through streams; both leave it as it is. */
export function bodyOperations(): AsyncOperation[] {
  const middleware = (handle: (ctx: Context) => void): Middleware => ({
    name: 'passing',
    handle(ctx) {
      handle(ctx)
      return true
    },
  })
  return [
    bodyOperation(
      'exchange, transformBody()',
      middleware(({ response }) => response.transformBody(asItIs)),
    ),
    bodyOperation(
      'exchange, stream()',
      middleware(({ response }) => response.stream(new TransformStream())),
    ),
  ]
}

const asItIs: BodyTransform = (chunk) => chunk

function bodyOperation(name: string, middleware: Middleware): AsyncOperation {
  const generation = generationOf([middleware])
  const ids = new RequestIds(0)
  const requests = new HeadMemory<RequestHead>()
  let written = 0
  let onEnd: () => void = nothing
  const count = (bytes: number): void => {
    written += bytes
  }
  const client = clientStream(count, () => onEnd())
  const host = exchangeHost(count)
  return {
    name,
    run: () =>
      new Promise((resolve) => {
        written = 0
        onEnd = () => resolve(written)
        new Exchange(client, readRequest(SMALL_REQUEST, requests), ids.next(), generation, host).begin()
      }),
  }
}

function exchangeOperation(name: string, chain: readonly Middleware[]): Operation {
  return operationOf(name, generationOf(chain), SMALL_REQUEST)
}

export interface ExchangeOperation extends Operation {
  /** How many exchanges came to the upstream. */
  readonly forwarded: number
}

/** One exchange of a generation: what `request` asks for, answered by an upstream that needs no time. */
export function operationOf(name: string, generation: Generation, request: Buffer): ExchangeOperation {
  const ids = new RequestIds(0)
  const requests = new HeadMemory<RequestHead>()
  let written = 0
  const client = clientStream((bytes) => {
    written += bytes
  })
  let forwarded = 0
  const host = exchangeHost((bytes) => {
    forwarded += 1
    written += bytes
  })
  return {
    name,
    get forwarded() {
      return forwarded
    },
    run() {
      written = 0
      new Exchange(client, readRequest(request, requests), ids.next(), generation, host).begin()
      return written
    },
  }
}

function generationOf(chain: readonly Middleware[]): Generation {
  const instances = chain.map((middleware, at) => liveInstance(middleware, at))
  const upstream = {
    ...UPSTREAM_DEFAULTS,
    name: 'origin',
    targets: [TARGET],
    tls: { serverName: '', ca: '', verify: true },
  }
  const plan: GenerationPlan = {
    number: 1,
    settings: SETTINGS,
    upstreams: [upstream],
    routes: [
      routeAt(
        '/*',
        chain.map((_, at) => at),
      ),
    ],
    instances: instances.map((instance) => instance.plan),
    bundles: [],
  }
  return compile(plan, new Map(instances.map((instance) => [instance.plan.id, instance])))
}

/** The generation that a worker would make of the plan. */
export function compile(plan: GenerationPlan, instances: ReadonlyMap<number, LiveInstance>): Generation {
  const registry = new UpstreamRegistry({
    sweeper,
    onInternalError(error) {
      throw error
    },
    addresses: new AddressBook(() => sweeper.nowMs),
    writes: new TurnWrites(systemClock),
  })
  const guards = new GuardBook(FAULT_DEFAULTS, sweeper, nothing)
  return allSteps(generationInSteps(plan, { instances, registry, guards, onFree: nothing }, null))
}

function liveInstance(middleware: Middleware, id: number): LiveInstance {
  const { name } = middleware
  return {
    plan: instancePlan({ id, name, plugin: name, key: name }),
    middleware,
    log: silent,
    mapStack: (error) => error.stack ?? '',
    frameOf: () => null,
    stop: async () => {},
  }
}

/** Answers as soon as it is asked, as an upstream on a warm connection that needs no time. */
function exchangeHost(count: (bytes: number) => void): ExchangeHost {
  const content = Buffer.from(SMALL_BODY)
  const responses = new HeadMemory<ResponseHead>()
  return {
    sweeper,
    settings: SETTINGS,
    pendingRequests: 0,
    tracing: false,
    onTrace: nothing,
    onRefused: nothing,
    openLeg: (_upstream, request, user): UpstreamLeg => ({
      target: TARGET.url,
      needsDrain: false,
      start() {
        count(bytesOf(requestText(request, TARGET)))
        user.onUpstreamReady()
        user.onUpstreamHead(readResponse(responses))
        user.onUpstreamData(content, 0, content.length)
        user.onUpstreamEnd(null)
      },
      sendData: nothing,
      sendEnd: nothing,
      flush: nothing,
      pause: nothing,
      resume: nothing,
      sendTunnelData: nothing,
      endTunnel: nothing,
      cancel: nothing,
    }),
    logFault(error) {
      throw error
    },
    onExchangeEnded: nothing,
  }
}

function clientStream(count: (bytes: number) => void, onEnd: () => void = nothing): ClientStream {
  const facts = { peerAddress: '127.0.0.1', localPort: 8080, scheme: 'http' } as const
  let head = ''
  return {
    protocol: 'HTTP/1.1',
    forwarding: new ForwardingFields(facts, { blocks: new AddressBlocks([]) }),
    needsDrain: false,
    sendInformational: nothing,
    sendHead(status, fields, contentLength) {
      head = `${statusLine(status)}${fields.text}content-length: ${contentLength}\r\n\r\n`
    },
    sendData(buffer, start, end) {
      count(bytesOf(head + buffer.toString('latin1', start, end)))
    },
    sendEnd: onEnd,
    flush: nothing,
    reset() {
      throw new Error('The exchange failed.')
    },
    pauseBody: nothing,
    resumeBody: nothing,
    startTunnel: nothing,
    sendTunnelData: nothing,
    endTunnel: nothing,
  }
}

function nothing(): void {}
