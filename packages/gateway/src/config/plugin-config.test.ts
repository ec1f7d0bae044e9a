import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planSettings } from './plan.ts'
import { checkConfigSchema, checkFailurePolicy, checkPluginConfig } from './plugin-config.ts'
import { loadText, manifestOf, readManifestText } from './test-support.ts'
import type { ConfigLayer, PluginSettings } from './types.ts'

/** The layers that `plugins:` and a route give the instance "sample", from JSON texts of their configs. */
async function layersOf(...configs: readonly string[]): Promise<ConfigLayer[]> {
  const [everywhere = '{}', here = '{}'] = configs
  const config = await loadText(
    `plugins:\n  sample: { config: ${everywhere} }\nroutes:\n  - { name: a, respond: {}, plugins: { sample: { config: ${here} } } }\n`,
    { env: { LIMIT: '7', WORD: 'seven' } },
  )
  const plan = planSettings(config)
  return [plan.globalPlugins, plan.routes[0]?.plugins].flatMap((overrides) => {
    const entry = overrides?.get('sample')
    return entry?.kind === 'settings' && entry.config !== undefined ? [entry.config] : []
  })
}

async function check(manifest: Readonly<Record<string, unknown>>, ...configs: readonly string[]) {
  return checkPluginConfig(await manifestOf(manifest), await layersOf(...configs))
}

async function problems(manifest: Readonly<Record<string, unknown>>, ...configs: readonly string[]) {
  const result = await check(manifest, ...configs)
  return result.ok ? assert.fail(JSON.stringify(result.config.value)) : result.problems
}

const SCHEMA = {
  type: 'object',
  required: ['limit'],
  properties: {
    limit: { type: 'integer', minimum: 1 },
    window: { type: 'string', format: 'duration', default: '1m' },
    size: { type: 'string', format: 'bytes' },
    nested: { type: 'object', required: ['a'], properties: { a: { type: 'number' }, b: { type: 'number' } } },
    rules: {
      type: 'array',
      items: { type: 'object', required: ['path'], properties: { path: { type: 'string' } } },
    },
  },
}

test('checkPluginConfig() names the layer, the place and the near key of an unknown key', async () => {
  const [problem, ...others] = await problems({ config_schema: SCHEMA }, '{ limit: 1 }', '{ windw: 1s }')
  assert.deepEqual(others, [])
  assert.equal(problem?.code, 'PLUGIN_CONFIG_INVALID')
  assert.equal(problem?.key, 'routes[0].plugins.sample.config.windw')
  assert.equal(problem?.nearest, 'window')
  assert.deepEqual([problem?.file, problem?.line], ['/etc/cardea.yaml', 4])
  assert.match(problem?.message ?? '', /\(from cardea\.yaml: routes\[0\]\.plugins\.sample\.config\)$/)
})

test('checkPluginConfig() checks a layer even where a higher one hides its value', async () => {
  const [problem, ...others] = await problems({ config_schema: SCHEMA }, '{ limit: x }', '{ limit: 1 }')
  assert.deepEqual(others, [])
  assert.equal(problem?.key, 'plugins.sample.config.limit')
})

test('checkPluginConfig() finds faults in the config of plugin.json itself', async () => {
  const [problem] = await problems({ config_schema: SCHEMA, config: { limit: 0 } })
  assert.equal(problem?.file, '/plugins/sample/plugin.json')
  assert.equal(problem?.key, 'config.limit')
})

test('checkPluginConfig() asks for required keys of the whole only, also in nested objects', async () => {
  const fine = await check(
    { config_schema: SCHEMA },
    '{ nested: { a: 1 } }',
    '{ limit: 1, nested: { b: 2 } }',
  )
  assert.ok(fine.ok)
  assert.deepEqual(fine.config.value, { nested: { a: 1, b: 2 }, limit: 1, window: '1m' })
  const keys = (await problems({ config_schema: SCHEMA }, '{ nested: { b: 1 } }')).map(({ key }) => key)
  assert.deepEqual(keys.sort(), ['plugins.sample.config.limit', 'plugins.sample.config.nested.a'])
})

test('checkPluginConfig() asks for required keys in lists, for lists are whole in every layer', async () => {
  const [problem] = await problems({ config_schema: SCHEMA }, '{ limit: 1, rules: [{}] }', '{ rules: [] }')
  assert.equal(problem?.key, 'plugins.sample.config.rules[0].path')
})

test('checkPluginConfig() knows durations and sizes', async () => {
  const found = await problems({ config_schema: SCHEMA }, '{ limit: 1, window: 60, size: 1 MB }')
  assert.deepEqual(
    found.map(({ key, expected }) => [key, expected.split(',')[0]]),
    [
      ['plugins.sample.config.window', 'a duration with its unit'],
      ['plugins.sample.config.size', 'a size with its unit'],
    ],
  )
})

test('checkPluginConfig() knows moments, and days that there are', async () => {
  const schema = { properties: { at: { type: 'string', format: 'date-time' } } }
  const days = ['2028-02-29T00:00:00Z', '2027-12-31t23:59:59.5+14:00', '2027-04-30T00:00:00-12:00']
  for (const at of days) assert.ok((await check({ config_schema: schema }, JSON.stringify({ at }))).ok, at)
  const others = ['2027-02-29T00:00:00Z', '2027-04-31T00:00:00+01:00', '2027-13-01T00:00:00Z', '2027-01-31']
  for (const at of others) {
    const [problem] = await problems({ config_schema: schema }, JSON.stringify({ at }))
    assert.match(problem?.expected ?? '', /^a date and time such as/, at)
  }
})

test('checkPluginConfig() resets with null and checks what is left', async () => {
  const result = await check(
    { config_schema: SCHEMA, config: { limit: 5, window: '1s' } },
    '{ window: null }',
  )
  assert.ok(result.ok)
  assert.deepEqual(result.config.value, { limit: 5, window: '1m' })
  const [problem] = await problems({ config_schema: SCHEMA, config: { limit: 5 } }, '{ limit: null }')
  assert.match(problem?.message ?? '', /is missing/)
})

test('checkPluginConfig() keeps the source of every value', async () => {
  const result = await check(
    { config_schema: SCHEMA, config: { limit: 5 } },
    '{ nested: { a: 1 } }',
    '{ nested: { b: 1 } }',
  )
  assert.ok(result.ok)
  assert.deepEqual(Object.fromEntries(result.config.sources), {
    '/limit': 'plugin.json of sample: config',
    '/nested/a': 'cardea.yaml: plugins.sample.config',
    '/nested/b': 'cardea.yaml: routes[0].plugins.sample.config',
    '/window': 'schema default',
  })
})

test('checkPluginConfig() coerces variables by the schema, and not what a person wrote', async () => {
  const result = await check({ config_schema: SCHEMA }, '{ limit: "${LIMIT}" }')
  assert.ok(result.ok)
  assert.equal(result.config.value.limit, 7)
  assert.equal((await problems({ config_schema: SCHEMA }, '{ limit: "7" }'))[0]?.given, '"7"')
  assert.equal((await problems({ config_schema: SCHEMA }, '{ limit: "${WORD}" }'))[0]?.given, '"${WORD}"')
})

test('checkPluginConfig() takes any config when there is no schema', async () => {
  const result = await check({ config: { a: { x: 1 } } }, '{ a: { y: [2] }, z: "60s" }')
  assert.ok(result.ok)
  assert.deepEqual(result.config.value, { a: { x: 1, y: [2] }, z: '60s' })
})

test('checkPluginConfig() blames plugin.json for a default that its schema refuses', async () => {
  const [problem] = await problems({ config_schema: { properties: { a: { type: 'string', default: 5 } } } })
  assert.equal(problem?.file, '/plugins/sample/plugin.json')
  assert.match(problem?.message ?? '', /refuses its own default of "a"/)
})

for (const [what, schema, at, said = /is not valid at/] of [
  [
    'an unknown type',
    { type: 'strin' },
    'config_schema.type',
    /"config_schema\.type": must be one of array, boolean, .*string\./,
  ],
  ['an unknown keyword', { properties: { a: { typ: 'string' } } }, 'config_schema'],
  [
    'an unknown format',
    { properties: { a: { format: 'colour' } } },
    'config_schema',
    /"colour" at "#\/properties\/a" is not known; known are duration, bytes/,
  ],
  ['a reference to nothing', { $ref: '#/$defs/absent' }, 'config_schema'],
  [
    'an older draft',
    { $schema: 'http://json-schema.org/draft-07/schema#' },
    'config_schema',
    /another dialect/,
  ],
  ['an asynchronous schema', { $async: true }, 'config_schema.$async'],
] as const) {
  test(`checkConfigSchema() refuses ${what}`, async () => {
    const result = await readManifestText(
      JSON.stringify({ name: 'a', version: '1.0.0', config_schema: schema }),
    )
    assert.ok(!result.ok)
    assert.equal(result.problems[0]?.code, 'PLUGIN_MANIFEST_INVALID')
    assert.equal(result.problems[0]?.key, at)
    assert.match(result.problems[0]?.message ?? '', said)
  })
}

test('checkPluginConfig() says of a schema that allows nothing that there is to be nothing', async () => {
  const [problem] = await problems({ config: { a: 1 }, config_schema: { properties: { a: false } } })
  assert.match(problem?.message ?? '', /"config.a" is 1, expected no value here/)
})

test('checkConfigSchema() is not fooled by the id of the meta-schema', async () => {
  const $id = 'https://json-schema.org/draft/2020-12/schema'
  assert.equal(checkConfigSchema(await manifestOf({ config_schema: { $id, type: 'object' } })), null)
  const result = await readManifestText('{ "name": "a", "version": "1.0.0", "config_schema": { "type": 5 } }')
  assert.ok(!result.ok)
})

const override = async (text: string): Promise<PluginSettings> => {
  const entry = planSettings(await loadText(`plugins: { sample: ${text} }`)).globalPlugins.get('sample')
  return entry?.kind === 'settings' ? entry : assert.fail()
}

test('checkFailurePolicy() refuses an override that opens a security plugin', async () => {
  const manifest = await manifestOf({ category: 'security' })
  const problem = checkFailurePolicy(manifest, await override('{ on_failure: open }'))
  assert.equal(problem?.key, 'plugins.sample.on_failure')
  assert.equal(problem?.line, 1)
  assert.match(problem?.message ?? '', /security/)
})

test('checkFailurePolicy() lets a security plugin answer with a fallback, and others be open', async () => {
  const open = await override('{ on_failure: open }')
  assert.equal(checkFailurePolicy(await manifestOf({ category: 'cache' }), open), null)
  const security = await manifestOf({ category: 'security' })
  assert.equal(checkFailurePolicy(security, await override('{ on_failure: { fallback: {} } }')), null)
  assert.equal(checkFailurePolicy(security, await override('{}')), null)
})
