import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mergeConfig } from './merge.ts'
import type { JsonSchema } from './types.ts'

const layers = (...values: readonly unknown[]) =>
  values.map((value, index) => ({ source: `layer ${index}`, value }))
const merged = (schema: JsonSchema | null, ...values: readonly unknown[]) => {
  const { value, sources } = mergeConfig(layers(...values), schema)
  return { value, sources: Object.fromEntries(sources) }
}

test('mergeConfig() lets no layer reach a prototype', () => {
  const evil = JSON.parse(
    '{ "__proto__": { "polluted": 1 }, "constructor": { "prototype": { "polluted": 1 } } }',
  ) as unknown
  const { value } = merged(null, {}, evil, evil)
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  assert.equal(Object.getPrototypeOf(value), Object.prototype)
  assert.deepEqual(Object.keys(value), ['constructor'])
})

test('mergeConfig() takes layers that are no objects for empty', () => {
  assert.deepEqual(merged(null, { a: 1 }, 'x', null, [1], undefined).value, { a: 1 })
})

test('mergeConfig() merges objects deeply and replaces lists, the highest layer winning', () => {
  const { value, sources } = merged(
    null,
    { a: { x: 1, y: [1, 2], z: 'low' }, b: 1 },
    { a: { y: [3], z: 'high' } },
    { c: {} },
  )
  assert.deepEqual(value, { a: { x: 1, y: [3], z: 'high' }, b: 1, c: {} })
  assert.deepEqual(sources, {
    '/a/x': 'layer 0',
    '/a/y': 'layer 1',
    '/a/z': 'layer 1',
    '/b': 'layer 0',
    '/c': 'layer 2',
  })
})

test('mergeConfig() resets with null: to the default of the schema, or to nothing', () => {
  const schema = { properties: { a: { default: 'd' }, b: {}, c: { default: 'unused' } } }
  const { value, sources } = merged(schema, { a: 'x', b: 'y', c: 'z' }, { a: null, b: null })
  assert.deepEqual(value, { c: 'z', a: 'd' })
  assert.deepEqual(sources, { '/a': 'schema default', '/c': 'layer 0' })
})

test('mergeConfig() lets a higher layer set again what a lower one reset, without what was there before', () => {
  const { value, sources } = merged(null, { a: { x: 1 } }, { a: null }, { a: { y: 2 } })
  assert.deepEqual(value, { a: { y: 2 } })
  assert.deepEqual(sources, { '/a/y': 'layer 2' })
})

test('mergeConfig() resets single members, and keeps null inside of lists', () => {
  const { value } = merged(null, { a: { x: 1, y: 2 } }, { a: { x: null }, list: [null, { z: null }] })
  assert.deepEqual(value, { a: { y: 2 }, list: [null, { z: null }] })
})

test('mergeConfig() replaces an object by a scalar and a scalar by an object', () => {
  assert.deepEqual(merged(null, { a: { x: 1 }, b: 1 }, { a: 2, b: { y: 1 } }).value, { a: 2, b: { y: 1 } })
})

test('mergeConfig() fills defaults into objects that are there, in lists and behind references', () => {
  const schema = {
    properties: {
      here: { properties: { a: { default: 1 } } },
      absent: { properties: { a: { default: 1 } } },
      made: { default: {}, properties: { a: { default: { deep: true } } } },
      list: { items: { $ref: '#/$defs/item' } },
      pair: { prefixItems: [{ properties: { a: { default: 1 } } }] },
    },
    allOf: [{ properties: { all: { default: 2 } } }],
    anyOf: [{ properties: { open: { default: 3 } } }, { required: ['x'] }],
    $defs: { item: { properties: { port: { default: 80 } } } },
  }
  const { value, sources } = merged(schema, { here: {}, list: [{}, { port: 1 }, 5], pair: [{}, {}] })
  assert.deepEqual(value, {
    here: { a: 1 },
    list: [{ port: 80 }, { port: 1 }, 5],
    pair: [{ a: 1 }, {}],
    made: { a: { deep: true } },
    all: 2,
  })
  assert.deepEqual(sources, {
    '/here/a': 'schema default',
    '/list': 'layer 0',
    '/pair': 'layer 0',
    '/made/a/deep': 'schema default',
    '/all': 'schema default',
  })
})

test('mergeConfig() ends with a schema whose defaults contain themselves', () => {
  const schema = { $ref: '#', properties: { child: { $ref: '#', default: {} } } }
  assert.ok('child' in merged(schema, {}).value)
})

test('mergeConfig() never hands out what the schema or a layer holds', () => {
  const schema = { properties: { list: { default: [1] } } }
  const layer = { own: [1], object: { x: [1] } }
  const { value } = merged(schema, layer)
  ;(value.list as number[]).push(2)
  ;(value.own as number[]).push(2)
  ;(value.object as { x: number[] }).x.push(2)
  assert.deepEqual([schema.properties.list.default, layer], [[1], { own: [1], object: { x: [1] } }])
})

test('mergeConfig() names a layer for every leaf, and the leaf is that of the layer', () => {
  const tree = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.integer(),
      fc.constant(null),
      fc.array(fc.integer()),
      tie('object'),
    ),
    object: fc.dictionary(fc.constantFrom('a', 'b', 'c/d', 'e~f'), tie('value'), { maxKeys: 3 }),
  })).object
  fc.assert(
    fc.property(fc.array(tree, { minLength: 1, maxLength: 4 }), (values) => {
      const { value, sources } = mergeConfig(layers(...values), null)
      assert.ok(!JSON.stringify(value).includes('null'))
      for (const [pointer, source] of sources) {
        const layer = values[Number(source.split(' ')[1])]
        if (pointer === '') continue
        const path = pointer
          .slice(1)
          .split('/')
          .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
        const read = (root: unknown) => path.reduce((at, key) => (at as Record<string, unknown>)[key], root)
        if (JSON.stringify(read(value)) !== '{}') assert.deepEqual(read(layer), read(value))
      }
    }),
  )
})
