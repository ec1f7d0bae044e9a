import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { GatewayError } from '../base/errors.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { failedByThrow } from './change-result.ts'
import { folderOf } from './test-support.ts'

const CODE = 'PLUGIN_START_FAILED'

/** What a change says of a plugin that was compiled from these texts, while its folder holds others. */
async function failed(t: TestContext, texts: Readonly<Record<string, string | null>>, stack = '') {
  const folder = await folderOf(t, { 'plugin.ts': 'what stands there now\n', 'lib.ts': 'and there\n' })
  const sourceMap = { sources: Object.keys(texts), sourcesContent: Object.values(texts) }
  const plan = {
    instances: [{ name: 'my-one', plugin: 'one', codeHash: 'one', entryPoint: 'PluginMain' }],
    bundles: [
      {
        codeHash: 'one',
        sourceMap: texts['plugin.ts'] === undefined ? '{' : JSON.stringify(sourceMap),
        entryFile: join(folder, 'plugin.ts'),
      },
    ],
  } as unknown as GenerationPlan
  const cause = Object.assign(new Error('no'), { stack: `Error: no\n${stack.replaceAll('~', folder)}` })
  const thrown = new GatewayError(CODE, 'Cannot start', { plugin: 'my-one', cause })
  const [problem] = failedByThrow('trial', plan, thrown).problems
  const { file = '', line, column, frame } = problem ?? {}
  return { place: `${file.slice(folder.length + 1)}:${line}:${column}`, frame }
}

test('a plugin that fails to start is shown as it was compiled, whatever stands in its files', async (t) => {
  assert.deepEqual(
    await failed(t, { 'plugin.ts': 'first\n  throw no\n' }, '    at PluginMain (~/plugin.ts:2:3)'),
    { place: 'plugin.ts:2:3', frame: '2 |   throw no\n  |   ^' },
  )
})

test('a plugin whose fault has no line is shown by its entry file as it was compiled', async (t) => {
  assert.deepEqual(await failed(t, { 'plugin.ts': 'first\n' }), {
    place: 'plugin.ts:1:1',
    frame: '1 | first\n  | ^',
  })
})

test('a plugin whose fault has no line is shown where it exports its entry point', async (t) => {
  for (const before of ['export const ', 'export function ', 'export async function ', 'export let ']) {
    const text = `import PluginMainly from 'x'\n// export PluginMain\n${before}PluginMain`
    const { place } = await failed(t, { 'plugin.ts': `${text} = () => {}\n` })
    assert.equal(place, `plugin.ts:3:${before.length + 1}`)
  }
  assert.equal(
    (await failed(t, { 'plugin.ts': '\nexport function PluginMainly() {}' })).place,
    'plugin.ts:1:1',
  )
})

test('a plugin that fails in a library of its folder is shown where it called that', async (t) => {
  const stack = '    at parse (~/node_modules/dep/index.js:9:9)\n    at PluginMain (~/plugin.ts:1:7)'
  assert.deepEqual(
    await failed(t, { 'node_modules/dep/index.js': null, 'plugin.ts': 'const a = dep()' }, stack),
    { place: 'plugin.ts:1:7', frame: '1 | const a = dep()\n  |       ^' },
  )
})

test('a plugin whose text is not kept is shown without a frame, not by what stands in its files', async (t) => {
  const stack = '    at PluginMain (~/lib.ts:1:1)'
  const place = 'lib.ts:1:1'
  assert.deepEqual(await failed(t, { 'plugin.ts': null, 'lib.ts': null }, stack), { place, frame: null })
  assert.deepEqual(await failed(t, {}, stack), { place, frame: null })
})
