import { planSettings } from '../config/plan.ts'
import { sortProblems } from '../config/problem.ts'
import type { ConfigProblem, LoadedConfig, SettingsPlan } from '../config/types.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { buildPlugins } from './build.ts'
import { discover, type PluginDirectories } from './discover.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import { type ChainSummary, type IdlePlugin, resolveChains } from './resolve.ts'
import { type VerifiedPlugin, verifyPlugins } from './verify.ts'

export interface PrepareOptions {
  readonly config: LoadedConfig
  /** The generation's number. */
  readonly number: number
  readonly directories: PluginDirectories
  /** Fresh; gets the plugins with the state that each of them reaches here. */
  readonly lifecycle: PluginLifecycle
}

export type PrepareResult =
  | {
      readonly ok: true
      readonly plan: GenerationPlan
      /** By route, in the config's order. */
      readonly chains: readonly ChainSummary[]
      readonly idle: readonly IdlePlugin[]
    }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

/**
 * Makes a generation of a config and the plugin folders: discover → verify → build → validate and resolve.
 *
 * Nothing of it runs plugin code. A plugin that fails goes no further; the others are still verified and built, so that
 * the problems of all are reported together. How they play together is looked at only when none failed: what a plugin
 * that is not there leaves undone would be reported of everybody else.
 */
export async function prepareGeneration(options: PrepareOptions): Promise<PrepareResult> {
  const { config, directories, lifecycle } = options
  const settings = planSettings(config)
  const { found, problems: unreadable } = await discover(directories)
  lifecycle.discovered(found, unreadable)

  const { verified, problems: unverified } = await verifyPlugins(found)
  lifecycle.verified(verified, unverified)

  const { wanted, disabled } = select(verified, settings)
  lifecycle.disabled(disabled)
  const { built, problems: unbuilt } = await buildPlugins(wanted)
  lifecycle.built(built, unbuilt)
  const broken = [...unreadable, ...unverified, ...unbuilt]
  if (broken.length > 0) return { ok: false, problems: sortProblems(broken) }

  const resolution = resolveChains(settings, verified, built)
  const { routes, instances, chains, idle, validated, problems } = resolution
  lifecycle.validated(validated, idle, problems)
  if (problems.length > 0) return { ok: false, problems: sortProblems(problems) }

  const used = new Set(instances.map((instance) => instance.codeHash))
  const plan = {
    number: options.number,
    settings: settings.settings,
    upstreams: settings.upstreams,
    routes,
    instances,
    bundles: built.map(({ bundle }) => bundle).filter(({ codeHash }) => used.has(codeHash)),
  }
  return { ok: true, plan, chains, idle }
}

interface Selection {
  readonly wanted: readonly VerifiedPlugin[]
  /** By plugin.json, and nothing in the config says otherwise. */
  readonly disabled: readonly VerifiedPlugin[]
}

/**
 * The plugins to build: whatever the config names, and of the rest those that are enabled, built-ins only if they run
 * without being named. A user's plugin that does not compile shall be heard of before a route names it.
 */
function select(plugins: readonly VerifiedPlugin[], settings: SettingsPlan): Selection {
  const named = new Set<string>()
  for (const entries of [settings.globalPlugins, ...settings.routes.map((route) => route.plugins)]) {
    for (const entry of entries.values()) {
      if (entry.kind === 'settings') named.add(entry.plugin ?? entry.name)
    }
  }
  const wanted = plugins.filter(({ manifest, origin }) => {
    if (named.has(manifest.name)) return true
    return manifest.enabled && (origin === 'user' || manifest.scope === 'global')
  })
  const disabled = plugins.filter(({ manifest }) => !manifest.enabled && !named.has(manifest.name))
  return { wanted, disabled }
}
