import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import { discover } from './discover.ts'
import { folderOf } from './test-support.ts'

/** Discovers in `user/` and `built-in/` below a folder with these files; folders come out relative to it. */
async function look(t: TestContext, files: Readonly<Record<string, unknown>>, root?: string) {
  const base = root ?? (await folderOf(t, files))
  const { found, problems } = await discover({ user: join(base, 'user'), builtIn: join(base, 'built-in') })
  return {
    base,
    problems,
    found: found.map(({ folder, origin }) => `${origin}: ${relative(base, folder)}`),
  }
}

test('discover() reports a plugins directory that is a file', async (t) => {
  const { base, found, problems } = await look(t, { user: 'not a folder' })
  assert.deepEqual(found, [])
  assert.equal(problems.length, 1)
  assert.equal(problems[0]?.code, 'CONFIG_NOT_FOUND')
  assert.equal(problems[0]?.file, join(base, 'user'))
  assert.match(problems[0]?.message ?? '', /^Cannot read the plugins directory .*user: ENOTDIR/)
})

test('discover() reports a folder with an entry file but no plugin.json', async (t) => {
  const { base, found, problems } = await look(t, { 'user/half/plugin.mjs': '', 'user/other/readme': '' })
  assert.deepEqual(found, [])
  assert.equal(problems.length, 1)
  assert.equal(problems[0]?.code, 'PLUGIN_MANIFEST_INVALID')
  assert.equal(problems[0]?.file, join(base, 'user/half/plugin.json'))
  assert.match(problems[0]?.message ?? '', /half holds plugin\.mjs but no plugin\.json; add one/)
})

test('discover() reports a plugin.json that is in no folder of its own', async (t) => {
  const { base, found, problems } = await look(t, { 'user/plugin.json': {}, 'user/plugin.ts': '' })
  assert.deepEqual(found, [])
  assert.deepEqual(
    problems.map(({ code, file }) => [code, relative(base, file)]),
    [['PLUGIN_MANIFEST_INVALID', 'user/plugin.json']],
  )
  assert.match(problems[0]?.message ?? '', /a plugin is a folder in it/)
})

test('discover() reports a symlink that leads nowhere or in a circle', async (t) => {
  const base = await folderOf(t, { 'user/good/plugin.json': {} })
  await symlink('gone', join(base, 'user/broken'))
  await symlink('circle', join(base, 'user/circle'))
  const { found, problems } = await look(t, {}, base)
  assert.deepEqual(found, ['user: user/good'])
  assert.deepEqual(
    problems.map(({ code, file }) => [code, relative(base, file)]),
    [
      ['PLUGIN_MANIFEST_INVALID', 'user/broken'],
      ['PLUGIN_MANIFEST_INVALID', 'user/circle'],
    ],
  )
})

test('discover() does not wait for a plugin.json that is a pipe', async (t) => {
  const base = await folderOf(t, { 'user/pipe/readme': '' })
  execFileSync('mkfifo', [join(base, 'user/pipe/plugin.json')])
  assert.deepEqual((await look(t, {}, base)).found, [])
})

test('discover() refuses a directory with more folders than a plugins directory has', async (t) => {
  const base = await folderOf(t, { 'user/p/plugin.json': {} })
  const names = Array.from({ length: PLUGIN_LIMITS.foldersMax }, (_, index) => `p${index}`)
  await Promise.all(names.map((name) => mkdir(join(base, 'user', name))))
  const { found, problems } = await look(t, {}, base)
  assert.deepEqual(found, [])
  assert.equal(problems.length, 1)
  assert.match(problems[0]?.message ?? '', /holds 1001 folders, more than 1000; is it the right one\?$/)
})

test('discover() finds nothing where there is nothing', async (t) => {
  assert.deepEqual(await discover({ user: '/nonexistent/a', builtIn: '/nonexistent/b' }), {
    found: [],
    problems: [],
  })
  const { found, problems } = await look(t, {
    'user/.hidden/plugin.json': {},
    'user/node_modules/plugin.json': {},
  })
  assert.deepEqual([found, problems], [[], []])
})

test('discover() finds direct children with a plugin.json, built-ins first, each by name', async (t) => {
  const { base } = await look(t, {
    'user/b/plugin.json': {},
    'user/a/plugin.json': {},
    'user/a/inner/plugin.json': {},
    'user/file.json': '',
    'built-in/z/plugin.json': {},
    'elsewhere/linked/plugin.json': {},
  })
  await symlink('../elsewhere/linked', join(base, 'user/link'))
  const { found, problems } = await look(t, {}, base)
  assert.deepEqual(found, ['built-in: built-in/z', 'user: user/a', 'user: user/b', 'user: user/link'])
  assert.deepEqual(problems, [])
})

test('discover() finds a plugin once where both directories are one folder', async (t) => {
  const base = await folderOf(t, { 'plugins/cors/plugin.json': { name: 'cors', version: '1.0.0' } })
  await symlink(join(base, 'plugins'), join(base, 'linked'))
  const { found, problems } = await discover({ user: join(base, 'linked'), builtIn: join(base, 'plugins') })
  assert.deepEqual(problems, [])
  assert.deepEqual(
    found.map(({ origin }) => origin),
    ['built-in'],
  )
})

test('discover() says of a link whose folder is gone where it points to, and what to do', async (t) => {
  const base = await folderOf(t, { 'user/a/plugin.json': {} })
  await symlink('../elsewhere/gone', join(base, 'between'))
  await symlink('../between', join(base, 'user/link'))
  const { found, problems } = await look(t, {}, base)
  assert.deepEqual(found, ['user: user/a'])
  assert.equal(problems.length, 1)
  const [problem] = problems
  assert.equal(problem?.code, 'PLUGIN_MANIFEST_INVALID')
  // Relative to where the link stands that says it.
  assert.equal(
    problem?.message,
    `${join(base, 'user/link')} is a link that points to nothing: ${join(base, '../elsewhere/gone')} is not there. ` +
      "Bring that back, let the link point to a plugin's folder, or remove the link.",
  )
})
