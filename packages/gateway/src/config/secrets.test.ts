import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planSettings } from './plan.ts'
import { checkPluginConfig } from './plugin-config.ts'
import { renderProblems } from './render-problems.ts'
import { loadText, manifestOf, problemsOf } from './test-support.ts'

const SECRET = 'hunter2-Über:secret'
const env = { SECRET }

/** Every place whose check quotes or compares what it is given. */
const PLACES = [
  '"$schema": [ "${SECRET}" ]',
  'listen: "${SECRET}"',
  'listen: [{ port: "${SECRET}" }]',
  'workers: "${SECRET}"',
  'log: { level: "x${SECRET}" }',
  'half_close: "${SECRET}"',
  'via: "a ${SECRET}"',
  'limits: { head_bytes: "${SECRET}" }',
  'timeouts: { head: "${SECRET}" }',
  'trusted_proxies: ["${SECRET}"]',
  'trusted_proxies: ["${SECRET}", "${SECRET}"]',
  'plugins: { a: "${SECRET}" }',
  'plugins: { a: { on_failure: "${SECRET}" } }',
  'plugins: { a: { plugin: "${SECRET}" } }',
  'plugins: { a: { nfig: { key: "${SECRET}" } } }',
  'upstreams: { a: { targets: ["${SECRET}"] } }',
  'upstreams: { a: { targets: ["http://x:${SECRET}@a"] } }',
  'upstreams: { a: { targets: ["http://a/${SECRET}"] } }',
  'upstreams: { a: { targets: ["https://a"], tls: { ca: "${SECRET}" } } }',
  'upstreams: { a: { targets: ["https://a"], tls: { ca: "-----BEGIN CERTIFICATE-----${SECRET}" } } }',
  'routes: [{ name: "${SECRET}", respond: {} }]',
  'routes: [{ name: a, upstream: "${SECRET}" }]',
  'routes: [{ name: a, host: "${SECRET}", respond: {} }]',
  'routes: [{ name: a, path: "/a/:${SECRET}", respond: {} }]',
  'routes: [{ name: a, path: "/a/%41${SECRET}", respond: {} }]',
  'routes: [{ name: a, redirect: { to: "/x/${SECRET}" } }]',
  'routes: [{ name: a, redirect: { to: "/:hunter2${SECRET}" } }]',
  'routes: [{ name: a, respond: { headers: { x: "${SECRET}\\n" } } }]',
  'routes: [{ name: a, respond: { status: "${SECRET}" } }]',
  'routes: [{ name: a, respond: {}, strip_prefix: "${SECRET}" }]',
]

for (const text of PLACES) {
  test(`loadConfigFile() never tells what a variable stands for: ${text}`, async () => {
    const problems = await problemsOf(text, { env })
    for (const shown of [JSON.stringify(problems), renderProblems(problems, { textOf: () => text })]) {
      for (const part of ['hunter2-', 'Über', 'xn--', ':secret']) assert.ok(!shown.includes(part), shown)
    }
  })
}

test('checkPluginConfig() never tells what a variable stands for', async () => {
  const config = await loadText(
    'plugins: { sample: { config: { mode: "${SECRET}", list: ["${SECRET}"] } } }',
    { env },
  )
  const entry = planSettings(config).globalPlugins.get('sample')
  const manifest = await manifestOf({
    config_schema: {
      properties: { mode: { enum: ['hunter'] }, list: { type: 'array', items: { type: 'integer' } } },
      minProperties: 3,
    },
  })
  assert.ok(entry?.kind === 'settings' && entry.config !== undefined)
  const result = checkPluginConfig(manifest, [entry.config])
  assert.ok(!result.ok)
  assert.equal(result.problems.length, 3)
  assert.ok(!JSON.stringify(result.problems).includes('hunter2'), JSON.stringify(result.problems))
})

test('checkPluginConfig() and its excerpts never tell what the schema calls a secret', async () => {
  const text = 'plugins: { sample: { config: { pin: "hunter2", deep: { keys: ["hunter2"] } } } }'
  const entry = planSettings(await loadText(text)).globalPlugins.get('sample')
  const manifest = await manifestOf({
    config_schema: {
      properties: {
        pin: { type: 'string', minLength: 20, writeOnly: true },
        deep: { properties: { keys: { writeOnly: true, items: { enum: ['hunter'] } } } },
      },
    },
  })
  assert.ok(entry?.kind === 'settings' && entry.config !== undefined)
  const result = checkPluginConfig(manifest, [entry.config])
  assert.ok(!result.ok)
  assert.equal(result.problems.length, 2)
  const all = renderProblems(result.problems, { textOf: () => text })
  assert.ok(!all.includes('hunter2'), all)
  const [pin] = result.problems
  assert.equal(pin?.given, '(hidden)')
  const shown = renderProblems([result.problems[0] ?? assert.fail()], { textOf: () => text })
  assert.ok(shown.includes('config: { pin: …'), shown)
  assert.ok(!`${JSON.stringify(result.problems)}${shown}`.includes('hunter2'), shown)
})

test('checkPluginConfig() shows no secret beside a mistake, under a misspelt name, or in what has the wrong form', async () => {
  const manifest = await manifestOf({
    config_schema: {
      properties: {
        pass: { type: 'string', writeOnly: true },
        size: { type: 'integer' },
        deep: { type: 'object', maxProperties: 1, properties: { key: { writeOnly: true }, a: {} } },
      },
    },
  })
  for (const [settings, excerpt] of [
    ['pass: "hunter2", size: big', null],
    ['size: big, pass: "hunter2"', 'plugins: { sample: { config: { size: big, pass: …'],
    ['pas: "hunter2"', 'plugins: { sample: { config: { pas: …'],
    ['pwd: "hunter2", size: 1', 'plugins: { sample: { config: { pwd: …'],
    ['deep: { a: 1, key: "hunter2" }', 'plugins: { sample: { config: { deep: …'],
  ] as const) {
    const text = `plugins: { sample: { config: { ${settings} } } }`
    const entry = planSettings(await loadText(text)).globalPlugins.get('sample')
    assert.ok(entry?.kind === 'settings' && entry.config !== undefined)
    const result = checkPluginConfig(manifest, [entry.config])
    assert.ok(!result.ok)
    const shown = renderProblems(result.problems, { textOf: () => text })
    assert.ok(!`${JSON.stringify(result.problems)}${shown}`.includes('hunter2'), shown)
    if (excerpt === null) assert.ok(!shown.includes(' | '), shown)
    else assert.ok(shown.includes(`  1 | ${excerpt}\n`), shown)
  }
})

test('loadConfigFile() shows no password beside a mistake', async () => {
  const text =
    '{ listen: [{ port: 0 }, { port: 1 }, { port: 1 }], log: { levl: info }, state: { redis: "redis://:hunter2@a:1" } }'
  const problems = await problemsOf(text)
  assert.equal(problems.length, 2)
  const shown = renderProblems(problems, { textOf: () => text })
  assert.ok(shown.includes('levl: info') && !shown.includes('hunter2'), shown)
})
