import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type as TypeBox } from 'typebox'
import { Type } from './schema-types.ts'

/** One schema of every kind, each with and without options. */
function schemasOf(type: typeof Type): unknown {
  const { Array: list, Object: object, String: text } = type
  const options = { description: 'a test', default: null }
  return {
    array: [list(text()), list(text(), { ...options, minItems: 1 })],
    boolean: [type.Boolean(), type.Boolean(options)],
    enum: [type.Enum(['a', 'b']), type.Enum(['a'], options)],
    integer: [type.Integer(), type.Integer({ ...options, minimum: 1 })],
    literal: [type.Literal('a'), type.Literal(1, options), type.Literal(true)],
    number: [type.Number(), type.Number({ ...options, exclusiveMinimum: 0 })],
    object: [
      object({}),
      object({ a: text(), b: type.Optional(text({ pattern: 'b' })) }, { additionalProperties: false }),
      object({ a: type.Optional(type.Unsafe<string>({ type: 'string' })) }),
      object({ a: text({ ...type.Optional(text()), description: 'not optional any more' }) }),
      object({ a: type.Optional(object({ b: text() }, options)) }),
    ],
    string: [text(), text({ ...options, maxLength: 1 })],
    union: [type.Union([text(), type.Integer()]), type.Union([text()], options)],
    unsafe: [type.Unsafe<string>({ type: ['string', 'integer'], format: 'bytes' })],
  }
}

test('Type makes the JSON Schema that TypeBox makes, key for key', () => {
  assert.equal(JSON.stringify(schemasOf(Type), null, 1), JSON.stringify(schemasOf(TypeBox), null, 1))
})

test('Type.Optional() leaves the schema that it was given as it is', () => {
  const schema = Type.String()
  Type.Optional(schema)
  assert.deepEqual(Reflect.ownKeys(schema), ['type'])
})
