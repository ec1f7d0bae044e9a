import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { stopBuildService } from './build.ts'
import { BuildCache } from './build-cache.ts'
import { Fingerprints } from './store/fingerprint.ts'
import { folderOf, verifiedPlugin, writeFiles } from './test-support.ts'

after(stopBuildService)

async function cacheOf(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = await folderOf(t, files)
  const cache = new BuildCache(new Fingerprints())
  const plugin = verifiedPlugin(join(root, 'a'), { name: 'a' })
  const build = async () => {
    const { built, problems } = await cache.build([plugin])
    return { code: built[0]?.bundle, problems: problems.length }
  }
  return { root, build, cache }
}

test('BuildCache builds again what changed, also when only a file that it imports did', async (t) => {
  const { root, build } = await cacheOf(t, {
    'a/plugin.ts': `export { PluginMain } from './part.ts'`,
    'a/part.ts': 'export const PluginMain = () => 1',
  })
  const first = await build()
  assert.equal((await build()).code, first.code, 'the very same bundle')
  await writeFiles(root, { 'a/part.ts': 'export const PluginMain = () => 2' })
  const second = await build()
  assert.notEqual(second.code?.codeHash, first.code?.codeHash)
})

test('BuildCache builds again when npm changed a library', async (t) => {
  const { root, build } = await cacheOf(t, {
    'a/plugin.ts': `import { one } from 'lib'; export const PluginMain = () => one`,
    'a/node_modules/lib/package.json': '{ "name": "lib", "main": "index.js" }',
    'a/node_modules/lib/index.js': 'exports.one = 1',
  })
  const first = await build()
  await writeFiles(root, { 'a/node_modules/lib/index.js': 'exports.one = 1000' })
  assert.notEqual((await build()).code?.codeHash, first.code?.codeHash)
})

test('BuildCache knows what files gave that it has built, until they or a library are others', async (t) => {
  const { root, build, cache } = await cacheOf(t, {
    'a/plugin.ts': `import { one } from 'lib'; export const PluginMain = () => one`,
    'a/node_modules/lib/package.json': '{ "name": "lib", "main": "index.js" }',
    'a/node_modules/lib/index.js': 'exports.one = 1',
  })
  const folder = join(root, 'a')
  assert.equal(await cache.contentOf(folder, cache.fingerprintOf(folder)), null)
  await build()
  const fingerprint = cache.fingerprintOf(folder)
  assert.match((await cache.contentOf(folder, fingerprint)) ?? '', /^[0-9a-f]{64}$/)
  assert.equal(await cache.contentOf(folder, 'another'), null)
  await writeFiles(root, { 'a/node_modules/lib/index.js': 'exports.one = 1000' })
  assert.equal(await cache.contentOf(folder, fingerprint), null)
})

test('BuildCache keeps nothing of a build that failed', async (t) => {
  const { root, build } = await cacheOf(t, { 'a/plugin.ts': 'export const PluginMain = ( => 1' })
  assert.deepEqual(await build(), { code: undefined, problems: 1 })
  assert.deepEqual(await build(), { code: undefined, problems: 1 })
  await writeFiles(root, { 'a/plugin.ts': 'export const PluginMain = () => 1' })
  assert.equal((await build()).problems, 0)
})
