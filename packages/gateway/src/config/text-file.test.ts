import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfigFile } from './load.ts'
import { readTextFile, readTextFileOrPipe, readTextFileSync, TEXT_FILE_BYTES_MAX } from './text-file.ts'

async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'cardea-text-file-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

test('readTextFile() refuses what has no end, and what is not UTF-8', async () => {
  await using there = await folder()
  const [pipe, latin, large, text] = ['pipe', 'latin', 'large', 'text'].map((name) => join(there.path, name))
  assert.ok(pipe !== undefined && latin !== undefined && large !== undefined && text !== undefined)
  execFileSync('mkfifo', [pipe])
  await writeFile(latin, Buffer.from('caf\xe9', 'latin1'))
  await writeFile(large, '')
  await truncate(large, TEXT_FILE_BYTES_MAX + 1)
  await writeFile(text, 'café\n')
  for (const [file, message] of [
    [pipe, /not a regular file/],
    ['/dev/zero', /not a regular file/],
    [latin, /not UTF-8/],
    [large, /larger than 32 MiB/],
  ] as const) {
    await assert.rejects(readTextFile(file), message)
    assert.throws(() => readTextFileSync(file), message)
  }
  assert.equal(await readTextFile(text), 'café\n')
  assert.equal(readTextFileSync(text), 'café\n')
  await assert.rejects(readTextFile(there.path), { code: 'EISDIR' })
})

test('readTextFileOrPipe() reads a pipe that somebody writes to', async () => {
  await using there = await folder()
  const pipe = join(there.path, 'pipe')
  execFileSync('mkfifo', [pipe])
  const [text] = await Promise.all([readTextFileOrPipe(pipe), writeFile(pipe, 'workers: 1\n')])
  assert.equal(text, 'workers: 1\n')
  await assert.rejects(readTextFileOrPipe('/dev/zero'), /not a regular file/)
})

test('loadConfigFile() says of a ${file:…} that has no end why it is not read', async () => {
  await using there = await folder()
  const file = join(there.path, 'cardea.yaml')
  await writeFile(file, 'via: ${file:/dev/zero}\n')
  const result = await loadConfigFile(file)
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ code, key, message }) => [code, key, message]),
    [
      [
        'CONFIG_VARIABLE_MISSING',
        'via',
        'The file of ${file:/dev/zero} cannot be used: it is not a regular file.',
      ],
    ],
  )
})

test('loadConfigFile() refuses a config that is not UTF-8', async () => {
  await using there = await folder()
  const file = join(there.path, 'cardea.yaml')
  await writeFile(file, Buffer.from('\ufeffworkers: 1\n', 'utf16le'))
  const result = await loadConfigFile(file)
  assert.deepEqual(result.ok ? [] : result.problems.map(({ message }) => message), [
    'Cannot read cardea.yaml: it is not UTF-8.',
  ])
})
