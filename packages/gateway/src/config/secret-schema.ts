import { isObject, joinPointer, splitPointer } from './pointer.ts'
import { inPlaceParts } from './schema-walk.ts'
import type { JsonSchema } from './types.ts'

/**
 * Whether a schema calls the value at `pointer`, or what it stands in, a secret: `writeOnly: true`, which JSON Schema
 * (validation, 9.4) has for passwords and their like. Such a value is not shown, wherever it came from.
 */
export function isSecretAt(schema: JsonSchema | null, pointer: string): boolean {
  if (!isObject(schema)) return false
  let here = inPlace([schema], schema)
  for (const key of splitPointer(pointer)) {
    if (here.some(isSecret)) return true
    here = inPlace(
      here.flatMap((part) => membersFor(part, key)),
      schema,
    )
  }
  return here.some(isSecret)
}

/** The pointers of all secrets in a value. */
export function secretsIn(schema: JsonSchema | null, value: unknown, pointer = ''): string[] {
  if (pointer !== '' && isSecretAt(schema, pointer)) return [pointer]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) =>
    secretsIn(schema, member, joinPointer(pointer, key)),
  )
}

type Schema = Readonly<Record<string, unknown>>

function isSecret({ writeOnly }: Schema): boolean {
  return writeOnly === true
}

/** These and all that apply to the same value. */
function inPlace(schemas: readonly unknown[], root: JsonSchema): Schema[] {
  const found = new Set<Schema>()
  const waiting = [...schemas]
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (!isObject(next) || found.has(next)) continue
    found.add(next)
    waiting.push(...inPlaceParts(next, root))
  }
  return [...found]
}

/** What applies to the member `key`; a secret by any of them is one, so that the order of keywords is of no matter. */
function membersFor(schema: Schema, key: string): unknown[] {
  const { properties, patternProperties, prefixItems } = schema
  const own = isObject(properties) && Object.hasOwn(properties, key) ? [properties[key]] : []
  const patterned = isObject(patternProperties)
    ? Object.entries(patternProperties).flatMap(([pattern, part]) =>
        new RegExp(pattern, 'u').test(key) ? [part] : [],
      )
    : []
  const listed: unknown[] = Array.isArray(prefixItems) ? [prefixItems[Number(key)]] : []
  const named = [...own, ...patterned]
  const others = named.length > 0 ? [] : [schema.additionalProperties, schema.unevaluatedProperties]
  return [...named, ...others, ...listed, schema.items, schema.unevaluatedItems, schema.contains]
}
