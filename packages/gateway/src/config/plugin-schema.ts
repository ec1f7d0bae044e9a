import { isObject } from './pointer.ts'
import { inPlaceParts } from './schema-walk.ts'
import type { JsonSchema, PluginManifest } from './types.ts'
import { compileSchema, type Validator } from './validator.ts'

/** Turns a plugin's `config_schema` into what its config is checked with: closed, and once more for partial layers. */

type Schema = Readonly<Record<string, unknown>>

export interface ConfigSchemas {
  /** The closed schema; errors of both validators refer to it. */
  readonly schema: JsonSchema
  readonly whole: Validator
  /** For one layer: `required` and what else only holds for the whole is left out. */
  readonly partial: Validator
}

export type ConfigSchemasResult =
  | { readonly ok: true; readonly schemas: ConfigSchemas }
  | { readonly ok: false; readonly pointer: string; readonly reason: string }

/** A route-heavy config checks the same plugin a thousand times, and compiling costs milliseconds. */
const compiled = new WeakMap<object, ConfigSchemasResult>()

/**
 * By their text too: every change reads every plugin.json anew, and nearly all of them are as they were. *Measured* with
 * twenty plugins: 47 of 64 ms of what a change takes until it is prepared.
 */
const compiledTexts = new Map<string, ConfigSchemasResult>()

/** The least recently used goes. Twice as many as there can be plugins would be more than anybody edits at once. */
const COMPILED_TEXTS_MAX = 256

/** The compiled schemas of a manifest, or null when it has none: then any config will do. */
export function configSchemasOf(manifest: Pick<PluginManifest, 'configSchema'>): ConfigSchemasResult | null {
  const { configSchema } = manifest
  if (configSchema === null) return null
  if (typeof configSchema === 'boolean') return compileBoth(configSchema)
  const known = compiled.get(configSchema) ?? compileText(configSchema)
  compiled.set(configSchema, known)
  return known
}

function compileText(configSchema: JsonSchema): ConfigSchemasResult {
  const text = JSON.stringify(configSchema)
  const known = compiledTexts.get(text) ?? compileBoth(configSchema)
  compiledTexts.delete(text)
  compiledTexts.set(text, known)
  const [oldest] = compiledTexts.keys()
  if (compiledTexts.size > COMPILED_TEXTS_MAX && oldest !== undefined) compiledTexts.delete(oldest)
  return known
}

function compileBoth(configSchema: JsonSchema): ConfigSchemasResult {
  // As the author wrote it first: what is wrong with it must be said of their text.
  const asWritten = compileSchema(configSchema)
  if (!asWritten.ok) return asWritten
  const schema = closeSchema(configSchema)
  const whole = compileSchema(schema)
  if (!whole.ok) return whole
  const partial = compileSchema(partialSchema(schema))
  if (!partial.ok) return partial
  return { ok: true, schemas: { schema, whole: whole.validator, partial: partial.validator } }
}

/**
 * Makes unknown keys errors wherever the schema lists the keys of an object and says nothing of others.
 *
 * Parts of a composition (`allOf`, `anyOf`, `$ref`, …) describe one object together, so none of them may be closed
 * alone: each would refuse the keys of its siblings. The outermost schema of such a group gets
 * `unevaluatedProperties: false` instead, which sees what all of them know.
 */
export function closeSchema(schema: JsonSchema): JsonSchema {
  const root = schema
  const close = (part: unknown, isPart: boolean): unknown => {
    if (!isObject(part)) return part
    const closed = mapSubschemas(part, close)
    return isPart ? closed : { ...closed, ...closing(part, root) }
  }
  return close(schema, false) as JsonSchema
}

function closing(schema: Schema, root: JsonSchema): Schema {
  if ('additionalProperties' in schema || 'unevaluatedProperties' in schema) return {}
  const parts = inPlaceParts(schema, root)
  if (parts.length === 0) return listsKeys(schema) ? { additionalProperties: false } : {}
  return groupListsKeys(schema, root, new Set()) ? { unevaluatedProperties: false } : {}
}

function listsKeys(schema: Schema): boolean {
  return 'properties' in schema || 'patternProperties' in schema
}

/** Whether some part lists keys, and no alternative is an object with any keys at all. */
function groupListsKeys(schema: unknown, root: JsonSchema, seen: Set<unknown>): boolean {
  if (!isObject(schema) || seen.has(schema)) return false
  seen.add(schema)
  const branches = [schema.anyOf, schema.oneOf].flatMap((list) => (Array.isArray(list) ? list : []))
  if (branches.some((branch) => isOpenObject(branch))) return false
  return listsKeys(schema) || inPlaceParts(schema, root).some((part) => groupListsKeys(part, root, seen))
}

function isOpenObject(schema: unknown): boolean {
  if (!isObject(schema) || schema.type !== 'object' || listsKeys(schema)) return false
  return !['required', 'allOf', 'anyOf', 'oneOf', '$ref', 'additionalProperties'].some((key) => key in schema)
}

const SCHEMA_KEYWORDS = [
  'additionalProperties',
  'unevaluatedProperties',
  'items',
  'unevaluatedItems',
  'contains',
] as const
const PART_KEYWORDS = ['not', 'if', 'then', 'else'] as const
const PART_LISTS = ['allOf', 'anyOf', 'oneOf'] as const
const SCHEMA_MAPS = ['properties', 'patternProperties'] as const
/** Definitions are used through `$ref`, which makes them parts of who refers to them. */
const PART_MAPS = ['dependentSchemas', '$defs', 'definitions'] as const

/** A copy with `change` applied to every schema inside; `isPart` when it applies to the same value as `schema`. */
function mapSubschemas(schema: Schema, change: (part: unknown, isPart: boolean) => unknown): Schema {
  const copy: Record<string, unknown> = { ...schema }
  const each = (keys: readonly string[], map: (value: unknown) => unknown) => {
    for (const key of keys) if (Object.hasOwn(copy, key)) copy[key] = map(copy[key])
  }
  const inList = (isPart: boolean) => (list: unknown) =>
    Array.isArray(list) ? list.map((part) => change(part, isPart)) : list
  const inMap = (isPart: boolean) => (map: unknown) =>
    isObject(map)
      ? Object.fromEntries(Object.entries(map).map(([key, part]) => [key, change(part, isPart)]))
      : map
  each(SCHEMA_KEYWORDS, (part) => change(part, false))
  each(PART_KEYWORDS, (part) => change(part, true))
  each(['prefixItems'], inList(false))
  each(PART_LISTS, inList(true))
  each(SCHEMA_MAPS, inMap(false))
  each(PART_MAPS, inMap(true))
  return copy
}

/** Keywords that judge an object as a whole, or look at more than the layer has. */
const WHOLE_ONLY = [
  'required',
  'minProperties',
  'dependentRequired',
  'dependentSchemas',
  'unevaluatedProperties',
  'not',
  'if',
  'then',
  'else',
] as const

/**
 * The schema of one layer. Lists replace, so what is inside one is whole in every layer: their items are checked by
 * the full schema, which is kept beside the partial one under a key of its own.
 */
export function partialSchema(schema: JsonSchema): JsonSchema {
  if (!isObject(schema)) return schema
  const relax = (part: unknown): unknown => {
    if (!isObject(part)) return part
    const partial: Record<string, unknown> = { ...part }
    for (const keyword of WHOLE_ONLY) delete partial[keyword]
    // Without `required` several alternatives can fit a layer at once.
    if (Array.isArray(partial.oneOf)) {
      const either = { anyOf: partial.oneOf }
      partial.allOf = [...(Array.isArray(partial.allOf) ? partial.allOf : []), either]
      delete partial.oneOf
    }
    return mapPartial(partial, relax)
  }
  const partial = relax(schema) as Schema
  return { ...partial, $defs: { ...definitions(partial), [WHOLE]: rebase(schema) } }
}

const WHOLE = 'cardea-whole'

function definitions(schema: Schema): Schema {
  return isObject(schema.$defs) ? schema.$defs : {}
}

function mapPartial(schema: Schema, relax: (part: unknown) => unknown): Schema {
  const lists = ['items', 'prefixItems', 'contains', 'unevaluatedItems'] as const
  const relaxed: Record<string, unknown> = { ...mapSubschemas(schema, relax) }
  for (const key of lists) if (Object.hasOwn(schema, key)) relaxed[key] = rebase(schema[key])
  return relaxed
}

/** Data, in which a member called `$ref` is no reference. */
const DATA_KEYWORDS = new Set(['const', 'enum', 'default', 'examples'])
/** Names that may stand only once; the partial schema keeps them. */
const NAMES = new Set(['$id', '$anchor', '$dynamicAnchor'])

/** Local references lead into the full schema. */
function rebase(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(rebase)
  if (!isObject(schema)) return schema
  const moved: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(schema)) {
    if (NAMES.has(key) && typeof value === 'string') continue
    if (DATA_KEYWORDS.has(key)) moved[key] = value
    else if (key === '$ref' && typeof value === 'string' && /^#(\/|$)/.test(value)) {
      moved[key] = `#/$defs/${WHOLE}${value.slice(1)}`
    } else moved[key] = rebase(value)
  }
  return moved
}
