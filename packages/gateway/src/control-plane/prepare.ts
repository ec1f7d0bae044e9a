import { existsSync } from 'node:fs'
import { planSettings } from '../config/plan.ts'
import { shownValue, sortProblems } from '../config/problem.ts'
import type { LoadedConfig, SettingsPlan, UnreadEntries } from '../config/types.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { PluginStage } from '../protocol/plugin-state.ts'
import { type BuildOutcome, type BuiltPlugin, buildPlugins } from './build.ts'
import { NO_CONTROLS } from './controls.ts'
import { type Discovery, discover, type FoundPlugin, type PluginDirectories } from './discover.ts'
import { knownPlugins, NO_GAPS } from './gaps.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import { type PluginProblem, problemAt } from './problem.ts'
import { type ChainSummary, type IdlePlugin, resolveChains } from './resolve.ts'
import type { PluginControls } from './store/types.ts'
import { type ReadPlugin, type VerifiedPlugin, verifyPlugins } from './verify.ts'

export interface PrepareOptions {
  readonly config: LoadedConfig
  /** The generation's number. */
  readonly number: number
  /** Null: nothing is looked for on disk, only `pinned` is there. */
  readonly directories: PluginDirectories | null
  /** The folders that count of those found there; default: all. */
  readonly only?: ReadonlySet<string>
  /** Fresh; gets the plugins with the state that each of them reaches here. */
  readonly lifecycle: PluginLifecycle
  /** By folder: what runs instead of what stands there; null: nothing. */
  readonly pinned?: ReadonlyMap<string, BuiltPlugin | null>
  readonly controls?: PluginControls
  /** Of a config with problems. Default: none. */
  readonly unreadEntries?: UnreadEntries
  /** Default: `buildPlugins`. */
  readonly build?: (plugins: readonly VerifiedPlugin[]) => Promise<BuildOutcome>
}

export interface PreparedGeneration {
  readonly plan: GenerationPlan
  /** By route, in the config's order. */
  readonly chains: readonly ChainSummary[]
  readonly idle: readonly IdlePlugin[]
  /** All that have code, idle ones included. */
  readonly built: readonly BuiltPlugin[]
}

export interface PrepareProblem extends PluginProblem {
  readonly stage: PluginStage
  /** The plugin's name, its folder's where plugin.json does not say; null where it is no single plugin's. */
  readonly plugin: string | null
}

export type PrepareResult =
  | ({ readonly ok: true } & PreparedGeneration)
  | { readonly ok: false; readonly problems: readonly PrepareProblem[] }

/**
 * Makes a generation of a config and the plugin folders: discover → verify → build → validate and resolve.
 *
 * Nothing of it runs plugin code. A plugin that fails goes no further, but hides nothing: the others are still verified and
 * built, and what the config says to all of them is checked, so that all problems are reported together. What may only
 * seem wrong because a plugin failed is not (`Gaps`).
 */
export async function prepareGeneration(options: PrepareOptions): Promise<PrepareResult> {
  const { config, lifecycle } = options
  const settings = planSettings(config)
  const pins = splitPins(options.pinned)
  const { found, problems: unreadable } = discoverUnpinned(options)
  lifecycle.discovered([...pins.found, ...found], unreadable)

  const verification = await verifyPlugins(found, pins.plugins)
  const { verified: fresh, problems: unverified } = verification
  const read = inOrder([...pins.plugins, ...verification.read])
  lifecycle.verified(inOrder([...pins.plugins, ...fresh]), unverified)

  const { wanted, disabled } = select(fresh, read, settings, options.controls ?? NO_CONTROLS)
  lifecycle.disabled(disabled)
  const { built: freshlyBuilt, problems: unbuilt } = await (options.build ?? buildPlugins)(wanted)
  const built = inOrder([...pins.plugins, ...freshlyBuilt])
  lifecycle.built(built, unbuilt)
  const broken = [
    ...atStage('discover', unreadable, lifecycle),
    ...atStage('verify', unverified, lifecycle),
    ...atStage('build', unbuilt, lifecycle),
  ]
  // Nobody knows what is in a folder that cannot be read.
  const unreadNames = unreadable.length > 0 ? null : verification.unreadNames
  const failed = new Set(broken.map(({ folder }) => folder))
  const { known, ...gaps } = knownPlugins(read, unreadNames, failed)
  const entries = options.unreadEntries ?? NO_GAPS.entries
  const resolution = resolveChains(settings, known, built, options.controls, { ...gaps, entries })
  const { routes, instances, chains, idle, validated, problems } = resolution
  if (broken.length > 0) lifecycle.validated(new Set(), [], problems)
  else lifecycle.validated(validated, idle, problems)
  const all = [...broken, ...atStage('validate', problems, lifecycle)]
  if (all.length > 0) return { ok: false, problems: sortProblems(all) }

  const used = new Set(instances.map((instance) => instance.codeHash))
  const plan = {
    number: options.number,
    settings: settings.settings,
    upstreams: settings.upstreams,
    routes,
    instances,
    bundles: built.map(({ bundle }) => bundle).filter(({ codeHash }) => used.has(codeHash)),
  }
  return { ok: true, plan, chains, idle, built }
}

interface Pins {
  readonly plugins: readonly BuiltPlugin[]
  readonly found: readonly FoundPlugin[]
}

function splitPins(pinned: PrepareOptions['pinned']): Pins {
  const plugins = [...(pinned?.values() ?? [])].filter((plugin) => plugin !== null)
  return { plugins, found: plugins.map(({ manifest, origin }) => ({ folder: manifest.folder, origin })) }
}

/** As discovered, wherever each of them comes from: what stands for the same must make the same generation. */
function inOrder<Plugin extends ReadPlugin>(plugins: readonly Plugin[]): Plugin[] {
  const place = ({ origin, manifest }: Plugin): string => `${origin === 'built-in' ? 0 : 1}${manifest.folder}`
  return plugins.toSorted((a, b) => (place(a) < place(b) ? -1 : 1))
}

function discoverUnpinned({ config, directories, only, pinned }: PrepareOptions): Discovery {
  if (directories === null) return { found: [], problems: [] }
  const { found, problems: unreadable } = discover(directories)
  const problems = [...missingDirectory(config, directories, pinned?.size ?? 0), ...unreadable]
  const counts = (folder: string | null): boolean => {
    if (folder === null) return only === undefined
    return pinned?.has(folder) !== true && only?.has(folder) !== false
  }
  return {
    found: found.filter(({ folder }) => counts(folder)),
    problems: problems.filter(({ folder }) => counts(folder)),
  }
}

/**
 * Who names a plugins directory means the plugins in it, security plugins among them; without the name none need be there. What
 * is pinned may come from where nothing is any more.
 */
function missingDirectory(
  { source }: LoadedConfig,
  { user }: PluginDirectories,
  pins: number,
): PluginProblem[] {
  const pointer = '/plugins_dir'
  if (source.written(pointer) === undefined || pins > 0 || existsSync(user)) return []
  const message = `There is no plugins directory ${user}. Make it, or correct "plugins_dir".`
  const given = shownValue(source, pointer)
  return [problemAt(source.locate(pointer), 'CONFIG_NOT_FOUND', message, { key: 'plugins_dir', given })]
}

function atStage(
  stage: PluginStage,
  problems: readonly PluginProblem[],
  { plugins }: PluginLifecycle,
): PrepareProblem[] {
  const names = new Map(plugins.map(({ folder, name }) => [folder, name]))
  return problems.map((problem) => ({ ...problem, stage, plugin: names.get(problem.folder ?? '') ?? null }))
}

interface Selection {
  readonly wanted: readonly VerifiedPlugin[]
  /** By plugin.json or by command, and nothing in the config says otherwise. */
  readonly disabled: readonly VerifiedPlugin[]
}

/**
 * Which of `plugins` to build: whatever the config names, and of the rest those that are enabled, built-ins only if they
 * run without being named or some of `all` depends on them. A user's plugin that does not compile shall be heard of before a route names it.
 */
function select(
  plugins: readonly VerifiedPlugin[],
  all: readonly ReadPlugin[],
  settings: SettingsPlan,
  controls: PluginControls,
): Selection {
  const named = new Set<string>()
  for (const entries of [settings.globalPlugins, ...settings.routes.map((route) => route.plugins)]) {
    for (const entry of entries.values()) {
      if (entry.kind === 'settings') named.add(entry.plugin ?? entry.name)
    }
  }
  const dependedOn = new Set(all.flatMap(({ manifest }) => Object.keys(manifest.dependencies)))
  const isSwitchedOff = ({ name }: { readonly name: string }): boolean => controls.disabled.includes(name)
  const wanted = plugins.filter(({ manifest, origin }) => {
    if (isSwitchedOff(manifest)) return false
    if (named.has(manifest.name)) return true
    return (
      manifest.enabled && (origin === 'user' || manifest.scope === 'global' || dependedOn.has(manifest.name))
    )
  })
  const disabled = plugins.filter(
    ({ manifest }) => isSwitchedOff(manifest) || (!manifest.enabled && !named.has(manifest.name)),
  )
  return { wanted, disabled }
}
