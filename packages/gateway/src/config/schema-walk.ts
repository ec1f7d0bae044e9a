import { isObject, readPointer } from './pointer.ts'
import type { JsonSchema } from './types.ts'

/** The schemas that apply to the same value as `schema` does. */
export function inPlaceParts(schema: Readonly<Record<string, unknown>>, root: JsonSchema): unknown[] {
  const lists = [schema.allOf, schema.anyOf, schema.oneOf].flatMap((list) =>
    Array.isArray(list) ? list : [],
  )
  const conditional = [schema.if, schema.then, schema.else].filter((part) => part !== undefined)
  const dependent = isObject(schema.dependentSchemas) ? Object.values(schema.dependentSchemas) : []
  return [...lists, ...conditional, ...dependent, ...referenced(schema, root)]
}

function referenced(schema: Readonly<Record<string, unknown>>, root: JsonSchema): unknown[] {
  if (typeof schema.$ref !== 'string' || !schema.$ref.startsWith('#')) return []
  const target = readPointer(root, decodeURIComponent(schema.$ref.slice(1)))
  return target === undefined ? [] : [target]
}
