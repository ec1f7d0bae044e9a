import type { TestContext } from 'node:test'
import type { Log, Middleware } from '@cardea/sdk'
import { messageOf } from '../base/errors.ts'
import {
  CHANGE_DEFAULTS,
  FAULT_DEFAULTS,
  LIMIT_DEFAULTS,
  TIMEOUT_DEFAULTS,
  UPSTREAM_DEFAULTS,
} from '../config/limits.ts'
import type {
  FaultSettings,
  GatewaySettings,
  GenerationPlan,
  InstancePlan,
  Limits,
  RoutePlan,
} from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { instancePlan, routePlan } from '../protocol/test-plans.ts'
import { TestPlane, type TestRequest } from './testing/test-plane.ts'
import type { UpstreamAnswer, UpstreamScript } from './testing/upstream-script.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

/** For the tests of this folder only: exchanges through a chain of middlewares, without config and plugin host. */

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export type Hooks = Partial<Middleware> & {
  readonly plan?: Partial<InstancePlan>
  /** What the instance was started from, where that differs: it is carried over from an older generation then. */
  readonly startedFrom?: Partial<InstancePlan>
}

export interface ExchangeSetup {
  /** In chain order; named a, b, c, … `handle` returns true unless said. */
  readonly chain?: readonly Hooks[]
  readonly upstream?: UpstreamScript | UpstreamAnswer
  readonly route?: Partial<RoutePlan>
  readonly limits?: Partial<Limits>
  readonly faults?: Partial<FaultSettings>
}

/** What became of one request. */
export interface Outcome {
  readonly status: number
  readonly headers: Headers
  readonly fields: readonly (readonly [string, string])[]
  readonly text: string
  readonly trailers: readonly (readonly [string, string])[]
}

export interface ExchangeBench {
  readonly plane: TestPlane
  readonly clock: VirtualClock
  readonly logs: LogLine[]
  /** Sends a request (a target, or more) and waits until all is over. */
  send(request?: string | Partial<TestRequest>): Promise<Outcome>
  /** Sends a request and leaves the rest to the test. */
  open(request?: string | Partial<TestRequest>): ReturnType<TestPlane['open']>
}

export const SETTINGS: GatewaySettings = {
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

const TARGET = { url: 'http://origin.test', scheme: 'http', hostname: 'origin.test', port: 80 } as const

/** Closes with the test, and fails it when something stays behind. */
export function exchangeBench(t: TestContext, setup: ExchangeSetup = {}): ExchangeBench {
  const clock = new VirtualClock()
  const logs: LogLine[] = []
  const log = recorder(logs)
  const chain = setup.chain ?? []
  const instances = new Map(chain.map((hooks, id) => [id, liveInstance(hooks, id, log)]))
  const plan = planOf(
    setup,
    chain.map(({ plan }, id) => planAt(id, plan)),
  )
  // None of them has anything to stop.
  const held = { instances, release: async () => {} }
  const plane = new TestPlane({ plan, held, clock, script: scriptOf(setup.upstream), log })
  t.after(() => plane.close())
  const open = (request: string | Partial<TestRequest> = '/') =>
    plane.open({ target: '/', ...(typeof request === 'string' ? { target: request } : request) })
  const send = async (request?: string | Partial<TestRequest>): Promise<Outcome> => {
    const { response, finished } = open(request)
    const [{ status, fields }, content] = await Promise.all([response.head, response.content, finished])
    const headers = new Headers(fields.map(([name, value]): [string, string] => [name, value]))
    return { status, headers, fields, text: content.toString(), trailers: response.trailers }
  }
  return { plane, clock, logs, open, send }
}

function planOf(setup: ExchangeSetup, instances: readonly InstancePlan[]): GenerationPlan {
  const limits = { ...LIMIT_DEFAULTS, ...setup.limits }
  const upstream = {
    ...UPSTREAM_DEFAULTS,
    name: 'origin',
    targets: [TARGET],
    tls: { serverName: '', ca: '', verify: true },
  }
  return {
    number: 7,
    settings: { ...SETTINGS, limits, faults: { ...FAULT_DEFAULTS, ...setup.faults } },
    upstreams: [upstream],
    routes: [routePlan({ ...setup.route, chain: instances.map(({ id }) => id) })],
    instances,
    bundles: [],
  }
}

const nameOf = (id: number): string => 'abcdefgh'.charAt(id)

function planAt(id: number, changes: Partial<InstancePlan> = {}): InstancePlan {
  const name = nameOf(id)
  return instancePlan({ id, name, plugin: name, key: name, ...changes })
}

function liveInstance(hooks: Hooks, id: number, log: Log): LiveInstance {
  const { plan, startedFrom, ...middleware } = hooks
  return {
    plan: planAt(id, { ...plan, ...startedFrom }),
    middleware: { name: nameOf(id), handle: () => true, ...middleware },
    log,
    mapStack: (error) => `mapped: ${messageOf(error)}`,
    frameOf: () => null,
    stop: async () => {},
  }
}

function scriptOf(upstream: UpstreamScript | UpstreamAnswer = {}): UpstreamScript {
  const isScript = 'answer' in upstream || 'onHead' in upstream || 'connect' in upstream
  return isScript ? upstream : { answer: () => upstream as UpstreamAnswer }
}

function recorder(lines: LogLine[]): Log {
  const write =
    (level: string) =>
    (message: string, fields: LogLine['fields'] = {}) =>
      void lines.push({ level, message, fields })
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
