import assert from 'node:assert/strict'
import { chmod, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type TempDir, withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { FINGERPRINT_LIMITS } from '../../config/limits.ts'
import { Fingerprints } from './fingerprint.ts'

/** A plugin folder, and what both a seasoned and a fresh look say of it: they must agree. */
async function withFolder() {
  const dir = await withTempDir()
  const folder = join(dir.path, 'auth')
  await dir.write({ 'auth/plugin.json': '{}', 'auth/plugin.ts': 'one', 'auth/lib/deep.ts': 'deep' })
  const seasoned = new Fingerprints()
  await seasoned.ofFolder(folder)
  return {
    dir,
    folder,
    async fingerprint(): Promise<string | null> {
      const [known, fresh] = await Promise.all([
        seasoned.ofFolder(folder),
        new Fingerprints().ofFolder(folder),
      ])
      assert.equal(known, fresh)
      return fresh
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

/** Whether what `change` does to the folder shows in its fingerprint. */
async function shows(change: (folder: string, dir: TempDir) => Promise<unknown>): Promise<boolean> {
  await using env = await withFolder()
  const before = await env.fingerprint()
  await change(env.folder, env.dir)
  return (await env.fingerprint()) !== before
}

describe('Fingerprints.ofFolder()', () => {
  test('is null for a folder that is not there, or is a file', async () => {
    await using env = await withFolder()
    const fingerprints = new Fingerprints()
    assert.equal(await fingerprints.ofFolder(join(env.folder, 'none')), null)
    assert.equal(await fingerprints.ofFolder(join(env.folder, 'plugin.ts')), null)
    await rm(env.folder, { recursive: true })
    assert.equal(await env.fingerprint(), null)
  })

  test('changes with every own file, its name and its content', async () => {
    assert.ok(await shows((folder) => writeFile(join(folder, 'plugin.ts'), 'two')))
    assert.ok(await shows((folder) => writeFile(join(folder, 'lib/deep.ts'), 'deap')))
    assert.ok(await shows((folder) => writeFile(join(folder, 'data.json'), '')))
    assert.ok(await shows((folder) => rm(join(folder, 'lib/deep.ts'))))
    assert.ok(await shows((folder) => rename(join(folder, 'lib'), join(folder, 'bil'))))
    assert.ok(await shows((folder) => truncate(join(folder, 'plugin.ts'), 0)))
  })

  test('does not change with what is no part of the plugin', async () => {
    const write = (name: string) => (_: string, dir: TempDir) => dir.write({ [`auth/${name}`]: 'x' })
    assert.ok(!(await shows(write('node_modules/jose/index.js'))))
    assert.ok(!(await shows(write('lib/node_modules/jose/index.js'))))
    assert.ok(!(await shows(write('.plugin.ts.swp'))))
    assert.ok(!(await shows(write('.git/HEAD'))))
    assert.ok(!(await shows(write('plugin.test.ts'))))
    assert.ok(!(await shows((folder) => writeFile(join(folder, 'plugin.ts'), 'one'))))
    assert.ok(!(await shows((folder) => utimes(join(folder, 'plugin.ts'), 1, 1))))
  })

  test('sees content of the same size with a time stamp that was set back', async () => {
    const stamp = new Date('2020-01-01T00:00:00Z')
    await using env = await withFolder()
    const file = join(env.folder, 'plugin.ts')
    await utimes(file, stamp, stamp)
    const before = await env.fingerprint()
    await writeFile(file, 'two')
    await utimes(file, stamp, stamp)
    assert.notEqual(await env.fingerprint(), before)
  })

  test('tells a name with a line break from two names', async () => {
    await using dir = await withTempDir()
    await dir.write({ 'a/x': '1', 'a/y': '2', 'b/x\ny': '12' })
    const fingerprints = new Fingerprints()
    const both = await Promise.all(['a', 'b'].map((name) => fingerprints.ofFolder(join(dir.path, name))))
    assert.notEqual(both[0], both[1])
  })

  test('follows links to folders, and ends where they lead in a circle', async () => {
    await using env = await withFolder()
    await env.dir.write({ 'shared/one.ts': 'one' })
    await symlink(join(env.dir.path, 'shared'), join(env.folder, 'shared'))
    await symlink(env.folder, join(env.folder, 'lib', 'self'))
    await symlink(join(env.folder, 'nowhere'), join(env.folder, 'broken'))
    const before = await env.fingerprint()
    await env.dir.write({ 'shared/one.ts': 'two' })
    assert.notEqual(await env.fingerprint(), before)
  })

  test('does not reject over a file that cannot be read', async () => {
    assert.ok(
      (await shows((folder) => chmod(join(folder, 'plugin.ts'), 0))) || process.getuid?.() === 0,
      'root can read everything',
    )
  })

  test('does not wait for a pipe or a file that is too large', async () => {
    await using env = await withFolder()
    const file = join(env.folder, 'model.bin')
    await writeFile(file, '')
    await truncate(file, FINGERPRINT_LIMITS.bytesMax + 1)
    const before = await env.fingerprint()
    await truncate(file, FINGERPRINT_LIMITS.bytesMax + 2)
    assert.notEqual(await env.fingerprint(), before)
  })
})
