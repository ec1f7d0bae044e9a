import { netPermissionOf } from '../base/net-permission.ts'
import { checkFailurePolicy, checkPluginConfig } from '../config/plugin-config.ts'
import { readPointer } from '../config/pointer.ts'
import type {
  ConfigProblem,
  Isolation,
  JsonObject,
  MergedConfig,
  PluginManifest,
  PluginSettings,
} from '../config/types.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { problemAt } from './problem.ts'

/** An instance with everything that its layers say; its code, and what the generation around it adds, are missing. */
export interface SettledInstance {
  readonly plan: Omit<InstancePlan, 'id' | 'key' | 'dependencies' | 'quarantined' | 'codeHash'>
  /** Where each value of the config comes from; see MergedConfig. */
  readonly sources: MergedConfig['sources']
}

export type SettleOutcome =
  | { readonly ok: true; readonly instance: SettledInstance }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

/**
 * Lays `layers` (lowest first) over the plugin's manifest: settings replace one another, configs are merged.
 *
 * @param isWhole see `checkPluginConfig`.
 */
export function settle(
  name: string,
  manifest: PluginManifest,
  layers: readonly PluginSettings[],
  incarnation: number,
  isWhole: boolean,
): SettleOutcome {
  const config = checkPluginConfig(
    manifest,
    layers.flatMap((layer) => layer.config ?? []),
    isWhole,
  )
  const problems = [
    ...(config.ok ? [] : config.problems),
    ...isolationProblems(name, manifest, layers),
    ...layers.flatMap((layer) => checkFailurePolicy(manifest, layer) ?? []),
  ]
  if (!config.ok || problems.length > 0) return { ok: false, problems }
  const plan = {
    name,
    plugin: manifest.name,
    version: manifest.version,
    entryPoint: manifest.entryPoint,
    config: config.config.value,
    category: manifest.category,
    priority: topmost(layers, (layer) => layer.priority) ?? manifest.priority,
    permissions: grantedPermissions(manifest.permissions, config.config.value),
    timeoutMs: topmost(layers, (layer) => layer.timeoutMs) ?? manifest.timeoutMs,
    onFailure: topmost(layers, (layer) => layer.onFailure) ?? manifest.onFailure,
    incarnation,
  }
  return { ok: true, instance: { plan, sources: config.config.sources } }
}

const FROM_CONFIG = 'net:config/'

/** `net:config/KEY` becomes the hosts that the config names there: where a plugin may go is then up to who configures it. */
export function grantedPermissions(permissions: readonly string[], config: JsonObject): readonly string[] {
  const granted = permissions.flatMap((permission) =>
    permission.startsWith(FROM_CONFIG)
      ? hostsIn(readPointer(config, permission.slice(FROM_CONFIG.length - 1)))
      : [permission],
  )
  return [...new Set(granted)]
}

function hostsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(hostsIn)
  const url = typeof value === 'string' ? URL.parse(value) : null
  const permission = url === null ? null : netPermissionOf(url)
  return permission === null ? [] : [permission]
}

/** What the highest layer says that says anything. */
export function topmost<T>(
  layers: readonly PluginSettings[],
  read: (layer: PluginSettings) => T | undefined,
): T | undefined {
  for (const layer of layers.toReversed()) {
    const value = read(layer)
    if (value !== undefined) return value
  }
  return undefined
}

/** Any layer can ask for more isolation, none for less: then what the plugin or a lower layer asks for still counts. */
function isolationProblems(
  name: string,
  manifest: PluginManifest,
  layers: readonly PluginSettings[],
): ConfigProblem[] {
  const askedBy = [
    { isolation: manifest.isolation, place: manifest.source.locate('/isolation'), key: 'isolation' },
    ...layers.map((layer) => ({
      isolation: layer.isolation ?? ('none' as Isolation),
      place: layer.map.locate(`${layer.pointer}/isolation`),
      key: `${layer.key}.isolation`,
    })),
  ]
  return askedBy
    .filter(({ isolation }) => isolation !== 'none')
    .map(({ isolation, place, key }) =>
      problemAt(
        place,
        'PLUGIN_ISOLATION_UNAVAILABLE',
        `Plugin "${name}" asks for isolation "${isolation}", which this version does not have; running it less isolated ` +
          'would be unsafe. Say "none" if you trust it, or leave it out.',
        { key, given: JSON.stringify(isolation), expected: '"none"' },
      ),
    )
}
