import { defineMember, fillDefaults } from './defaults.ts'
import { copyTree, isObject, joinPointer, parentPointer } from './pointer.ts'
import type { JsonSchema, MergedConfig } from './types.ts'

/** Lays the layers of a plugin's config over one another and remembers where each value came from. */

const SCHEMA_DEFAULT = 'schema default'

/** The layer of a value: its index in the list, or -1 for a default of the schema. */
export type Origins = ReadonlyMap<string, number>

export interface MergedLayers {
  readonly value: Record<string, unknown>
  readonly origins: Origins
}

/**
 * Merges `layers`, lowest first, over the defaults of `schema` (null: none). Objects merge deeply, anything else
 * replaces what is below, and null resets: the value is then what the schema's default says, or absent.
 * Layers that are no objects count as empty. Nothing is checked here.
 */
export function mergeConfig(
  layers: readonly { readonly source: string; readonly value: unknown }[],
  schema: JsonSchema | null,
): MergedConfig {
  return withSources(layers, mergeLayers(layers, schema))
}

/** Names the layers that `mergeLayers` counted. */
export function withSources(
  layers: readonly { readonly source: string }[],
  merged: MergedLayers,
): MergedConfig {
  const sources = new Map<string, string>()
  for (const [pointer, index] of merged.origins) sources.set(pointer, layers[index]?.source ?? SCHEMA_DEFAULT)
  return { value: merged.value, sources }
}

/** As `mergeConfig`, with the index of the layer instead of its name. */
export function mergeLayers(
  given: readonly { readonly value: unknown }[],
  schema: JsonSchema | null,
): MergedLayers {
  const layers = given.map((layer) => layer.value)
  const value: Record<string, unknown> = {}
  for (const layer of layers) if (isObject(layer)) overlay(value, layer)
  const filled = new Set<string>()
  if (schema !== null) fillDefaults(value, schema, (pointer) => filled.add(pointer))
  const origins = new Map<string, number>()
  for (const pointer of leavesOf(value)) origins.set(pointer, originOf(pointer, layers, filled))
  return { value, origins }
}

/** The entry of the pointer or of its nearest container that has one. */
export function originAt(origins: Origins, pointer: string): number | undefined {
  for (let at = pointer; ; at = parentPointer(at)) {
    const origin = origins.get(at)
    if (origin !== undefined || at === '') return origin
  }
}

function overlay(target: Record<string, unknown>, layer: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(layer)) {
    if (key === '__proto__') continue
    const below = Object.hasOwn(target, key) ? target[key] : undefined
    if (value === null) delete target[key]
    else if (isObject(value)) {
      const merged = isObject(below) ? below : {}
      overlay(merged, value)
      defineMember(target, key, merged)
    } else defineMember(target, key, copyTree(value))
  }
}

/** Scalars, arrays as a whole, and empty objects. */
function* leavesOf(value: unknown, pointer = ''): Generator<string> {
  const members = isObject(value) ? Object.entries(value) : []
  if (members.length === 0) yield pointer
  for (const [key, member] of members) yield* leavesOf(member, joinPointer(pointer, key))
}

function originOf(pointer: string, layers: readonly unknown[], filled: ReadonlySet<string>): number {
  for (let at = pointer; at !== ''; at = parentPointer(at)) if (filled.has(at)) return -1
  // The highest layer that reaches the leaf: what it holds there is what won.
  return layers.findLastIndex((layer) => reaches(layer, pointer))
}

function reaches(layer: unknown, pointer: string): boolean {
  let value = layer
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (!isObject(value) || !Object.hasOwn(value, key)) return false
    value = value[key]
  }
  return value !== null
}
