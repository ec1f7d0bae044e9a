import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { TakenTexts } from './taken-texts.ts'
import { folderOf } from './test-support.ts'

const [WHOLE, HALF] = ['one\ntwo\n', 'one\n']

async function twoFiles(t: TestContext) {
  const root = await folderOf(t, { 'plugins/auth/a.ts': WHOLE, 'plugins/auth/b.ts': WHOLE })
  return {
    root,
    texts: new TakenTexts(),
    a: join(root, 'plugins/auth/a.ts'),
    b: join(root, 'plugins/auth/b.ts'),
  }
}

test('isHalfWritten() goes by what a file said when it was taken last, and says nothing of others', async (t) => {
  const { texts, a, b } = await twoFiles(t)
  texts.take(a)
  for (const path of [a, b]) await writeFile(path, HALF)
  assert.deepEqual(
    [a, b].map((path) => texts.isHalfWritten(path)),
    [true, false],
  )
  texts.take(a)
  assert.equal(texts.isHalfWritten(a), false)
})

test('take() forgets what is gone, unless the file has been named', async (t) => {
  const { texts, a, b } = await twoFiles(t)
  texts.name(a)
  texts.take(b)
  for (const path of [a, b]) await rm(path)
  for (const path of [a, b]) texts.take(path)
  for (const path of [a, b]) await writeFile(path, HALF)
  assert.deepEqual(
    [a, b].map((path) => texts.isHalfWritten(path)),
    [true, false],
  )
})

test('forget() forgets all that is in a folder, and nothing beside it', async (t) => {
  const { root, texts, a, b } = await twoFiles(t)
  const beside = join(root, 'plugins/auth-2.ts')
  await writeFile(beside, WHOLE)
  for (const path of [a, b, beside]) texts.take(path)
  texts.forget(join(root, 'plugins/auth'))
  for (const path of [a, b, beside]) await writeFile(path, HALF)
  assert.deepEqual(
    [a, b, beside].map((path) => texts.isHalfWritten(path)),
    [false, false, true],
  )
})

test('of files for which there is no room it counts that they have shrunk', async (t) => {
  const { root, texts, a } = await twoFiles(t)
  const files = Array.from(
    { length: 1 + WATCH_LIMITS.keptBytesMax / WATCH_LIMITS.comparedBytesMax },
    (_, at) => join(root, `large-${at}`),
  )
  for (const file of files) {
    await writeFile(file, Buffer.alloc(WATCH_LIMITS.comparedBytesMax, 'x\n'))
    texts.take(file)
  }
  texts.take(a)
  // By what it says it would be whole: it has as many lines, and the last is the same.
  await writeFile(a, 'on\ntwo\n')
  assert.equal(texts.isHalfWritten(a), true)
  await rm(files[0] ?? '')
  texts.take(files[0] ?? '')
  texts.take(a)
  await writeFile(a, 'o\ntwo\n')
  assert.equal(texts.isHalfWritten(a), false, 'there is room again')
})
