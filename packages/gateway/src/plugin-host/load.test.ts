import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { GatewayError } from '../base/errors.ts'
import type { BundlePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { entryPointOf, type LoadedBundle, loadBundle } from './load.ts'
import { bundleOf } from './test-support.ts'

after(() => esbuild.stop())

const load = (plan: BundlePlan): LoadedBundle => loadBundle(plan, 'sample')

function exported(source: string): Record<string, (...values: unknown[]) => unknown> {
  return load(bundleOf(source)).exports as Record<string, (...values: unknown[]) => unknown>
}

test('loadBundle() reports a throw at the top level with the line of the source', () => {
  const bundle = bundleOf(
    `const greeting: string = 'hi'\n\ninterface Unused { a: string }\nthrow new Error(greeting)`,
  )
  assert.throws(
    () => load(bundle),
    (error) => {
      assert.ok(error instanceof GatewayError && error.code === 'PLUGIN_START_FAILED')
      assert.match(error.message, /^Cannot load plugin "sample": hi$/)
      assert.ok(error.cause instanceof Error)
      assert.match(error.cause.stack ?? '', /at .*\/srv\/plugins\/sample\/plugin\.ts:4:7\b/)
      return true
    },
  )
})

test('loadBundle() reports text that does not compile', () => {
  const bundle = { ...bundleOf(''), code: 'const = 1' }
  assert.throws(() => load(bundle), { code: 'PLUGIN_START_FAILED', message: /Unexpected token/ })
})

test('loadBundle() reports a thrown value that is no error', () => {
  assert.throws(() => load(bundleOf(`throw null`)), {
    code: 'PLUGIN_START_FAILED',
    message: /a thrown null$/,
  })
})

test('require() of a bundle refuses what was not bundled', async () => {
  const { load, late } = exported(`
    declare const require: (name: string) => unknown
    export const load = (name: string) => require(name)
    export const late = (name: string) => import(name)`)
  assert.throws(() => load?.('left-pad'), /^Error: Cannot load "left-pad" at run time/)
  assert.throws(() => load?.('/etc/passwd'), /Cannot load "\/etc\/passwd" at run time/)
  await assert.rejects(async () => late?.('left-pad'), /Cannot load "left-pad" at run time/)
})

test('import() in text that the bundler did not see is refused', async () => {
  const { sneak } = exported(`export const sneak = () => (0, eval)('import("node:fs")')`)
  await assert.rejects(async () => sneak?.(), { code: 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING' })
})

test('require() of a bundle gives Node its modules and the contract', async () => {
  const { load, late } = exported(`
    declare const require: (name: string) => unknown
    export const load = (name: string) => require(name)
    export const late = () => import('node:path')`)
  assert.equal(load?.('node:path'), await import('node:path').then((path) => path.default))
  assert.equal(load?.('path'), load?.('node:path'))
  assert.equal(load?.('@cardea/sdk'), await import('@cardea/sdk'))
  const path = await late?.()
  assert.ok(typeof path === 'object' && path !== null && 'join' in path)
})

test('loadBundle() gives the module its place', () => {
  const { where } = exported(`export const where = () => [__dirname, __filename, import.meta.url]`)
  assert.deepEqual(where?.(), [
    '/srv/plugins/sample',
    '/srv/plugins/sample/plugin.ts',
    'file:///srv/plugins/sample/plugin.ts',
  ])
})

test('mapStack() points frames of the bundle into plugin.ts and leaves others alone', () => {
  const bundle = load(
    bundleOf(`type A = string\n\n\nexport function fail(a: A): never {\n  throw new TypeError(a)\n}`),
  )
  const { fail } = bundle.exports as { fail(a: string): never }
  try {
    fail('no')
  } catch (error) {
    assert.ok(error instanceof TypeError)
    const stack = bundle.mapStack(error)
    assert.match(stack, /^TypeError: no\n {4}at fail \(\/srv\/plugins\/sample\/plugin\.ts:5:9\)\n/)
    assert.match(stack, /load\.test\.ts:\d+:\d+/)
    return
  }
  assert.fail('fail() returned')
})

test('frameOf() shows the line as it was compiled that the topmost frame of the plugin points to', () => {
  const bundle = load(
    bundleOf(`type A = string\n\nexport function fail(a: A): never {\n  throw new TypeError(a)\n}`),
  )
  const { fail } = bundle.exports as { fail(a: string): never }
  const thrown = (() => {
    try {
      return fail('no')
    } catch (error) {
      return error
    }
  })()
  assert.ok(thrown instanceof TypeError)
  const stack = bundle.mapStack(thrown)
  assert.equal(bundle.frameOf(stack), '4 |   throw new TypeError(a)\n  |         ^')
  const quoting = `Error: at ${stack.split('\n')[1]}\n    at other (/srv/plugins/other/plugin.ts:1:1)`
  assert.equal(bundle.frameOf(quoting), null)
  assert.equal(bundle.frameOf(stack.replaceAll(/:\d+:\d+/g, ':99:1')), null)
})

test('frameOf() shows nothing when the source map is broken, or has no text of the file', () => {
  const plan = bundleOf(`export const fail = () => new Error('x')`)
  const { sourcesContent: _, ...map } = JSON.parse(plan.sourceMap)
  const stack = 'Error: x\n    at fail (/srv/plugins/sample/plugin.ts:1:27)'
  assert.notEqual(load(plan).frameOf(stack), null)
  for (const sourceMap of ['{', JSON.stringify(map)]) {
    assert.equal(load({ ...plan, sourceMap }).frameOf(stack), null)
  }
})

test('mapStack() answers errors whose stack is gone or cannot be read', () => {
  const bundle = load(bundleOf(''))
  const bare = new Error('bare')
  Reflect.deleteProperty(bare, 'stack')
  const hostile = Object.defineProperty(new Error('hostile'), 'stack', {
    get() {
      throw new Error('no stack for you')
    },
  })
  assert.equal(bundle.mapStack(bare), 'Error: bare')
  assert.equal(bundle.mapStack(hostile), 'an error whose stack cannot be read')
})

test('mapStack() leaves the stack as it is when the source map is broken', () => {
  const bundle = load({ ...bundleOf(`export const fail = () => new Error('x')`), sourceMap: '{' })
  const { fail } = bundle.exports as { fail(): Error }
  const error = fail()
  assert.equal(bundle.mapStack(error), error.stack)
})

test('entryPointOf() names the exports that are there', () => {
  const bundle = load(bundleOf(`export const pluginMain = () => {}\nexport const VERSION = '1'`))
  assert.throws(() => entryPointOf(bundle, instancePlan()), {
    code: 'PLUGIN_EXPORT_MISSING',
    plugin: 'sample',
    message:
      /PluginMain is not exported by .*plugin\.ts; it exports (pluginMain, VERSION|VERSION, pluginMain)\./,
  })
  assert.throws(() => entryPointOf(bundle, instancePlan({ entryPoint: 'VERSION' })), {
    code: 'PLUGIN_EXPORT_MISSING',
    message: /VERSION is exported as string by/,
  })
})

test('entryPointOf() does not take what an object inherits, nor exports that are no object', () => {
  const inherited = load(bundleOf(''))
  assert.throws(() => entryPointOf(inherited, instancePlan({ entryPoint: 'toString' })), /it exports nothing/)
  const scalar = load({ ...bundleOf(''), code: 'module.exports = 1' })
  assert.throws(() => entryPointOf(scalar, instancePlan()), { code: 'PLUGIN_EXPORT_MISSING' })
})

test('entryPointOf() finds functions of ES modules and of CommonJS', () => {
  const typed = load(bundleOf(`export const PluginMain = () => 1`))
  assert.equal((entryPointOf(typed, instancePlan()) as () => unknown)(), 1)
  const common = load({ ...bundleOf(''), code: 'exports.PluginMain = () => 2' })
  assert.equal((entryPointOf(common, instancePlan()) as () => unknown)(), 2)
})
