import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withTempDir } from './temp-dir.ts'

test('withTempDir() removes the folder with all that is in it at the end of the scope', async () => {
  let path = ''
  {
    await using dir = await withTempDir()
    path = dir.path
    await dir.write({ 'a/b/c.txt': 'text' })
    assert.ok(existsSync(join(path, 'a/b/c.txt')))
  }
  assert.ok(!existsSync(path))
})

test('withTempDir().write() writes text as it is and objects as JSON', async () => {
  await using dir = await withTempDir()
  await dir.write({ 'text.txt': 'as it is', 'deep/data.json': { port: 0 } })
  assert.equal(await readFile(join(dir.path, 'text.txt'), 'utf8'), 'as it is')
  assert.deepEqual(JSON.parse(await readFile(join(dir.path, 'deep/data.json'), 'utf8')), { port: 0 })
})
