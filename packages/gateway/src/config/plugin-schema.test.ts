// biome-ignore-all lint/suspicious/noThenProperty: a keyword of JSON Schema
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeSchema, partialSchema } from './plugin-schema.ts'
import type { JsonSchema } from './types.ts'
import { compileSchema } from './validator.ts'

function accepts(schema: JsonSchema, value: unknown): boolean {
  const compiled = compileSchema(schema)
  return compiled.ok ? compiled.validator.check(value).length === 0 : assert.fail(compiled.reason)
}

const a = { properties: { a: { type: 'number' } } }
const b = { properties: { b: { type: 'number' } } }
const inner = { properties: { in: a } }

/** Schema, what the closed one takes, and what it refuses. */
const CLOSING: readonly [
  what: string,
  schema: JsonSchema,
  takes: readonly object[],
  refuses: readonly object[],
][] = [
  ['a plain object', a, [{ a: 1 }], [{ x: 1 }, { a: 1, x: 1 }]],
  ['an object that allows others', { ...a, additionalProperties: true }, [{ x: 1 }], [{ a: 'x' }]],
  [
    'an object that describes others',
    { ...a, additionalProperties: { type: 'string' } },
    [{ x: '1' }],
    [{ x: 1 }],
  ],
  ['an object without listed keys', { type: 'object' }, [{ x: 1 }], []],
  ['patterns of keys', { patternProperties: { '^x-': {} } }, [{ 'x-a': 1 }], [{ y: 1 }]],
  ['a nested object', inner, [{ in: { a: 1 } }], [{ in: { x: 1 } }]],
  [
    'an object in a list',
    { properties: { list: { items: a } } },
    [{ list: [{ a: 1 }] }],
    [{ list: [{ x: 1 }] }],
  ],
  ['an object under any key', { additionalProperties: a }, [{ k: { a: 1 } }], [{ k: { x: 1 } }]],
  ['allOf: keys of all parts together', { allOf: [a, b] }, [{ a: 1, b: 1 }], [{ a: 1, x: 1 }]],
  ['allOf beside properties', { ...a, allOf: [b] }, [{ a: 1, b: 1 }], [{ x: 1 }]],
  [
    'oneOf: keys of the part that fits',
    {
      oneOf: [
        { ...a, required: ['a'] },
        { ...b, required: ['b'] },
      ],
    },
    [{ a: 1 }, { b: 1 }],
    [{ a: 1, x: 1 }],
  ],
  ['anyOf with an open part', { anyOf: [a, { type: 'object' }] }, [{ x: 1 }], []],
  [
    'anyOf of a scalar and an object',
    { properties: { p: { anyOf: [{ type: 'string' }, a] } } },
    [{ p: 'x' }, { p: { a: 1 } }],
    [{ p: { x: 1 } }],
  ],
  [
    'if, then, else',
    {
      if: { properties: { a: { const: 1 } }, required: ['a'] },
      then: b,
      else: { properties: { c: {}, a: {} } },
    },
    [
      { a: 1, b: 1 },
      { a: 2, c: 1 },
    ],
    [{ a: 1, c: 1 }],
  ],
  [
    'a reference',
    { properties: { p: { $ref: '#/$defs/a' } }, $defs: { a } },
    [{ p: { a: 1 } }],
    [{ p: { x: 1 } }],
  ],
  [
    'a reference to an open object',
    { properties: { p: { $ref: '#/$defs/o' } }, $defs: { o: { type: 'object' } } },
    [{ p: { x: 1 } }],
    [],
  ],
  [
    'an object inside a definition',
    { properties: { p: { $ref: '#/$defs/i' } }, $defs: { i: inner } },
    [{ p: { in: { a: 1 } } }],
    [{ p: { in: { x: 1 } } }],
  ],
  [
    'a schema that contains itself',
    { properties: { next: { $ref: '#' }, a: {} } },
    [{ next: { next: { a: 1 } } }],
    [{ next: { next: { x: 1 } } }],
  ],
  [
    'keys with the names of keywords',
    { properties: { properties: { type: 'number' }, $ref: { type: 'string' } } },
    [{ properties: 1, $ref: 'x' }],
    [{ properties: {} }],
  ],
]

for (const [what, schema, takes, refuses] of CLOSING) {
  test(`closeSchema() closes what should be closed: ${what}`, () => {
    const closed = closeSchema(schema)
    for (const value of takes) assert.ok(accepts(closed, value), `refuses ${JSON.stringify(value)}`)
    for (const value of refuses) assert.ok(!accepts(closed, value), `takes ${JSON.stringify(value)}`)
  })
}

const PARTIAL: typeof CLOSING = [
  ['required', { ...a, required: ['a'] }, [{}], [{ a: 'x' }, { x: 1 }]],
  ['nested required', { properties: { p: { ...a, required: ['a'] } } }, [{ p: {} }], [{ p: { a: 'x' } }]],
  ['a count of keys', { minProperties: 2, ...a }, [{}], []],
  [
    'oneOf told apart by required',
    {
      oneOf: [
        { ...a, required: ['a'] },
        { ...b, required: ['b'] },
      ],
    },
    [{}, { a: 1 }, { b: 1 }],
    [],
  ],
  [
    'required in a list',
    { properties: { list: { items: { ...a, required: ['a'] } } } },
    [{}],
    [{ list: [{}] }],
  ],
  [
    'required in a referenced list item',
    { properties: { list: { items: { $ref: '#/$defs/a' } } }, $defs: { a: { ...a, required: ['a'] } } },
    [{ list: [{ a: 1 }] }],
    [{ list: [{}] }],
  ],
  [
    'required behind a reference',
    { properties: { p: { $ref: '#/$defs/a' } }, $defs: { a: { ...a, required: ['a'] } } },
    [{ p: {} }],
    [{ p: { a: 'x' } }],
  ],
  ['conditions', { ...a, if: { required: ['a'] }, then: { required: ['b'] } }, [{ a: 1 }], [{ a: 'x' }]],
  ['negations', { properties: { a: {} }, not: { required: ['a'] } }, [{ a: 1 }], []],
  [
    'anchors',
    { properties: { p: { $ref: '#named' } }, $defs: { n: { $anchor: 'named', ...a } } },
    [{ p: { a: 1 } }],
    [{ p: { a: 'x' } }],
  ],
  [
    'data that looks like a reference',
    { properties: { list: { items: { const: { $ref: '#/x' } } } } },
    [{ list: [{ $ref: '#/x' }] }],
    [{ list: [1] }],
  ],
]

for (const [what, schema, takes, refuses] of PARTIAL) {
  test(`partialSchema() asks of a layer only what a layer can know: ${what}`, () => {
    const partial = partialSchema(closeSchema(schema))
    for (const value of takes) assert.ok(accepts(partial, value), `refuses ${JSON.stringify(value)}`)
    for (const value of refuses) assert.ok(!accepts(partial, value), `takes ${JSON.stringify(value)}`)
  })
}
