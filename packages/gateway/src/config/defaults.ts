import { copyTree, isObject, joinPointer } from './pointer.ts'
import { inPlaceParts } from './schema-walk.ts'
import type { JsonSchema } from './types.ts'

/** A default whose schema has that default again would otherwise grow for ever. */
const DEPTH_MAX = 64

/**
 * Fills the `default`s of a schema into the objects that a value has, in place. Defaults behind `allOf` and `$ref`
 * count; behind `anyOf` and `oneOf` only when a single alternative is an object, for else the choice is open.
 *
 * @param onDefault is told the pointer of every value that was filled in.
 */
export function fillDefaults(
  value: unknown,
  schema: JsonSchema,
  onDefault: (pointer: string) => void = () => {},
): void {
  fill(value, schema, { root: schema, onDefault, pointer: '', depth: 0, done: new Map() })
}

interface Place {
  readonly root: JsonSchema
  readonly onDefault: (pointer: string) => void
  readonly pointer: string
  readonly depth: number
  /** Which schemas have filled an object: several ways may lead from one to the other. */
  readonly done: Map<object, Set<unknown>>
}

function fill(value: unknown, schema: unknown, place: Place): void {
  if (!isObject(schema) || place.depth > DEPTH_MAX) return
  if (Array.isArray(value)) fillItems(value, schema, place)
  if (!isObject(value)) return
  const schemas = place.done.get(value) ?? new Set()
  if (schemas.has(schema)) return
  place.done.set(value, schemas.add(schema))
  for (const [key, property] of Object.entries(isObject(schema.properties) ? schema.properties : {})) {
    if (!Object.hasOwn(value, key)) {
      const fallback = isObject(property) ? defaultOf(property, place.root) : undefined
      if (fallback === undefined) continue
      defineMember(value, key, copyTree(fallback))
      place.onDefault(joinPointer(place.pointer, key))
    }
    fill(value[key], property, below(place, key))
  }
  if (isObject(schema.additionalProperties)) {
    const named = isObject(schema.properties) ? schema.properties : {}
    for (const [key, member] of Object.entries(value)) {
      if (Object.hasOwn(named, key)) continue
      fill(member, schema.additionalProperties, below(place, key))
    }
  }
  for (const part of decidedParts(schema, place.root)) fill(value, part, { ...place, depth: place.depth + 1 })
}

function below(place: Place, key: string | number): Place {
  return { ...place, pointer: joinPointer(place.pointer, key), depth: place.depth + 1 }
}

/** Sets an own member even where the name is one that assignment would treat in a special way. */
export function defineMember(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

function fillItems(items: readonly unknown[], schema: Readonly<Record<string, unknown>>, place: Place): void {
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : []
  for (const [index, item] of items.entries()) {
    const itemSchema = index < prefix.length ? prefix[index] : schema.items
    fill(item, itemSchema, below(place, index))
  }
}

function defaultOf(schema: Readonly<Record<string, unknown>>, root: JsonSchema): unknown {
  if ('default' in schema) return schema.default
  if (typeof schema.$ref !== 'string') return undefined
  const [target] = inPlaceParts({ $ref: schema.$ref }, root)
  // One step only: a chain of references could be a circle.
  return isObject(target) ? target.default : undefined
}

/** The parts of a schema that surely apply to an object. */
function decidedParts(schema: Readonly<Record<string, unknown>>, root: JsonSchema): unknown[] {
  const choices = [schema.anyOf, schema.oneOf].flatMap((list) => {
    if (!Array.isArray(list)) return []
    const objects = list.filter((branch) => isObject(branch) && branch.type === 'object')
    return objects.length === 1 ? objects : []
  })
  const all = Array.isArray(schema.allOf) ? schema.allOf : []
  return [...all, ...choices, ...inPlaceParts({ $ref: schema.$ref }, root)]
}
