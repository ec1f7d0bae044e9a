import { join } from 'node:path'
import type { PluginMain } from '@cardea/sdk'
import { loadConfigFile, readManifest } from '../config/load.ts'
import { planSettings } from '../config/plan.ts'
import { renderProblems } from '../config/render-problems.ts'
import type { ConfigProblem } from '../config/types.ts'
import type { BuiltPlugin } from '../control-plane/build.ts'
import { BuildCache } from '../control-plane/build-cache.ts'
import { resolveChains } from '../control-plane/resolve.ts'
import { Fingerprints } from '../control-plane/store/fingerprint.ts'
import { verifyPlugins } from '../control-plane/verify.ts'
import { TestPlane } from '../data-plane/testing/test-plane.ts'
import type { UpstreamScript } from '../data-plane/testing/upstream-script.ts'
import { VirtualClock } from '../data-plane/testing/virtual-clock.ts'
import { InstancePool } from '../plugin-host/instance-pool.ts'
import { type LoadedBundle, loadBundle } from '../plugin-host/load.ts'
import { logLooseFailure } from '../plugin-host/loose-failure.ts'
import type { BundlePlan, GenerationPlan } from '../protocol/generation.ts'
import { keepTestFrames } from './test-frames.ts'
import { LogRecorder } from './testing-log.ts'
import { TestNode } from './testing-node.ts'

/**
 * What `@cardea/sdk/testing` stands on: a gateway in one process without sockets and real time. Config, manifests,
 * chains, instances and exchanges are the production's own; only the two ends of an exchange and the clock are not.
 */

export type { BodyPiece, BodySource, FieldPairs, FieldsInit } from '../data-plane/testing/body-source.ts'
export type { TestClient } from '../data-plane/testing/test-client.ts'
export type {
  UpstreamAnswer,
  UpstreamConnect,
  UpstreamRequestSeen,
  UpstreamScript,
} from '../data-plane/testing/upstream-script.ts'
export type { VirtualClock } from '../data-plane/testing/virtual-clock.ts'
export type { LogLine } from './testing-log.ts'

interface AnyPlugin {
  /** The layer over its manifest's config. */
  readonly config?: Readonly<Record<string, unknown>>
}

/** A plugin by its entry point, with a plugin.json that only exists in the test. */
export interface InlinePlugin extends AnyPlugin {
  readonly manifest: Readonly<Record<string, unknown>> & { readonly name: string }
  readonly main: PluginMain<never>
}

/** A plugin by its folder. */
export interface FolderPlugin extends AnyPlugin {
  /** Absolute. */
  readonly folder: string
}

export interface EngineOptions {
  readonly plugins: readonly (InlinePlugin | FolderPlugin)[]
  /** The config file's content. */
  readonly config: Readonly<Record<string, unknown>>
  readonly upstream: UpstreamScript
  /** The network of `host.fetch`. */
  fetch(request: Request): Response | Promise<Response>
  /** Puts itself between the gateway and a plugin's entry point. */
  wrap(main: PluginMain): PluginMain
}

export interface Engine {
  readonly plane: TestPlane
  readonly clock: VirtualClock
  readonly log: LogRecorder
  /** To be closed after the plane. */
  readonly node: TestNode
}

/** Rejects with all problems of config and manifests, or with what an instance throws when it starts. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  await using undo = new AsyncDisposableStack()
  const clock = new VirtualClock()
  const log = new LogRecorder()
  const { plan, mains } = await prepare(options)
  const node = new TestNode(clock, log)
  undo.defer(() => node.close())
  const pool = new InstancePool({
    log,
    load: (bundle, plugin) => loadFor(bundle, plugin, plan, mains, options.wrap),
    surroundings: {
      startTimer: (callback, durationMs, repeat) =>
        repeat ? clock.every(durationMs, callback) : clock.after(durationMs, callback),
      transport: (url, init) => untilAborted(options.fetch, new Request(url, init)),
      node: node.client,
      onFailure: logLooseFailure,
    },
  })
  const held = await pool.stage(plan)
  undo.defer(() => held.release())
  const plane = new TestPlane({ plan, held, clock, script: options.upstream, log })
  // As the trial does: a state that cannot be made keeps the plugin from going live.
  const [failure] = held.commit()
  if (failure !== undefined) throw failure
  undo.move()
  return { plane, clock, log, node }
}

/** As fetch does: it rejects when its signal aborts, whether or not an answer comes. */
function untilAborted(answer: EngineOptions['fetch'], request: Request): Promise<Response> {
  const { signal } = request
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    Promise.try(answer, request).then(resolve, reject)
  })
}

interface Prepared {
  readonly plan: GenerationPlan
  /** Entry points of inline plugins by name. */
  readonly mains: ReadonlyMap<string, PluginMain<never>>
}

/** As control-plane/prepare.ts does, with files that may exist in the test only. */
async function prepare({ plugins, config }: EngineOptions): Promise<Prepared> {
  const built: BuiltPlugin[] = []
  for (const plugin of plugins) {
    built.push('main' in plugin ? await inlinePlugin(plugin) : await folderPlugin(plugin))
  }
  const names = built.map(({ manifest }) => manifest.name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new Error(`Two plugins of the test are named "${twice}"; rename one of them`)

  const file = join(process.cwd(), 'test-gateway.json')
  const text = jsonText({ ...config, plugins: pluginEntries(plugins, built, config) })
  const readFile = async (path: string): Promise<string> => (path === file ? text : missing(path))
  const loaded = await loadConfigFile(file, { env: {}, readFile })
  if (!loaded.ok) throw refusal(loaded.problems, text)
  const settings = planSettings(loaded.config)
  const { routes, instances, problems } = resolveChains(settings, built, built)
  if (problems.length > 0) throw refusal(problems, text)
  const bundles = built.map(({ bundle }) => bundle)
  const plan = {
    number: 1,
    settings: settings.settings,
    upstreams: settings.upstreams,
    routes,
    instances,
    bundles,
  }
  const mains = plugins.flatMap((plugin): [string, PluginMain<never>][] =>
    'main' in plugin ? [[plugin.manifest.name, plugin.main]] : [],
  )
  return { plan, mains: new Map(mains) }
}

/** The config's `plugins:`, with what makes every plugin of the test run somewhere. */
function pluginEntries(
  plugins: EngineOptions['plugins'],
  built: readonly BuiltPlugin[],
  config: EngineOptions['config'],
): Record<string, unknown> {
  const routes = Array.isArray(config.routes) ? (config.routes as Record<string, unknown>[]) : []
  const isNamed = (name: string): boolean =>
    routes.some(({ plugins: named }) => Boolean(memberOf(named, name)))
  const entries: Record<string, unknown> = {}
  for (const [index, { manifest }] of built.entries()) {
    const layer = plugins[index]?.config
    if (layer !== undefined) entries[manifest.name] = { config: layer }
    else if (manifest.scope === 'route' && !isNamed(manifest.name)) entries[manifest.name] = {}
  }
  return { ...entries, ...(config.plugins as object | undefined) }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

async function inlinePlugin({ manifest }: InlinePlugin): Promise<BuiltPlugin> {
  const folder = join(process.cwd(), 'plugins', String(manifest.name))
  const text = jsonText({ version: '0.0.0', ...manifest })
  const read = await readManifest(join(folder, 'plugin.json'), { readFile: async () => text })
  if (!read.ok) throw refusal(read.problems, text)
  const entryFile = join(folder, 'plugin.ts')
  const bundle = { codeHash: `inline ${manifest.name}`, code: '', sourceMap: '', entryFile }
  return { manifest: read.manifest, origin: 'user', entryFile, bundle, libraryFiles: [] }
}

async function folderPlugin({ folder }: FolderPlugin): Promise<BuiltPlugin> {
  const { verified, problems } = await verifyPlugins([{ folder, origin: 'user' }])
  if (problems.length > 0) throw refusal(problems, null)
  const outcome = await buildCacheOf(folder).build(verified)
  const [built] = outcome.built
  if (built === undefined) throw refusal(outcome.problems, null)
  return built
}

const fingerprints = new Fingerprints()
const buildCaches = new Map<string, BuildCache>()

/** A hundred tests of a folder build it once; what changes in it between two of them is built again. */
function buildCacheOf(folder: string): BuildCache {
  const known = buildCaches.get(folder)
  if (known !== undefined) return known
  const cache = new BuildCache(fingerprints)
  buildCaches.set(folder, cache)
  return cache
}

/** Inline plugins have no code to load. */
function loadFor(
  bundle: BundlePlan,
  plugin: string,
  { instances }: GenerationPlan,
  mains: Prepared['mains'],
  wrap: EngineOptions['wrap'],
): LoadedBundle {
  const entryPoint = instances.find(({ codeHash }) => codeHash === bundle.codeHash)?.entryPoint ?? ''
  const inline = mains.get(plugin)
  const loaded: LoadedBundle =
    inline === undefined
      ? loadBundle(bundle, plugin)
      : {
          ...bundle,
          exports: { [entryPoint]: inline },
          mapStack: (error) => error.stack ?? error.message,
          frameOf: () => null,
        }
  if (inline === undefined) keepTestFrames(bundle.codeHash, loaded.mapStack)
  const main: unknown = Reflect.get(loaded.exports, entryPoint)
  // What is no function is refused by the start, in its own words.
  if (typeof main !== 'function') return loaded
  return { ...loaded, exports: { [entryPoint]: wrap(main as PluginMain) } }
}

function refusal(problems: readonly ConfigProblem[], text: string | null): Error {
  return new Error(
    `The gateway of the test cannot start:\n${renderProblems(problems, { textOf: () => text, directory: process.cwd() })}`,
  )
}

function missing(path: string): never {
  throw Object.assign(new Error(`There is no file ${path} in the test`), { code: 'ENOENT' })
}

/** JSON of plain data; throws TypeError on what a file could not hold. */
function jsonText(value: unknown): string {
  return JSON.stringify(
    value,
    function (this: Readonly<Record<string, unknown>>, key, member: unknown) {
      // `member` has been through toJSON already.
      const given = this[key]
      const isData = typeof given === 'object' ? isPlain(given) : typeof given !== 'function'
      if (!isData) throw new TypeError(`"${key}" is not plain data, and a file could not hold it`)
      return member
    },
    2,
  )
}

function isPlain(value: object | null): boolean {
  if (value === null || Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
