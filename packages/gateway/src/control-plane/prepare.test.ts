import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { loadConfigFile } from '../config/load.ts'
import { stopBuildService } from './build.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { prepareGeneration } from './prepare.ts'
import { folderOf } from './test-support.ts'

after(stopBuildService)

const PLUGIN = `export const PluginMain = () => ({ name: 'x', handle: () => true })`
const manifest = (name: string, more: object = {}) => ({ name, version: '1.2.3', ...more })
const CONFIG = `
upstreams: { api: { targets: [http://127.0.0.1:3000] } }
routes:
  - { name: api, path: /api/*, upstream: api, plugins: { limit: { config: { size: 2 } } } }
  - { name: rest, path: /*, upstream: api }
`

async function prepare(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const base = await folderOf(t, { 'cardea.yaml': CONFIG, ...files })
  const loaded = await loadConfigFile(join(base, 'cardea.yaml'), { env: {} })
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const directories = { user: loaded.config.pluginsDirectory, builtIn: join(base, 'built-in') }
  const lifecycle = new PluginLifecycle()
  const prepared = await prepareGeneration({ config: loaded.config, number: 4, directories, lifecycle })
  const states = Object.fromEntries(
    lifecycle.plugins.map(({ folder, state }) => [relative(base, folder), state]),
  )
  return { base, prepared, states }
}

async function problemsOf(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const { base, prepared } = await prepare(t, files)
  assert.ok(!prepared.ok)
  return prepared.problems.map(({ code, file, line, column }) => {
    return `${code} ${relative(base, file)}:${line}:${column}`
  })
}

test('prepareGeneration() reports all that discovery and verification find', async (t) => {
  const problems = await problemsOf(t, {
    'plugins/a/plugin.ts': PLUGIN,
    'plugins/b/plugin.json': manifest('b'),
    'plugins/c/plugin.json': '[]',
    'plugins/c/plugin.ts': 'not compiled yet: (',
  })
  assert.deepEqual(problems, [
    'PLUGIN_MANIFEST_INVALID plugins/a/plugin.json:1:1',
    'PLUGIN_ENTRY_MISSING plugins/b:1:1',
    'PLUGIN_MANIFEST_INVALID plugins/c/plugin.json:1:1',
  ])
})

test('prepareGeneration() reports a plugins directory that the config names and that is not there', async (t) => {
  const config = `routes: []\nplugins_dir: plugns\n`
  assert.deepEqual(await problemsOf(t, { 'cardea.yaml': config }), ['CONFIG_NOT_FOUND cardea.yaml:2:14'])
  const { prepared } = await prepare(t, { 'cardea.yaml': 'routes: []\n' })
  assert.ok(prepared.ok, 'none is named, and none need be there')
})

test('prepareGeneration() reports what does not compile, also if no route runs it', async (t) => {
  const problems = await problemsOf(t, {
    'plugins/limit/plugin.json': manifest('limit'),
    'plugins/limit/plugin.ts': 'const = 1',
    'plugins/unused/plugin.json': manifest('unused', { scope: 'route' }),
    'plugins/unused/plugin.ts': '\nawait 1',
    'plugins/off/plugin.json': manifest('off', { enabled: false }),
    'plugins/off/plugin.ts': 'not compiled: (',
  })
  assert.deepEqual(problems, [
    'PLUGIN_BUILD_FAILED plugins/limit/plugin.ts:1:7',
    'PLUGIN_BUILD_FAILED plugins/unused/plugin.ts:2:1',
  ])
})

test('prepareGeneration() reports what the config asks of plugins in vain', async (t) => {
  assert.deepEqual(await problemsOf(t, {}), ['PLUGIN_NOT_FOUND cardea.yaml:4:58'])
  const schema = { type: 'object', properties: { size: { type: 'integer', maximum: 1 } } }
  const problems = await problemsOf(t, {
    'plugins/limit/plugin.json': manifest('limit', { config_schema: schema, scope: 'route' }),
    'plugins/limit/plugin.ts': PLUGIN,
  })
  assert.deepEqual(problems, ['PLUGIN_CONFIG_INVALID cardea.yaml:4:83'])
})

test('prepareGeneration() takes every plugin as far as it goes, and reports the problems of all', async (t) => {
  const { prepared, states } = await prepare(t, {
    'plugins/a/plugin.ts': PLUGIN,
    'plugins/b/plugin.json': manifest('limit'),
    'plugins/b/plugin.ts': 'const = 1',
    'plugins/c/plugin.json': manifest('limit'),
    'plugins/c/plugin.ts': 'not looked at: (',
    'plugins/d/plugin.json': manifest('d'),
    'plugins/d/plugin.ts': PLUGIN,
  })
  assert.ok(!prepared.ok)
  assert.deepEqual(
    prepared.problems.map(({ code }) => code),
    ['PLUGIN_MANIFEST_INVALID', 'PLUGIN_BUILD_FAILED', 'PLUGIN_DUPLICATE'],
  )
  const shown = Object.entries(states).map(([folder, state]) => {
    return [folder, state.kind === 'failed' ? state.stage : state.kind]
  })
  assert.deepEqual(Object.fromEntries(shown), {
    'plugins/a': 'discover',
    'plugins/b': 'build',
    'plugins/c': 'verify',
    'plugins/d': 'built',
  })
})

test('prepareGeneration() tells the plugin that fails for its config from those that do not', async (t) => {
  const schema = { type: 'object', properties: { size: { type: 'integer', maximum: 1 } } }
  const { base, states } = await prepare(t, {
    'plugins/limit/plugin.json': manifest('limit', { config_schema: schema }),
    'plugins/limit/plugin.ts': PLUGIN,
    'plugins/other/plugin.json': manifest('other'),
    'plugins/other/plugin.ts': PLUGIN,
  })
  const failed = states['plugins/limit']
  assert.ok(failed?.kind === 'failed')
  assert.equal(failed.stage, 'validate')
  // The config of one route does not hold; that it holds on the other does not help.
  assert.deepEqual(
    failed.faults.map(({ message: _, ...fault }) => fault),
    [{ code: 'PLUGIN_CONFIG_INVALID', file: join(base, 'cardea.yaml'), line: 4, column: 83 }],
  )
  assert.deepEqual(states['plugins/other'], { kind: 'validated' })
})

test('prepareGeneration() knows a plugin that is disabled, by whichever file', async (t) => {
  const { prepared, states } = await prepare(t, {
    'cardea.yaml': `
plugins: { off-here: false, told: { priority: 1 } }
routes: [{ name: all, path: /*, respond: { status: 200 } }]
`,
    'plugins/off/plugin.json': manifest('off', { enabled: false }),
    'plugins/off/plugin.ts': 'not compiled: (',
    'plugins/off-here/plugin.json': manifest('off-here'),
    'plugins/off-here/plugin.ts': PLUGIN,
    'plugins/told/plugin.json': manifest('told', { enabled: false }),
    'plugins/told/plugin.ts': PLUGIN,
  })
  assert.ok(prepared.ok)
  assert.deepEqual(states, {
    'plugins/off': { kind: 'disabled', by: 'plugin.json' },
    'plugins/off-here': { kind: 'disabled', by: 'config' },
    'plugins/told': { kind: 'disabled', by: 'plugin.json' },
  })
})

test('prepareGeneration() makes a plan with the bundles that its instances need', async (t) => {
  const { base, prepared, states } = await prepare(t, {
    'plugins/hello/plugin.json': manifest('hello'),
    'plugins/hello/plugin.ts': PLUGIN,
    'plugins/unused/plugin.json': manifest('unused', { scope: 'route' }),
    'plugins/unused/plugin.ts': PLUGIN,
    'built-in/limit/plugin.json': manifest('limit', { scope: 'route', category: 'traffic' }),
    'built-in/limit/plugin.ts': PLUGIN,
    'built-in/broken/plugin.json': manifest('broken', { scope: 'route' }),
    'built-in/broken/plugin.ts': 'not compiled, for nothing names it: (',
  })
  assert.ok(prepared.ok, JSON.stringify(prepared))
  const { plan, chains, idle } = prepared
  assert.equal(plan.number, 4)
  assert.deepEqual(
    plan.upstreams.map(({ name }) => name),
    ['api'],
  )
  assert.deepEqual(
    chains.map(({ route, links }) => [
      route,
      links.map(({ instance, origin }) => `${origin} ${instance.name}`),
    ]),
    [
      ['api', ['built-in limit', 'user hello']],
      ['rest', ['user hello']],
    ],
  )
  assert.deepEqual(
    plan.routes.map(({ chain }) => chain),
    chains.map(({ links }) => links.map(({ instance }) => instance.id)),
  )
  assert.deepEqual(
    plan.bundles.map(({ entryFile }) => relative(base, entryFile)),
    ['built-in/limit/plugin.ts', 'plugins/hello/plugin.ts'],
  )
  assert.deepEqual(
    idle.map(({ plugin }) => plugin.manifest.name),
    ['broken', 'unused'],
  )
  assert.deepEqual(states, {
    'built-in/broken': { kind: 'verified' },
    'built-in/limit': { kind: 'validated' },
    'plugins/hello': { kind: 'validated' },
    'plugins/unused': { kind: 'built' },
  })
  // It travels to other processes.
  assert.deepEqual(structuredClone(plan), plan)
})

test('prepareGeneration() builds a built-in that no route names when a plugin needs it', async (t) => {
  const { prepared, states } = await prepare(t, {
    'plugins/limit/plugin.json': manifest('limit', { dependencies: { store: '^1.0.0' } }),
    'plugins/limit/plugin.ts': PLUGIN,
    'built-in/store/plugin.json': manifest('store', { scope: 'route' }),
    'built-in/store/plugin.ts': PLUGIN,
    'built-in/other/plugin.json': manifest('other', { scope: 'route' }),
    'built-in/other/plugin.ts': 'not compiled: (',
  })
  assert.ok(prepared.ok, JSON.stringify(prepared))
  const { instances, bundles } = prepared.plan
  assert.deepEqual(instances.map(({ name }) => name).slice(0, 1), ['store'])
  const used = new Set(instances.map(({ codeHash }) => codeHash))
  assert.deepEqual(new Set(bundles.map(({ codeHash }) => codeHash)), used)
  assert.deepEqual(states['built-in/store'], { kind: 'validated' })
})

test('prepareGeneration() reports what a plugin needs and cannot have, at the plugin that needs it', async (t) => {
  const { prepared, states, base } = await prepare(t, {
    'plugins/limit/plugin.json': manifest('limit', { dependencies: { auth: '^2.0.0' } }),
    'plugins/limit/plugin.ts': PLUGIN,
    'plugins/auth/plugin.json': manifest('auth'),
    'plugins/auth/plugin.ts': PLUGIN,
  })
  assert.ok(!prepared.ok)
  assert.deepEqual(
    prepared.problems.map(({ code, stage, file }) => [code, stage, relative(base, file)]),
    [['PLUGIN_DEPENDENCY_CONFLICT', 'validate', 'plugins/limit/plugin.json']],
  )
  assert.equal(states['plugins/limit']?.kind, 'failed')
  assert.equal(states['plugins/auth']?.kind, 'validated')
})
