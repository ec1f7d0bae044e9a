import type { TestContext } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { allSteps } from '../../packages/gateway/src/base/steps.ts'
import {
  CHANGE_DEFAULTS,
  FAULT_DEFAULTS,
  LIMIT_DEFAULTS,
  TIMEOUT_DEFAULTS,
  UPSTREAM_DEFAULTS,
} from '../../packages/gateway/src/config/limits.ts'
import { DataPlane, type StagedGeneration } from '../../packages/gateway/src/data-plane/data-plane.ts'
import { openListeningSocket } from '../../packages/gateway/src/main/listening-socket.ts'
import type { FaultEvent } from '../../packages/gateway/src/protocol/faults.ts'
import type {
  ChangeSettings,
  FaultSettings,
  GatewaySettings,
  GenerationPlan,
  InstancePlan,
  Limits,
  RoutePlan,
  TargetPlan,
  Timeouts,
  UpstreamPlan,
} from '../../packages/gateway/src/protocol/generation.ts'
import type { LiveInstance, StagedInstances } from '../../packages/gateway/src/protocol/instance.ts'
import { instancePlan } from '../../packages/gateway/src/protocol/test-plans.ts'
import type { ExchangeTrace } from '../../packages/gateway/src/protocol/trace.ts'

export type UpstreamSettings = Partial<Omit<UpstreamPlan, 'name' | 'targets'>>

export interface UpstreamSpec extends UpstreamSettings {
  /** URLs. */
  readonly targets: readonly string[]
}

export type RouteSpec = Partial<RoutePlan> & Pick<RoutePlan, 'action'>

export type PluginSpec = Partial<InstancePlan> & { readonly middleware: Middleware }

export interface DataPlaneSpec {
  /** The target of all requests, with all defaults: short for an upstream `app` and one route to it. */
  readonly to?: string | readonly string[]
  /** Settings of that upstream that differ from the defaults. */
  readonly upstream?: UpstreamSettings
  readonly upstreams?: Readonly<Record<string, UpstreamSpec>>
  readonly routes?: readonly RouteSpec[]
  /** On every route, in this order. */
  readonly plugins?: readonly (Middleware | PluginSpec)[]
  readonly limits?: Partial<Limits>
  readonly timeouts?: Partial<Timeouts>
  readonly settings?: Partial<Pick<GatewaySettings, 'trustedProxies' | 'viaName' | 'halfClose' | 'debug'>>
  readonly changes?: Partial<ChangeSettings>
  readonly faults?: Partial<FaultSettings>
  /** Of the generation. Of the first one 1, and then the next, unless said. */
  readonly number?: number
  /** As if the system allowed so many. */
  readonly openFilesMax?: number
}

export interface LoggedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A worker's data plane in the test's own process. */
export interface TestDataPlane {
  readonly port: number
  readonly plane: DataPlane
  /** What the gateway and its plugins have logged. */
  readonly logged: readonly LoggedLine[]
  /** What it would report to the supervisor. */
  readonly faults: readonly FaultEvent[]
  readonly traces: readonly ExchangeTrace[]
  /** Keys of the instances that have been stopped, in that order. */
  readonly stopped: readonly string[]
  /** Stages the next generation and commits it. Instances with an equal key are carried over. */
  swap(spec: DataPlaneSpec): void
  /** Stages a generation and discards it. */
  discard(spec: DataPlaneSpec): void
}

/** Serves on a free port of 127.0.0.1 until the test ends. */
export async function startDataPlane(t: TestContext, spec: DataPlaneSpec): Promise<TestDataPlane> {
  const logged: LoggedLine[] = []
  const plan = planOf(spec)
  const faults: FaultEvent[] = []
  const traces: ExchangeTrace[] = []
  const plane = new DataPlane({
    settings: plan.settings,
    log: logInto(logged),
    workerNumber: 1,
    openFilesMax: spec.openFilesMax ?? Number.POSITIVE_INFINITY,
    onFault: (event) => faults.push(event),
    onTrace: (trace) => traces.push(trace),
  })
  t.after(() => plane.drain(0))
  const instances = new TestInstances(logged)
  let { number } = plan
  const stage = (plan: GenerationPlan, { plugins = [] }: DataPlaneSpec): StagedGeneration => {
    const held = instances.hold(plugins)
    try {
      return allSteps(plane.stage(plan, held))
    } catch (error) {
      void held.release()
      throw error
    }
  }
  const swap = (next: DataPlaneSpec): void => {
    const plan = { ...planOf(next), number: next.number ?? number + 1 }
    plane.commit(stage(plan, next))
    number = plan.number
  }
  const discard = (next: DataPlaneSpec): void => plane.discard(stage(planOf(next), next))
  swap({ ...spec, number })
  const { handle, address } = await openListeningSocket({ host: '127.0.0.1', port: 0 })
  plane.accept(handle, address)
  return { port: address.port, plane, logged, faults, traces, stopped: instances.stopped, swap, discard }
}

/** Holds instances as the plugin host does: by key, counted. */
class TestInstances {
  readonly stopped: string[] = []
  readonly #logged: LoggedLine[]
  readonly #held = new Map<string, { readonly instance: LiveInstance; uses: number }>()

  constructor(logged: LoggedLine[]) {
    this.#logged = logged
  }

  hold(plugins: readonly (Middleware | PluginSpec)[]): StagedInstances {
    const entries = plugins.map((plugin, id) => {
      const { key } = specPlan(plugin, id)
      const entry = this.#held.get(key) ?? { instance: liveInstance(plugin, id, this.#logged), uses: 0 }
      this.#held.set(key, entry)
      entry.uses++
      return { key, entry }
    })
    return {
      instances: new Map(entries.map(({ entry }, id) => [id, entry.instance])),
      commit: () => [],
      release: async () => {
        for (const { key, entry } of entries.splice(0)) {
          if (--entry.uses > 0) continue
          this.#held.delete(key)
          this.stopped.push(key)
        }
      },
    }
  }
}

/** A plan with every setting at its default but for what is said. */
export function planOf(spec: DataPlaneSpec): GenerationPlan {
  const { to, upstream, upstreams = {}, routes = [], plugins = [] } = spec
  const short = to === undefined ? {} : { app: { targets: [to].flat(), ...upstream } }
  const all = Object.entries<UpstreamSpec>({ ...short, ...upstreams })
  const chain = plugins.map((_, index) => index)
  const catchAll: readonly RouteSpec[] = to === undefined ? [] : [{ name: 'app', action: toUpstream('app') }]
  const defaults = { ...ROUTE, chain, requestBodyBytesMax: spec.limits?.requestBodyBytesMax ?? 0 }
  return {
    number: spec.number ?? 1,
    settings: settingsOf(spec),
    upstreams: all.map(([name, { targets, ...rest }]) => ({
      name,
      ...UPSTREAM_DEFAULTS,
      tls: { serverName: '', ca: '', verify: true },
      ...rest,
      targets: targets.map(targetOf),
    })),
    routes: [...routes, ...catchAll].map((route, index) => ({ ...defaults, name: `r${index}`, ...route })),
    instances: plugins.map((plugin, index) => specPlan(plugin, index)),
    bundles: [],
  }
}

export function toUpstream(upstream: string): RoutePlan['action'] {
  return { kind: 'upstream', upstream, host: { kind: 'preserve' } }
}

export function respond(status: number, body: string): RoutePlan['action'] {
  return { kind: 'respond', status, headers: {}, body }
}

const ROUTE: Omit<RoutePlan, 'name' | 'action' | 'chain' | 'requestBodyBytesMax'> = {
  hosts: [],
  paths: ['/*'],
  methods: [],
  headers: {},
  stripPrefix: '',
  rewrite: '',
  allowInPath: [],
}

function settingsOf({ limits, timeouts, settings, changes, faults }: DataPlaneSpec): GatewaySettings {
  return {
    listeners: [],
    workers: 1,
    trustedProxies: [],
    viaName: 'cardea',
    halfClose: 'abort',
    debug: false,
    ...settings,
    limits: { ...LIMIT_DEFAULTS, ...limits },
    timeouts: { ...TIMEOUT_DEFAULTS, ...timeouts },
    log: { level: 'silent', format: 'json' },
    changes: { ...CHANGE_DEFAULTS, ...changes },
    faults: { ...FAULT_DEFAULTS, ...faults },
  }
}

function targetOf(text: string): TargetPlan {
  const { protocol, hostname, port, origin } = new URL(text)
  const scheme = protocol === 'https:' ? 'https' : 'http'
  const standard = scheme === 'https' ? 443 : 80
  return { url: origin, scheme, hostname, port: port === '' ? standard : Number(port) }
}

function specOf(plugin: Middleware | PluginSpec): PluginSpec {
  return 'middleware' in plugin ? plugin : { middleware: plugin }
}

function specPlan(plugin: Middleware | PluginSpec, id: number): InstancePlan {
  const { middleware, ...rest } = specOf(plugin)
  const { name } = middleware
  return instancePlan({ name, plugin: name, category: 'custom', key: name, ...rest, id })
}

function liveInstance(plugin: Middleware | PluginSpec, id: number, logged: LoggedLine[]): LiveInstance {
  return {
    plan: specPlan(plugin, id),
    middleware: specOf(plugin).middleware,
    log: logInto(logged),
    mapStack: (error) => error.stack ?? '',
    frameOf: () => null,
    stop: async () => {},
  }
}

export function logInto(logged: LoggedLine[]) {
  const at =
    (level: LoggedLine['level']) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void logged.push({ level, message, fields })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
