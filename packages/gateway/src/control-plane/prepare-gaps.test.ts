import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { loadConfigFile } from '../config/load.ts'
import { stopBuildService } from './build.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { prepareGeneration } from './prepare.ts'
import { folderOf } from './test-support.ts'

/** What is told beside a plugin that fails: all that is wrong whatever becomes of it, and nothing that it may be the cause of. */

after(stopBuildService)

const CODE = `export const PluginMain = () => ({ name: 'x', handle: () => true })`
const BROKEN = 'export const PluginMain = ( => 1'
const SCHEMA = { type: 'object', properties: { size: { type: 'integer', maximum: 1 } } }
const manifest = (name: string, more: object = {}) => ({
  name,
  version: '1.0.0',
  config_schema: SCHEMA,
  ...more,
})
const plugin = (name: string, more: object = {}, code = CODE) => ({
  [`plugins/${name}/plugin.json`]: manifest(name, more),
  [`plugins/${name}/plugin.ts`]: code,
})
const configOf = (...plugins: readonly string[]): string =>
  ['routes: [{ name: all, respond: {} }]', 'plugins:', ...plugins.map((entry) => `  ${entry}`), ''].join('\n')

/** `CODE file:line key`, and the state of each folder of plugins/. */
async function prepare(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const base = await folderOf(t, files)
  const loaded = await loadConfigFile(join(base, 'cardea.yaml'), { env: {} })
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const lifecycle = new PluginLifecycle()
  const prepared = await prepareGeneration({
    config: loaded.config,
    number: 4,
    directories: { user: loaded.config.pluginsDirectory, builtIn: join(base, 'built-in') },
    lifecycle,
  })
  const states = lifecycle.plugins.map(({ folder, state }) => [
    relative(join(base, 'plugins'), folder),
    state.kind === 'failed' ? state.stage : state.kind,
  ])
  const problems = prepared.ok ? [] : prepared.problems
  return {
    told: problems.map(({ code, file, line, key }) =>
      `${code} ${relative(base, file)}:${line} ${key}`.trimEnd(),
    ),
    stages: problems.map(({ stage, plugin: name }) => `${name} ${stage}`),
    states: Object.fromEntries(states),
  }
}

test('prepareGeneration() tells what the config sets wrong for other plugins, and for the one that does not compile', async (t) => {
  const { told, stages, states } = await prepare(t, {
    'cardea.yaml': configOf(
      'limit: { config: { size: 2 } }',
      'other: { config: { size: 3 } }',
      'third: { plugin: othr }',
      'sound: { plugin: fine, config: { size: 1 } }',
    ),
    ...plugin('limit', {}, BROKEN),
    ...plugin('other'),
    ...plugin('fine'),
    ...plugin('needy', { dependencies: { gone: '*', limit: '^2.0.0', fine: '*' } }),
  })
  assert.deepEqual(told, [
    'PLUGIN_CONFIG_INVALID cardea.yaml:3 plugins.limit.config.size',
    'PLUGIN_CONFIG_INVALID cardea.yaml:4 plugins.other.config.size',
    'PLUGIN_NOT_FOUND cardea.yaml:5 plugins.third.plugin',
    'PLUGIN_BUILD_FAILED plugins/limit/plugin.ts:1',
    'PLUGIN_DEPENDENCY_MISSING plugins/needy/plugin.json:1 dependencies.gone',
    'PLUGIN_DEPENDENCY_CONFLICT plugins/needy/plugin.json:1 dependencies.limit',
  ])
  assert.deepEqual(stages, [
    'limit validate',
    'other validate',
    'null validate',
    'limit build',
    'needy validate',
    'needy validate',
  ])
  // What failed first is to be mended first; what nothing stands against waits for the others.
  assert.deepEqual(states, { limit: 'build', other: 'validate', fine: 'built', needy: 'validate' })
})

test('prepareGeneration() blames nobody for needing or naming a plugin that does not compile', async (t) => {
  const { told, states } = await prepare(t, {
    'cardea.yaml': configOf('second: { plugin: limit }', 'needy: {}'),
    ...plugin('limit', {}, BROKEN),
    ...plugin('needy', { dependencies: { limit: '^1.0.0' } }),
  })
  assert.deepEqual(told, ['PLUGIN_BUILD_FAILED plugins/limit/plugin.ts:1'])
  assert.deepEqual(states, { limit: 'build', needy: 'built' })
})

test('prepareGeneration() checks what is set for a plugin without its entry file, and what it needs', async (t) => {
  const { told } = await prepare(t, {
    'cardea.yaml': configOf('limit: { config: { size: 2 } }', 'needy: {}'),
    'plugins/limit/plugin.json': manifest('limit', { dependencies: { store: '^1.0.0', gone: '*' } }),
    ...plugin('needy', { dependencies: { limit: '*' } }),
    'built-in/store/plugin.json': manifest('store', { scope: 'route' }),
    'built-in/store/plugin.ts': CODE,
  })
  assert.deepEqual(told, [
    'PLUGIN_CONFIG_INVALID cardea.yaml:3 plugins.limit.config.size',
    'PLUGIN_ENTRY_MISSING plugins/limit:1',
    'PLUGIN_DEPENDENCY_MISSING plugins/limit/plugin.json:1 dependencies.gone',
  ])
})

for (const [what, text] of [
  ['does not hold', JSON.stringify(manifest('limit', { scope: 'everywhere' }))],
  ['cannot be parsed', '{ "name": "limit", "version": "1.0.0" "config": { "name": "inner" } }'],
] as const) {
  test(`prepareGeneration() says nothing of what is set for a plugin whose plugin.json ${what}, and all else`, async (t) => {
    const { told } = await prepare(t, {
      'cardea.yaml': configOf(
        'limit: { config: { size: 2 } }',
        'other: { config: { size: 3 } }',
        'third: { plugin: othr }',
      ),
      // Its name is what plugin.json says, not the folder's.
      'plugins/folder/plugin.json': text,
      'plugins/folder/plugin.ts': CODE,
      ...plugin('other', { dependencies: { limit: '^9.0.0' } }),
    })
    assert.deepEqual(told, [
      'PLUGIN_CONFIG_INVALID cardea.yaml:4 plugins.other.config.size',
      'PLUGIN_NOT_FOUND cardea.yaml:5 plugins.third.plugin',
      `PLUGIN_MANIFEST_INVALID plugins/folder/plugin.json:1${what === 'does not hold' ? ' scope' : ''}`,
    ])
  })
}

for (const [what, files, problem] of [
  [
    'whose plugin.json has no name',
    { 'plugins/x/plugin.json': { version: '1.0.0' }, 'plugins/x/plugin.ts': CODE },
    'PLUGIN_MANIFEST_INVALID plugins/x/plugin.json:1 name',
  ],
  [
    'whose plugin.json is cut off',
    { 'plugins/x/plugin.json': '{', 'plugins/x/plugin.ts': CODE },
    'PLUGIN_MANIFEST_INVALID plugins/x/plugin.json:1',
  ],
  ['without plugin.json', { 'plugins/x/plugin.ts': CODE }, 'PLUGIN_MANIFEST_INVALID plugins/x/plugin.json:1'],
] as const) {
  test(`prepareGeneration() takes every absent name for that of a plugin ${what}`, async (t) => {
    const { told } = await prepare(t, {
      'cardea.yaml': configOf('limit: {}', 'third: { plugin: othr }', 'other: { config: { size: 3 } }'),
      ...files,
      ...plugin('other', { dependencies: { limit: '*' } }),
    })
    assert.deepEqual(told, ['PLUGIN_CONFIG_INVALID cardea.yaml:5 plugins.other.config.size', problem])
  })
}

test('prepareGeneration() does not guess which of two plugins of a name is meant', async (t) => {
  const { told } = await prepare(t, {
    'cardea.yaml': configOf('limit: { config: { size: 2 } }', 'other: { config: { size: 3 } }'),
    ...plugin('limit'),
    'plugins/zero/plugin.json': manifest('limit'),
    'plugins/zero/plugin.ts': CODE,
    ...plugin('other'),
  })
  assert.deepEqual(told, [
    'PLUGIN_CONFIG_INVALID cardea.yaml:4 plugins.other.config.size',
    'PLUGIN_DUPLICATE plugins/zero/plugin.json:1 name',
  ])
})
