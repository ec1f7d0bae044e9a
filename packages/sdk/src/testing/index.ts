import {
  type BodySource,
  type Engine,
  type FieldsInit,
  type InlinePlugin,
  type LogLine,
  startEngine,
  type UpstreamRequestSeen,
  type UpstreamScript,
  type VirtualClock,
} from 'cardea/testing-engine'
import type { FinishRecord, PluginMain } from '../index.ts'
import { cloningMain } from './cloning.ts'
import { TestResponse } from './response.ts'

export type {
  BodyPiece,
  BodySource,
  FieldPairs,
  FieldsInit,
  LogLine,
  UpstreamAnswer,
  UpstreamConnect,
  UpstreamRequestSeen,
  UpstreamScript,
} from 'cardea/testing-engine'
export type { TestResponse } from './response.ts'

/**
 * The test harness for plugin authors: plugins run through the gateway's own chain, router and body handling, in this
 * process, without sockets and without real time. docs/guides/test-a-plugin.md is the guide.
 */

/** A plugin given by its entry point. */
export interface TestPlugin<Config = never> {
  readonly main: PluginMain<Config>
  /** What its plugin.json would say. Name and version are added when they are missing. */
  readonly manifest?: Readonly<Record<string, unknown>>
  /** Laid over the manifest's `config`, as `plugins: { NAME: { config } }` in cardea.yaml is. */
  readonly config?: Readonly<Record<string, unknown>>
}

/** A plugin given by its folder; see {@link pluginFolder}. */
export interface TestPluginFolder {
  readonly folder: string
  /** Laid over the `config` of its plugin.json. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface TestGatewayOptions {
  /** They run on every route, in the order that category, priority and name give, as they would in production. */
  readonly plugins?: readonly (TestPlugin | TestPluginFolder)[]
  /** As in cardea.yaml; `name` and `upstream` may be left out. Default: one route for every path, to the upstream. */
  readonly routes?: readonly Readonly<Record<string, unknown>>[]
  /** Whatever else cardea.yaml could say: limits, timeouts, plugins, upstreams, trusted_proxies. */
  readonly config?: Readonly<Record<string, unknown>>
  /** What the upstream does: a function from the complete request to its answer, or a script. Default: an empty 200. */
  readonly upstream?: UpstreamScript | UpstreamScript['answer']
  /** Answers the plugins' `host.fetch`, after permissions were checked. Default: it rejects. */
  fetch?(request: globalThis.Request): globalThis.Response | Promise<globalThis.Response>
}

/** A request to the gateway. */
export interface TestRequestInit {
  /** GET unless said. */
  readonly method?: string
  /** Field lines; Host and the framing of the body are added when they are missing. */
  readonly headers?: FieldsInit
  /** Whole, or an array of pieces that arrive one by one, with pauses between them. */
  readonly body?: BodySource
  /** Fields after the body, which is chunked then. */
  readonly trailers?: FieldsInit
  /** HTTP/1.1 unless said. */
  readonly httpVersion?: '1.0' | '1.1'
  /** The address that the client connects from. Default: 192.0.2.1. */
  readonly clientIp?: string
  /** The client goes away when it aborts. */
  readonly signal?: AbortSignal
}

/** A gateway that exists in this test only. */
export class TestGateway implements AsyncDisposable {
  /** Its time, which stands still until `advance` moves it. */
  readonly clock: VirtualClock
  /** What the upstream was asked, in order of arrival. */
  readonly upstreamRequests: readonly UpstreamRequestSeen[]
  /** What gateway and plugins logged. The failure of a hook is a line of level `error`. */
  readonly logs: readonly LogLine[]
  /** One for each finished exchange that entered a plugin. */
  readonly records: readonly FinishRecord[]
  readonly #engine: Engine

  /** Use {@link testGateway}. */
  constructor(engine: Engine, records: readonly FinishRecord[]) {
    this.#engine = engine
    this.clock = engine.clock
    this.upstreamRequests = engine.plane.seen
    this.logs = engine.log.lines
    this.records = records
  }

  /**
   * Sends a request: to a path, or to an absolute URL for another host. Resolves with the response's head; rejects when
   * there is none. While a plugin or the upstream waits for time to pass, so does this: call it, advance the clock,
   * then await it.
   */
  async fetch(url: string, init: TestRequestInit = {}): Promise<TestResponse> {
    const { signal, ...request } = init
    signal?.throwIfAborted()
    const client = this.#engine.plane.open({ ...request, ...splitUrl(url, init.headers) })
    signal?.addEventListener('abort', () => client.abort(), { once: true })
    const { status, fields } = await client.response.head
    return new TestResponse(client, status, fields)
  }

  /**
   * Cuts the exchanges that still go on and stops the plugins. Rejects when one of them left something behind in the
   * gateway.
   */
  async close(): Promise<void> {
    await this.#engine.plane.close()
    await this.#engine.node.close()
  }

  /**
   * The lines that plugins wrote to `host.sink(file)` and that are there by now: a sink writes every 100 ms, so advance
   * the clock first.
   */
  sink(file: string): readonly string[] {
    return this.#engine.node.lines(file)
  }

  /** `await using gateway = await testGateway(…)` closes by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/**
 * Starts a gateway for a test. Rejects, as the real one refuses to start, with every problem of manifests, configs and
 * routes, or with what a plugin's start threw.
 *
 * All that would cross a process if the plugins ran isolated is cloned on its way.
 */
export async function testGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const given = options.plugins ?? []
  const plugins = given.map((plugin, index) =>
    isFolder(plugin) ? plugin : namedPlugin(plugin, index, given.length),
  )
  const records: FinishRecord[] = []
  const keep = (record: FinishRecord): void => {
    if (records.every(({ id }) => id !== record.id)) records.push(record)
  }
  const engine = await startEngine({
    plugins,
    config: configOf(options),
    upstream: scriptOf(options.upstream),
    fetch: options.fetch ?? refuseFetch,
    wrap: (main) => cloningMain(main, keep),
  })
  return new TestGateway(engine, records)
}

/**
 * A plugin's folder, absolute (`import.meta.dirname` in a test beside plugin.ts): its plugin.json is checked and its
 * entry file bundled as the gateway does it.
 */
export function pluginFolder(folder: string, config?: Readonly<Record<string, unknown>>): TestPluginFolder {
  return config === undefined ? { folder } : { folder, config }
}

function isFolder(plugin: TestPlugin | TestPluginFolder): plugin is TestPluginFolder {
  return 'folder' in plugin
}

/** Names that keep the order of the list where category and priority leave it open. */
function namedPlugin(plugin: TestPlugin, index: number, count: number): InlinePlugin {
  const number = String(index + 1).padStart(String(count).length, '0')
  return { ...plugin, manifest: { name: `plugin-${number}`, ...plugin.manifest } }
}

const UPSTREAM = 'upstream'

function configOf({ routes, config }: TestGatewayOptions): Readonly<Record<string, unknown>> {
  const given = routes ?? (config?.routes as TestGatewayOptions['routes']) ?? [{ path: '/*' }]
  return {
    upstreams: { [UPSTREAM]: { targets: ['http://upstream.test'] } },
    ...config,
    routes: given.map((route, index) => {
      const answers = 'upstream' in route || 'respond' in route || 'redirect' in route
      return { name: `route-${index + 1}`, ...(answers ? {} : { upstream: UPSTREAM }), ...route }
    }),
  }
}

function scriptOf(upstream: TestGatewayOptions['upstream']): UpstreamScript {
  return typeof upstream === 'function' ? { answer: upstream } : (upstream ?? {})
}

/** The request's target, and its fields with the Host of an absolute URL. */
function splitUrl(url: string, headers: FieldsInit | undefined): { target: string; headers?: FieldsInit } {
  const absolute = /^https?:\/\/([^/?#]*)([^#]*)/i.exec(url)
  if (absolute === null) return headers === undefined ? { target: url } : { target: url, headers }
  const [, host = '', rest = ''] = absolute
  const fields = Array.isArray(headers) ? headers : Object.entries(headers ?? {})
  return { target: rest.startsWith('/') ? rest : `/${rest}`, headers: [['host', host], ...fields] }
}

function refuseFetch({ url }: globalThis.Request): never {
  throw new TypeError(`The plugin fetches ${url}; give testGateway a \`fetch\` that answers it`)
}
