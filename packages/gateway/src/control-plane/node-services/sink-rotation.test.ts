import assert from 'node:assert/strict'
import { readdir, readFile, rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Log } from '@cardea/sdk'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import type { SinkRotation as Rules } from '../../protocol/node-services.ts'
import { SinkRotation } from './sink-rotation.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const DAY_MS = 86_400_000

/** Files in a folder, looked at when the test says so. */
async function watching(t: TestContext, rules: Partial<Rules>) {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  const reopened: string[] = []
  // The files are begun by this machine's clock; only what comes after is the test's.
  const time = { unixMs: Date.now() }
  const rotation = new SinkRotation({
    directory: dir.path,
    log: silent,
    clock: { nowMs: () => 0, after: () => () => {}, atTurnEnd: () => {} },
    unixMs: () => time.unixMs,
    reopen: (file) => reopened.push(file),
  })
  rotation.watch('a.log', { bytesMax: 0, periodMs: 0, keep: 5, ...rules })
  return {
    dir,
    rotation,
    reopened,
    time,
    write: (text: string) => dir.write({ 'a.log': text }),
    files: async () => (await readdir(dir.path)).sort(),
    read: (name: string) => readFile(join(dir.path, name), 'utf8'),
  }
}

test('a file is rotated at its size, older ones count up, and the last one goes', async (t) => {
  const { rotation, write, files, read, reopened } = await watching(t, { bytesMax: 4, keep: 2 })
  await write('abc')
  await rotation.check()
  assert.deepEqual([await files(), reopened], [['a.log'], []])
  for (const text of ['one!', 'two!', 'three!']) {
    await write(text)
    await rotation.check()
  }
  assert.deepEqual(await files(), ['a.log.1', 'a.log.2'])
  assert.deepEqual([await read('a.log.1'), await read('a.log.2')], ['three!', 'two!'])
  assert.deepEqual(reopened, ['a.log', 'a.log', 'a.log'])
})

test('a file is rotated when its span of time is over, once, and not while it is empty', async (t) => {
  const { rotation, write, files, time, reopened } = await watching(t, { periodMs: DAY_MS })
  await write('yesterday')
  await rotation.check()
  assert.deepEqual([await files(), reopened], [['a.log'], []])
  time.unixMs += DAY_MS
  await rotation.check()
  assert.deepEqual([await files(), reopened], [['a.log.1'], ['a.log']])
  await write('')
  time.unixMs += DAY_MS
  await rotation.check()
  await rotation.check()
  assert.deepEqual(await files(), ['a.log', 'a.log.1'])
})

test('a file that was moved away is told of once', async (t) => {
  const { dir, rotation, write, reopened } = await watching(t, {})
  await write('x')
  await rotation.check()
  await rename(join(dir.path, 'a.log'), join(dir.path, 'moved'))
  await rotation.check()
  await rotation.check()
  assert.deepEqual(reopened, ['a.log'])
})

test('a file that another took the place of is told of, once', async (t) => {
  const { dir, rotation, write, reopened } = await watching(t, {})
  await write('x')
  await rotation.check()
  await rename(join(dir.path, 'a.log'), join(dir.path, 'moved'))
  await write('of somebody else')
  await rotation.check()
  await rotation.check()
  assert.deepEqual(reopened, ['a.log'])
})

test('a rotation of its own is told of once', async (t) => {
  const { rotation, write, reopened } = await watching(t, { bytesMax: 4 })
  await write('abc')
  await rotation.check()
  await write('abcd')
  await rotation.check()
  await write('new')
  await rotation.check()
  assert.deepEqual(reopened, ['a.log'])
})

test('what a larger keep left behind goes with the next rotation', async (t) => {
  const { dir, rotation, write, files } = await watching(t, { bytesMax: 4, keep: 2 })
  for (const number of [1, 2, 3, 4, 9]) await dir.write({ [`a.log.${number}`]: `${number}` })
  await write('full')
  await rotation.check()
  // No row that is broken is gone through: nobody knows whose that is.
  assert.deepEqual(await files(), ['a.log.1', 'a.log.2', 'a.log.9'])
})

test('behind a link the file that it leads to is rotated, and the link stays', async (t) => {
  const { dir, rotation, files, read } = await watching(t, { bytesMax: 4 })
  await dir.write({ 'elsewhere/b.log': 'full' })
  await symlink(join(dir.path, 'elsewhere/b.log'), join(dir.path, 'a.log'))
  await rotation.check()
  assert.deepEqual(await files(), ['a.log', 'elsewhere'])
  assert.equal(await read('elsewhere/b.log.1'), 'full')
  await dir.write({ 'elsewhere/b.log': 'next' })
  assert.equal(await read('a.log'), 'next')
})
