import { planSettings } from '../config/plan.ts'
import { sortProblems } from '../config/problem.ts'
import type { ConfigProblem, LoadedConfig, SettingsPlan } from '../config/types.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { buildPlugins } from './build.ts'
import { discover, type PluginDirectories } from './discover.ts'
import { type ChainSummary, type IdlePlugin, resolveChains } from './resolve.ts'
import { type VerifiedPlugin, verifyPlugins } from './verify.ts'

export interface PrepareOptions {
  readonly config: LoadedConfig
  /** The generation's number. */
  readonly number: number
  readonly directories: PluginDirectories
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
 * Nothing of it runs plugin code. A stage that finds problems is the last one, and reports all it found.
 */
export async function prepareGeneration(options: PrepareOptions): Promise<PrepareResult> {
  const settings = planSettings(options.config)
  const { found, problems: unreadable } = await discover(options.directories)
  const { verified, problems: unverified } = await verifyPlugins(found)
  const early = [...unreadable, ...unverified]
  if (early.length > 0) return { ok: false, problems: sortProblems(early) }

  const { built, problems: unbuilt } = await buildPlugins(wanted(verified, settings))
  if (unbuilt.length > 0) return { ok: false, problems: sortProblems(unbuilt) }

  const { routes, instances, chains, idle, problems } = resolveChains(settings, verified, built)
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

/**
 * The plugins to build: whatever the config names, and of the rest those that are enabled, built-ins only if they run
 * without being named. A user's plugin that does not compile shall be heard of before a route names it.
 */
function wanted(plugins: readonly VerifiedPlugin[], settings: SettingsPlan): VerifiedPlugin[] {
  const named = new Set<string>()
  for (const entries of [settings.globalPlugins, ...settings.routes.map((route) => route.plugins)]) {
    for (const entry of entries.values()) {
      if (entry.kind === 'settings') named.add(entry.plugin ?? entry.name)
    }
  }
  return plugins.filter(({ manifest, origin }) => {
    if (named.has(manifest.name)) return true
    return manifest.enabled && (origin === 'user' || manifest.scope === 'global')
  })
}
