import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shownConfig } from './shown-config.ts'

test('shownConfig() hides what no file holds literally, in arrays and objects too, numbers included', () => {
  const config = { token: 'hunter2', pin: 4711, list: ['a', 'secret'], deep: { open: true, key: 'x' } }
  const written = [
    { token: '${TOKEN}', pin: '${PIN}', list: ['a', '${S}'], deep: { open: true, key: '${K}' } },
  ]
  assert.deepEqual(shownConfig(config, new Map(), written, null), {
    token: '${…}',
    pin: '${…}',
    list: ['a', '${…}'],
    deep: { open: true, key: '${…}' },
  })
})

test('shownConfig() shows defaults of the schema', () => {
  assert.deepEqual(shownConfig({ a: 1 }, new Map([['/a', 'schema default']]), [], null), { a: 1 })
})

test('shownConfig() hides what the schema calls a secret, though a file has it literally', () => {
  const schema = {
    properties: {
      pepper: { type: 'string', writeOnly: true },
      keys: { additionalProperties: { $ref: '#/$defs/key' } },
      list: { items: { anyOf: [{ type: 'object', properties: { a: { writeOnly: true } } }, {}] } },
      whole: { writeOnly: true },
    },
    patternProperties: { '^s_': { allOf: [{ writeOnly: true }] } },
    $defs: { key: { properties: { hash: { writeOnly: true }, next: { $ref: '#/$defs/key' } } } },
  }
  const config = {
    pepper: 'hunter2',
    keys: { a: { hash: 'hunter2', name: 'x', next: { hash: 'hunter2' } } },
    list: [{ a: 'hunter2', b: 'x' }],
    whole: { inside: 'hunter2' },
    s_1: 'hunter2',
    open: 'x',
  }
  const shown = shownConfig(config, new Map(), [config], schema)
  assert.deepEqual(shown, {
    pepper: '${…}',
    keys: { a: { hash: '${…}', name: 'x', next: { hash: '${…}' } } },
    list: [{ a: '${…}', b: 'x' }],
    whole: '${…}',
    s_1: '${…}',
    open: 'x',
  })
})
