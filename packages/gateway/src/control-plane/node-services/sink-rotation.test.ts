import assert from 'node:assert/strict'
import { readdir, readFile, rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Log } from '@cardea/sdk'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import type { SinkWish } from '../../protocol/node-services.ts'
import { SinkRotation } from './sink-rotation.ts'

const DAY_MS = 86_400_000

/** Files in a folder, looked at when the test says so. */
async function watching(t: TestContext, wish: Partial<SinkWish>) {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  const reopened: string[] = []
  const warned: string[] = []
  const log: Log = { debug() {}, info() {}, warn: (message) => void warned.push(message), error() {} }
  // The files are begun by this machine's clock; only what comes after is the test's.
  const time = { unixMs: Date.now() }
  const rotation = new SinkRotation({
    directory: dir.path,
    log,
    clock: { nowMs: () => 0, after: () => () => {}, atTurnEnd: () => {} },
    unixMs: () => time.unixMs,
    reopen: (file) => reopened.push(file),
  })
  const hear = (worker: number, ...wishes: Partial<SinkWish>[]): void =>
    rotation.hear(
      worker,
      'a.log',
      wishes.map((one) => ({ bytesMax: 0, periodMs: 0, keep: 5, ...one })),
    )
  hear(1, wish)
  return {
    dir,
    rotation,
    hear,
    warned,
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

test('of wishes that do not agree the one holds that loses the fewest lines, and that is said once', async (t) => {
  const { rotation, hear, warned, write, files } = await watching(t, { bytesMax: 4, keep: 0 })
  hear(1, { bytesMax: 4, keep: 0 }, { bytesMax: 8, keep: 2 })
  hear(2, { bytesMax: 4, keep: 0 }, { bytesMax: 8, keep: 2 })
  await write('1234')
  await rotation.check()
  assert.deepEqual(await files(), ['a.log'])
  for (const text of ['12345678', '23456789']) {
    await write(text)
    await rotation.check()
  }
  assert.deepEqual(await files(), ['a.log.1', 'a.log.2'])
  assert.deepEqual(warned, [
    'Instances disagree on how the log file "a.log" is rotated: size 4 bytes or 8 bytes, keep 0 or 2; what loses the ' +
      'fewest lines holds. Give them equal options, or a file each',
  ])
  hear(1, { bytesMax: 0 }, { bytesMax: 8 })
  hear(2, { bytesMax: 0 }, { bytesMax: 8 })
  await write('123456789')
  await rotation.check()
  assert.deepEqual(await files(), ['a.log', 'a.log.1', 'a.log.2'])
  assert.match(String(warned[1]), /: size never or 8 bytes; what loses/)
  // Who says nothing of it leaves it to the others.
  hear(1, { bytesMax: null, periodMs: null, keep: null }, { bytesMax: 8, keep: 1 })
  hear(2, { bytesMax: null, periodMs: null, keep: null }, { bytesMax: 8, keep: 1 })
  await rotation.check()
  assert.deepEqual(await files(), ['a.log.1'])
  assert.equal(warned.length, 2)
})

test('of two workers the one holds that loses less, as long as it is there', async (t) => {
  const { rotation, hear, warned, write, files } = await watching(t, { bytesMax: 4 })
  hear(2, { bytesMax: 8 })
  await write('1234')
  await rotation.check()
  rotation.workerRetiring(2, 7)
  await rotation.check()
  assert.deepEqual(await files(), ['a.log'])
  rotation.workerEnded(7)
  await rotation.check()
  // One of them goes to another generation before the other does: nobody has to be told of that.
  assert.deepEqual([await files(), warned], [['a.log.1'], []])
})

test('a file that nobody writes to any more is left alone, and rotated again once somebody does', async (t) => {
  const { rotation, hear, write, files } = await watching(t, { bytesMax: 4 })
  hear(1)
  await write('1234')
  await rotation.check()
  assert.deepEqual(await files(), ['a.log'])
  hear(1, { bytesMax: 4 })
  await rotation.check()
  assert.deepEqual(await files(), ['a.log.1'])
})
