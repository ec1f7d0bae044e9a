import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { discover } from './discover.ts'
import { folderOf } from './test-support.ts'
import { verifyPlugins } from './verify.ts'

async function verify(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const base = await folderOf(t, files)
  const { found } = await discover({ user: join(base, 'user'), builtIn: join(base, 'built-in') })
  const { verified, problems } = await verifyPlugins(found)
  return {
    names: verified.map(({ manifest }) => manifest.name),
    entries: verified.map(({ entryFile }) => relative(base, entryFile)),
    problems: problems.map((problem) => ({ ...problem, file: relative(base, problem.file) })),
  }
}

test('verifyPlugins() reports the wrong manifests and missing entries of all folders', async (t) => {
  const { names, problems } = await verify(t, {
    'user/syntax/plugin.json': '{',
    'user/syntax/plugin.ts': '',
    'user/unknown/plugin.json': { name: 'unknown', version: '1.0.0', entrypoint: 'Main' },
    'user/unknown/plugin.ts': '',
    'user/empty/plugin.json': { name: 'empty', version: '1.0.0' },
    'user/good/plugin.json': { name: 'good', version: '1.0.0' },
    'user/good/plugin.ts': '',
  })
  assert.deepEqual(names, ['good'])
  assert.deepEqual(problems.map(({ code, file }) => [code, file]).sort(), [
    ['PLUGIN_ENTRY_MISSING', 'user/empty'],
    ['PLUGIN_MANIFEST_INVALID', 'user/syntax/plugin.json'],
    ['PLUGIN_MANIFEST_INVALID', 'user/unknown/plugin.json'],
  ])
  const missing = problems.find(({ code }) => code === 'PLUGIN_ENTRY_MISSING')
  assert.match(
    missing?.message ?? '',
    /"empty" has no entry file: .* holds none of plugin\.ts, plugin\.js, plugin\.mjs\./,
  )
  assert.equal(problems.find(({ file }) => file.includes('unknown'))?.nearest, 'entry_point')
})

test('verifyPlugins() reports a second plugin of a name, where it says its name', async (t) => {
  const manifest = (name: string) => `{\n  "version": "1.0.0",\n  "name": "${name}"\n}`
  const { problems } = await verify(t, {
    'user/one/plugin.json': manifest('twin'),
    'user/one/plugin.ts': '',
    'user/two/plugin.json': manifest('twin'),
    'user/two/plugin.ts': '',
    'built-in/cors/plugin.json': manifest('cors'),
    'built-in/cors/plugin.ts': '',
    'user/my-cors/plugin.json': manifest('cors'),
    'user/my-cors/plugin.ts': '',
  })
  assert.deepEqual(
    problems.map(({ code, file, line, column }) => [code, file, line, column]),
    [
      ['PLUGIN_DUPLICATE', 'user/my-cors/plugin.json', 3, 11],
      ['PLUGIN_DUPLICATE', 'user/two/plugin.json', 3, 11],
    ],
  )
  assert.match(
    problems[0]?.message ?? '',
    /^Two plugins are named "cors": .*my-cors and the built-in plugin in \/.*cors\. Rename/,
  )
  assert.match(problems[1]?.message ?? '', /^Two plugins are named "twin": .*two and the plugin in .*one\./)
})

test('verifyPlugins() takes plugin.ts before plugin.js before plugin.mjs', async (t) => {
  const { entries } = await verify(t, {
    'user/a/plugin.json': { name: 'a', version: '1.0.0' },
    'user/a/plugin.js': '',
    'user/a/plugin.mjs': '',
    'user/b/plugin.json': { name: 'b', version: '1.0.0' },
    'user/b/plugin.mjs': '',
    'user/c/plugin.json': { name: 'c', version: '1.0.0' },
    'user/c/plugin.ts': '',
    'user/c/plugin.js': '',
  })
  assert.deepEqual(entries, ['user/a/plugin.js', 'user/b/plugin.mjs', 'user/c/plugin.ts'])
})
