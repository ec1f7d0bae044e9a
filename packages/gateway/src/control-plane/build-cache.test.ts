import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { constants } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
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

test('BuildCache gives up a build that nobody needs any more, and keeps what was built by then', async (t) => {
  const names = Array.from({ length: PLUGIN_LIMITS.buildsAtOnceMax }, (_, index) => `p${index}`)
  const sound = names.map((name) => [`${name}/plugin.ts`, 'export const PluginMain = 1'])
  const root = await folderOf(t, {
    ...Object.fromEntries(sound),
    'slow/plugin.ts': `import { one } from 'lib'; export const PluginMain = one`,
    'slow/node_modules/lib/package.json': '{ "name": "lib", "main": "index.js" }',
  })
  const pipe = join(root, 'slow/node_modules/lib/index.js')
  execFileSync('mkfifo', [pipe])
  const fingerprints = new Fingerprints()
  const cache = new BuildCache(fingerprints)
  const contentOf = (name: string) => {
    const folder = join(root, name)
    return cache.contentOf(folder, fingerprints.ofFolder(folder) ?? '')
  }
  const plugins = [...names, 'slow'].map((name) => verifiedPlugin(join(root, name), { name }))
  const leaving = new AbortController()
  const building = cache.build(plugins, leaving.signal)
  // It can be opened without waiting once esbuild reads it, which comes last.
  const end = await waitFor(
    () => open(pipe, constants.O_WRONLY | constants.O_NONBLOCK),
    'a reader of the pipe',
  )
  t.after(() => end.close())
  leaving.abort(new Error('Left'))
  await assert.rejects(building, /^Error: Left$/)
  for (const name of names) assert.match((await contentOf(name)) ?? '', /^[0-9a-f]{64}$/)
  assert.equal(await contentOf('slow'), null)
  assert.equal(
    cache.fingerprintOf(join(root, 'slow')),
    '',
    'nothing that the next one could take for its own',
  )
  await rm(pipe)
  await writeFiles(root, { 'slow/node_modules/lib/index.js': 'exports.one = 1' })
  const { built, problems } = await cache.build(plugins)
  assert.deepEqual([built.length, problems], [plugins.length, []])
})

test('BuildCache keeps nothing of a build that failed', async (t) => {
  const { root, build } = await cacheOf(t, { 'a/plugin.ts': 'export const PluginMain = ( => 1' })
  assert.deepEqual(await build(), { code: undefined, problems: 1 })
  assert.deepEqual(await build(), { code: undefined, problems: 1 })
  await writeFiles(root, { 'a/plugin.ts': 'export const PluginMain = () => 1' })
  assert.equal((await build()).problems, 0)
})
