import type {
  PluginOverride,
  PluginOverrides,
  PluginSettings,
  RouteDraft,
  SettingsPlan,
} from '../config/types.ts'
import { CATEGORIES, type InstancePlan, type RoutePlan } from '../protocol/generation.ts'
import type { BuiltPlugin } from './build.ts'
import { NO_CONTROLS } from './controls.ts'
import { type Gaps, NO_GAPS } from './gaps.ts'
import { type ChainLink, InstanceBook } from './instance-book.ts'
import type { PluginProblem } from './problem.ts'
import { topmost } from './settle.ts'
import type { PluginControls } from './store/types.ts'
import type { ReadPlugin } from './verify.ts'

/** What one route runs, in order, and what its `plugins:` keeps from it. */
export interface ChainSummary {
  readonly route: string
  readonly links: readonly ChainLink[]
  readonly optedOut: readonly OptedOut[]
}

export interface OptedOut {
  readonly name: string
  /** False: nothing has that name (any more), so there is nothing to keep from the route. */
  readonly known: boolean
}

/** A plugin that is there but runs on no route, nor for one that does. */
export interface IdlePlugin {
  readonly plugin: ReadPlugin
  readonly reason:
    | 'disabled in plugin.json'
    | 'disabled by command'
    | 'switched off in the config'
    | 'named by no route'
}

export interface Resolution {
  readonly routes: readonly RoutePlan[]
  /** Those that some route runs, and those that they depend on, which stand before them. */
  readonly instances: readonly InstancePlan[]
  readonly chains: readonly ChainSummary[]
  readonly idle: readonly IdlePlugin[]
  /** The folders of the plugins with at least one config that holds. */
  readonly validated: ReadonlySet<string>
  readonly problems: readonly PluginProblem[]
}

/**
 * Decides which instances each route runs, with which settings, in which order.
 *
 * An instance is on every route when its plugin has scope global, or when the config's `plugins:` lists it. A route's
 * own `plugins:` adds to that, lays settings over, or takes off. Naming what is absent or disabled is a problem: a
 * route must not lose a plugin by a misspelling. Taking off what is absent is none: it is how one says that a plugin
 * is gone on purpose.
 *
 * `plugins` are all whose plugin.json was read; `built` those of them that have code. Of what is in `gaps` no more is said
 * than can be said for sure, and nothing of it runs.
 */
export function resolveChains(
  settings: SettingsPlan,
  plugins: readonly ReadPlugin[],
  built: readonly BuiltPlugin[],
  controls: PluginControls = NO_CONTROLS,
  gaps: Gaps = NO_GAPS,
): Resolution {
  const overrides = settings.globalPlugins
  const book = new InstanceBook({ plugins, built, overrides, controls, gaps })
  const everywhere = linksEverywhere(overrides, plugins, book)
  const chains = settings.routes.map((route) => ({
    route: route.name,
    links: linksOfRoute(route.plugins, overrides, everywhere, book),
    optedOut: optedOut(route.plugins, overrides, book),
  }))
  const routes = settings.routes.map((route, index) => withChain(route, chains[index]?.links ?? []))
  const instances = book.withDependencies(chains.flatMap(({ links }) => links.map((link) => link.instance)))
  return {
    routes,
    instances,
    chains,
    idle: idlePlugins(plugins, overrides, instances, controls),
    validated: book.folders,
    problems: book.problems,
  }
}

/** What runs where a route says nothing, in chain order. */
function linksEverywhere(
  overrides: PluginOverrides,
  plugins: readonly ReadPlugin[],
  book: InstanceBook,
): readonly ChainLink[] {
  const links: (ChainLink | null)[] = []
  for (const plugin of plugins) {
    const { name, scope } = plugin.manifest
    if (book.isEnabled(plugin, undefined) && scope === 'global' && !overrides.has(name))
      links.push(book.link(name, plugin, []))
  }
  for (const entry of overrides.values()) {
    if (entry.kind === 'off') continue
    const plugin = book.find(entry, null)
    if (plugin === null || !book.isEnabled(plugin, entry.enabled)) continue
    links.push(book.link(entry.name, plugin, [entry]))
  }
  return links.filter((link) => link !== null).sort(inChainOrder)
}

function linksOfRoute(
  entries: PluginOverrides,
  overrides: PluginOverrides,
  everywhere: readonly ChainLink[],
  book: InstanceBook,
): readonly ChainLink[] {
  // Most of many routes say nothing of plugins; they share one array.
  if (entries.size === 0) return everywhere
  const links: (ChainLink | null)[] = everywhere.filter((link) => !entries.has(link.instance.name))
  for (const entry of entries.values()) {
    if (entry.kind === 'settings') links.push(linkOfEntry(entry, overrides.get(entry.name), book))
  }
  return links.filter((link) => link !== null).sort(inChainOrder)
}

/** The instance that a route names, or null when the route switches it off or cannot have it. */
function linkOfEntry(
  entry: PluginSettings,
  override: PluginOverride | undefined,
  book: InstanceBook,
): ChainLink | null {
  const below = override?.kind === 'settings' ? override : null
  const layers = below === null ? [entry] : [below, entry]
  const plugin = book.find(entry, below)
  if (plugin === null || entry.enabled === false) return null
  if (
    book.isEnabled(
      plugin,
      topmost(layers, (layer) => layer.enabled),
    )
  ) {
    return book.link(entry.name, plugin, layers)
  }
  book.refuseDisabled(entry, plugin, below?.enabled === false ? below.key : plugin.manifest.file)
  return null
}

function optedOut(entries: PluginOverrides, overrides: PluginOverrides, book: InstanceBook): OptedOut[] {
  return [...entries.values()]
    .filter((entry) => entry.kind === 'off' || entry.enabled === false)
    .map(({ name }) => ({ name, known: book.has(name) || overrides.get(name)?.kind === 'settings' }))
}

function withChain(draft: RouteDraft, links: readonly ChainLink[]): RoutePlan {
  const { plugins: _plugins, position: _position, ...route } = draft
  return { ...route, chain: links.map((link) => link.instance.id) }
}

function idlePlugins(
  plugins: readonly ReadPlugin[],
  overrides: PluginOverrides,
  instances: readonly InstancePlan[],
  controls: PluginControls,
): IdlePlugin[] {
  const running = new Set(instances.map((instance) => instance.plugin))
  return plugins
    .filter(({ manifest }) => !running.has(manifest.name))
    .map((plugin) => {
      const { name, enabled } = plugin.manifest
      if (controls.disabled.includes(name)) return { plugin, reason: 'disabled by command' }
      const override = overrides.get(name)
      const isSwitchedOff = override?.kind === 'off' || override?.enabled === false
      if (isSwitchedOff) return { plugin, reason: 'switched off in the config' }
      return { plugin, reason: enabled ? 'named by no route' : 'disabled in plugin.json' }
    })
}

/** Category, then priority from high to low, then name. */
function inChainOrder({ instance: a }: ChainLink, { instance: b }: ChainLink): number {
  const byCategory = CATEGORIES.indexOf(a.category) - CATEGORIES.indexOf(b.category)
  return byCategory || b.priority - a.priority || (a.name < b.name ? -1 : 1)
}
