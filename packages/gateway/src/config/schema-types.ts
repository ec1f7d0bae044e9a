import type { Type as TypeBox } from 'typebox'

/**
 * What our schemas use of TypeBox: its types, and constructors that make the same JSON Schema. TypeBox itself is 373
 * modules, 273 of which a bundle keeps, and every supervisor and every test of a config would load them to write down
 * what is plain JSON. A test beside this file holds each constructor to TypeBox's own.
 */

type Used =
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'String'
  | 'Union'
  | 'Unsafe'

type Json = Readonly<Record<string, unknown>>

/** As TypeBox marks what need not be there: neither a spread nor JSON takes the mark along. */
const OPTIONAL = '~optional'

const constructors = {
  Array: (items: Json, options?: Json) => ({ type: 'array', items, ...options }),
  Boolean: (options?: Json) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options?: Json) => ({ enum: values, ...options }),
  Integer: (options?: Json) => ({ type: 'integer', ...options }),
  Literal: (value: unknown, options?: Json) => ({ type: typeof value, const: value, ...options }),
  Number: (options?: Json) => ({ type: 'number', ...options }),
  Object(properties: Readonly<Record<string, Json>>, options?: Json) {
    const required = Object.keys(properties).filter((key) => !Object.hasOwn(properties[key] ?? {}, OPTIONAL))
    return { type: 'object', ...(required.length > 0 ? { required } : {}), properties, ...options }
  },
  Optional: (schema: Json) => Object.defineProperty({ ...schema }, OPTIONAL, { value: true }),
  String: (options?: Json) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly Json[], options?: Json) => ({ anyOf, ...options }),
  Unsafe: (schema: Json) => schema,
} satisfies Record<Used, (...given: never[]) => Json>

export const Type = constructors as unknown as Pick<typeof TypeBox, Used>
