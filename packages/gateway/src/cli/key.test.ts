import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type KeyOptions, keyHash, keyNew, readKey } from './key.ts'
import { testOutput } from './test-answers.ts'

async function run(
  command: (options: KeyOptions) => Promise<number>,
  pepperFile: string | null = null,
): Promise<{ code: number; out: string; err: string }> {
  const { io, printed } = testOutput()
  return { code: await command({ pepperFile, io }), ...printed }
}

const hashOf = (key: string, pepperFile: string | null = null) =>
  run((options) => keyHash(options, async () => key), pepperFile)

async function pepper(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cardea-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'pepper')
  await writeFile(file, text)
  return file
}

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')

test('keyNew() prints a key of 256 random bits, and the hash of that key', async () => {
  const { code, out, err } = await run(keyNew)
  const [, key = '', hash] = /^key: {2}(ck_[\w-]{43})\nhash: (sha256:[0-9a-f]{64})\n/.exec(out) ?? []
  assert.deepEqual([code, err, hash], [0, '', `sha256:${sha256(key)}`])
  assert.notEqual((await run(keyNew)).out, out)
})

test('keyNew() and keyHash() hash with a pepper from a file, without its last line break', async (t) => {
  const file = await pepper(t, 'sixteen letters!\n')
  const { out } = await run(keyNew, file)
  const [, key = '', hash = ''] = /^key: {2}(\S+)\nhash: (\S+)\n/.exec(out) ?? []
  assert.equal(hash, `hmac-sha256:${createHmac('sha256', 'sixteen letters!').update(key).digest('hex')}`)
  assert.deepEqual(await hashOf(key, file), { code: 0, out: `${hash}\n`, err: '' })
})

test('keyHash() hashes the key on stdin, with and without a line break after it', async () => {
  const key = '3f2b7c1e-aaaa-bbbb-cccc-0123456789ab'
  for (const text of [key, `${key}\n`, `${key}\r\n`]) {
    assert.deepEqual(await hashOf(text), { code: 0, out: `sha256:${sha256(key)}\n`, err: '' })
  }
})

test('keyHash() refuses what is no key that a fast hash protects, and never shows it', async () => {
  const refused: [string, RegExp][] = [
    ['', /there is none/],
    ['hunter2', /it has 7 characters/],
    ['a'.repeat(513), /more than 512/],
    ['hunter2 hunter2 hunter2 hunter2', /a character other than/],
    ['hunter2,hunter2,hunter2,hunter2', /a character other than/],
    ['hunter2\nhunter2\nhunter2\nhunter2', /a character other than/],
  ]
  for (const [key, reason] of refused) {
    const { code, out, err } = await hashOf(key)
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, reason)
    assert.ok(!err.includes('hunter2'))
  }
})

test('readKey() reads a key in pieces, and of what never ends only the beginning', async () => {
  async function* pieces(...texts: readonly string[]) {
    for (const text of texts) yield Buffer.from(text)
  }
  assert.equal(await readKey(pieces('ck_', 'abc', '\n')), 'ck_abc\n')
  let given = 0
  async function* endless() {
    for (;;) {
      given += 1
      yield Buffer.alloc(1024)
    }
  }
  assert.ok((await readKey(endless())).length > 512)
  assert.ok(given < 10)
})

test('a pepper that is too short or not there is refused, and nothing is printed', async (t) => {
  const short = await run(keyNew, await pepper(t, 'hunter2'))
  assert.deepEqual([short.code, short.out], [1, ''])
  assert.match(short.err, /it has 7 characters, at least 16/)
  assert.ok(!short.err.includes('hunter2'))
  const absent = await run(keyNew, '/nonexistent/pepper')
  assert.deepEqual([absent.code, absent.out], [1, ''])
  assert.match(absent.err, /ENOENT/)
})
