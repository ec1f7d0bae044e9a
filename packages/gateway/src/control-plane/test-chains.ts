import assert from 'node:assert/strict'
import type {
  ConfigLayer,
  PluginManifest,
  PluginOverride,
  PluginOverrides,
  PluginSettings,
  RouteDraft,
  SettingsPlan,
  SourceMap,
} from '../config/types.ts'
import type { BuiltPlugin } from './build.ts'
import { NO_CONTROLS } from './controls.ts'
import type { PluginProblem } from './problem.ts'
import { type Resolution, resolveChains } from './resolve.ts'
import type { PluginControls } from './store/types.ts'
import { verifiedPlugin } from './test-support.ts'

/** For the tests of this folder only. */

/** `false`, or the settings as the config has them. */
type Entry = false | (Partial<Omit<PluginSettings, 'kind' | 'config'>> & { config?: Record<string, unknown> })
type Entries = Readonly<Record<string, Entry>>

/** A plugin in /p/NAME with code. */
export function plugin(name: string, changes: Partial<PluginManifest> = {}): BuiltPlugin {
  const bundle = { codeHash: `hash of ${name}`, code: '', sourceMap: '', entryFile: `/p/${name}/plugin.ts` }
  return { ...verifiedPlugin(`/p/${name}`, { name, ...changes }), bundle, libraryFiles: [] }
}

function overrides(entries: Entries, prefix: string): PluginOverrides {
  const made = Object.entries(entries).map(([name, entry]): [string, PluginOverride] => {
    const place = { file: 'cardea.yaml', line: 7, column: 3 }
    const pointer = `/${prefix.replaceAll('.', '/')}/${name}`
    const map = {
      ...MAP,
      written: (at: string) => (at === `${pointer}/plugin` && entry ? entry.plugin : undefined),
    }
    const base = { name, position: place, map, pointer, key: `${prefix}.${name}` }
    if (entry === false) return [name, { kind: 'off', ...base }]
    const { config, ...settings } = entry
    const none = { plugin: undefined, enabled: undefined, priority: undefined, timeoutMs: undefined }
    return [
      name,
      {
        kind: 'settings',
        ...base,
        ...none,
        onFailure: undefined,
        isolation: undefined,
        ...settings,
        config: config === undefined ? undefined : layer(config, base.key, base.pointer),
      },
    ]
  })
  return new Map(made)
}

/** Every value stands in line 8. */
const MAP: SourceMap = {
  file: 'cardea.yaml',
  locate: () => ({ file: 'cardea.yaml', line: 8, column: 5 }),
  locateKey: () => ({ file: 'cardea.yaml', line: 8, column: 5 }),
  written: () => undefined,
  isExpanded: () => false,
}

function layer(value: unknown, key: string, pointer: string): ConfigLayer {
  return { source: `cardea.yaml: ${key}.config`, value, map: MAP, pointer: `${pointer}/config` }
}

/** Resolves routes and `plugins:` (the third) as the config would have them. Entries of the latter stand in line 7. */
export function resolved(
  plugins: readonly BuiltPlugin[],
  routes: Readonly<Record<string, Entries>>,
  global: Entries = {},
  controls: Partial<PluginControls> = {},
): Resolution {
  const drafts = Object.entries(routes).map(([name, entries]): RouteDraft => {
    const plugins = overrides(entries, `routes.${name}.plugins`)
    return { name, plugins, position: { file: 'cardea.yaml', line: 5, column: 1 } } as RouteDraft
  })
  const settings = { routes: drafts, globalPlugins: overrides(global, 'plugins') } as unknown as SettingsPlan
  return resolveChains(settings, plugins, plugins, { ...NO_CONTROLS, ...controls })
}

/** The instances of each route, in order. */
export function names(resolution: Resolution): Record<string, string[]> {
  const chains = resolution.chains.map(({ route, links }) => [
    route,
    links.map(({ instance }) => instance.name),
  ])
  return Object.fromEntries(chains)
}

export function onlyProblem(resolution: Resolution): PluginProblem {
  assert.equal(resolution.problems.length, 1, JSON.stringify(resolution.problems))
  const [problem] = resolution.problems
  assert.ok(problem)
  return problem
}
