import type { OnFailure } from '../protocol/generation.ts'
import { schemaProblems } from './check.ts'
import { mergeConfig, mergeLayers, type Origins, originAt, withSources } from './merge.ts'
import { type ConfigSchemas, configSchemasOf } from './plugin-schema.ts'
import { copyTree, describePointer, isObject, lastKey } from './pointer.ts'
import { fileProblem, sortProblems, valueProblem } from './problem.ts'
import type {
  ConfigLayer,
  ConfigProblem,
  PluginConfigResult,
  PluginManifest,
  PluginSettings,
} from './types.ts'
import { checkExpanded, type SchemaError } from './validator.ts'

/** Checks what the layers of a config say to one plugin, layer by layer and as the whole that the plugin will get. */

/**
 * The effective config of an instance: plugin.json's `config` under `layers` (lowest first, as the overrides of a
 * route have them), checked by the plugin's `config_schema`. Problems have code PLUGIN_CONFIG_INVALID, stand where the
 * layer stands in its file, and name it. Every layer is checked even where a higher one hides its values.
 *
 * @param isWhole false: parts of some layer are not known, and so only what each of them has is checked.
 */
export function checkPluginConfig(
  manifest: PluginManifest,
  layers: readonly ConfigLayer[],
  isWhole = true,
): PluginConfigResult {
  const all = [manifestLayer(manifest), ...layers]
  const compiled = configSchemasOf(manifest)
  if (compiled === null) return { ok: true, config: mergeConfig(all, null) }
  if (!compiled.ok) return { ok: false, problems: [configSchemaProblem(manifest, compiled)] }
  const { schemas } = compiled
  const merged = mergeLayers(all, schemas.schema)
  const wholeErrors = checkExpanded(schemas.whole, merged.value, (pointer) => {
    const layer = all[merged.origins.get(pointer) ?? originAt(merged.origins, pointer) ?? -1]
    return layer?.map.isExpanded(layer.pointer + pointer) === true
  })
  const problems = [
    ...all.flatMap((layer) => layerProblems(manifest, layer, schemas)),
    ...wholeErrorsByLayer(isWhole ? wholeErrors : [], all, merged.origins).flatMap(([layer, errors]) =>
      layer === null ? [defaultProblem(manifest, errors)] : explained(manifest, layer, errors, schemas),
    ),
  ]
  if (problems.length > 0) return { ok: false, problems: sortProblems(problems) }
  return { ok: true, config: withSources(all, merged) }
}

/** A problem with a manifest's `config_schema` itself, or null. Code PLUGIN_MANIFEST_INVALID. */
export function checkConfigSchema(manifest: PluginManifest): ConfigProblem | null {
  const compiled = configSchemasOf(manifest)
  return compiled === null || compiled.ok ? null : configSchemaProblem(manifest, compiled)
}

/**
 * A security plugin may never fail open: neither by its plugin.json nor by an override. Null when all is well.
 *
 * @param place what set `on_failure`; the manifest itself when no override did.
 */
export function checkFailurePolicy(
  manifest: Pick<PluginManifest, 'name' | 'category' | 'onFailure' | 'source'>,
  place: PluginSettings | null,
): ConfigProblem | null {
  const policy: OnFailure = place?.onFailure ?? manifest.onFailure
  if (manifest.category !== 'security' || policy.kind !== 'open') return null
  const expected = '"closed" or a fallback'
  const message = `Plugin "${manifest.name}" may not have on_failure "open": its category is security, and a failure would let requests pass unchecked. Use ${expected}.`
  if (place?.onFailure === undefined) {
    const { source } = manifest
    return valueProblem({
      code: 'PLUGIN_MANIFEST_INVALID',
      source,
      pointer: '/on_failure',
      expected,
      message,
    })
  }
  const pointer = `${place.pointer}/on_failure`
  return valueProblem({
    source: place.map,
    pointer,
    expected,
    message: `"${describePointer(pointer)}": ${message}`,
  })
}

function manifestLayer(manifest: PluginManifest): ConfigLayer {
  return {
    source: `plugin.json of ${manifest.name}: config`,
    value: manifest.config,
    map: manifest.source,
    pointer: '/config',
  }
}

function layerProblems(
  manifest: PluginManifest,
  layer: ConfigLayer,
  schemas: ConfigSchemas,
): ConfigProblem[] {
  const value = withoutResets(copyTree(layer.value))
  const errors = checkExpanded(schemas.partial, value, (pointer) =>
    layer.map.isExpanded(layer.pointer + pointer),
  )
  return explained(manifest, layer, errors, schemas)
}

/** A null in an object resets; to the schema it is not there. In lists null is a value. */
function withoutResets(value: unknown): unknown {
  if (!isObject(value)) return value
  const kept = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(kept.map(([key, member]) => [key, withoutResets(member)]))
}

/** Errors go to the layer whose value they are about; what is missing in an object, to the highest that is in it. */
function wholeErrorsByLayer(
  errors: readonly SchemaError[],
  layers: readonly ConfigLayer[],
  origins: Origins,
): [ConfigLayer | null, SchemaError[]][] {
  const byLayer = new Map<ConfigLayer | null, SchemaError[]>()
  for (const error of errors) {
    const key = error.params.additionalProperty ?? error.params.unevaluatedProperty
    const pointer = typeof key === 'string' ? `${error.instancePath}/${key}` : error.instancePath
    const origin = origins.get(pointer) ?? originBelow(origins, pointer) ?? originAt(origins, pointer)
    const layer = origin === -1 ? null : (layers[origin ?? layers.length - 1] ?? null)
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), error])
  }
  return [...byLayer]
}

/** For an object, the highest layer that has a value in it. */
function originBelow(origins: Origins, pointer: string): number | undefined {
  const inside = [...origins].filter(([leaf]) => leaf.startsWith(`${pointer}/`)).map(([, origin]) => origin)
  const highest = Math.max(...inside)
  return highest >= 0 ? highest : undefined
}

function explained(
  manifest: PluginManifest,
  layer: ConfigLayer,
  errors: readonly SchemaError[],
  schemas: ConfigSchemas,
): ConfigProblem[] {
  const problems = schemaProblems(errors, {
    code: 'PLUGIN_CONFIG_INVALID',
    source: layer.map,
    pointer: layer.pointer,
    schema: schemas.schema,
  })
  return problems.map((problem) => ({
    ...problem,
    message: `Plugin "${manifest.name}": ${problem.message} (from ${layer.source})`,
  }))
}

/** The author's own default breaks the author's own schema. */
function defaultProblem(manifest: PluginManifest, errors: readonly SchemaError[]): ConfigProblem {
  const keys = errors.map((error) => describePointer(error.instancePath)).join(', ')
  return fileProblem(
    'PLUGIN_CONFIG_INVALID',
    manifest.source.locateKey('/config_schema'),
    'defaults that the schema itself allows',
    `Plugin "${manifest.name}": the config_schema refuses its own default of "${keys}".`,
  )
}

function configSchemaProblem(
  manifest: PluginManifest,
  failure: { readonly pointer: string; readonly reason: string },
): ConfigProblem {
  const pointer = `/config_schema${failure.pointer}`
  return valueProblem({
    code: 'PLUGIN_MANIFEST_INVALID',
    source: manifest.source,
    pointer,
    expected: 'a JSON Schema 2020-12',
    message: `The config_schema of plugin "${manifest.name}" is not valid at "${describePointer(pointer)}": ${failure.reason}.`,
    atKey: lastKey(pointer) === 'config_schema',
  })
}
