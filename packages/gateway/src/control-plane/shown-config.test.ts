import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shownConfig } from './shown-config.ts'

test('shownConfig() hides what no file holds literally, in arrays and objects too, numbers included', () => {
  const config = { token: 'hunter2', pin: 4711, list: ['a', 'secret'], deep: { open: true, key: 'x' } }
  const written = [
    { token: '${TOKEN}', pin: '${PIN}', list: ['a', '${S}'], deep: { open: true, key: '${K}' } },
  ]
  assert.deepEqual(shownConfig(config, new Map(), written), {
    token: '${…}',
    pin: '${…}',
    list: ['a', '${…}'],
    deep: { open: true, key: '${…}' },
  })
})

test('shownConfig() shows defaults of the schema', () => {
  assert.deepEqual(shownConfig({ a: 1 }, new Map([['/a', 'schema default']]), []), { a: 1 })
})
