import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { openFilesMax } from './open-files.ts'

test('openFilesMax() reads the soft limit, and takes what it cannot read for none', async () => {
  await using dir = await withTempDir()
  const file = join(dir.path, 'limits')
  assert.equal(openFilesMax(file), Number.POSITIVE_INFINITY)
  const texts: readonly (readonly [text: string, max: number])[] = [
    ['Max open files            1024                 524288               files     \n', 1_024],
    [
      'Max processes   1   2   processes\nMax open files            20000                20000   files\n',
      20_000,
    ],
    [
      'Max open files            unlimited            unlimited            files     \n',
      Number.POSITIVE_INFINITY,
    ],
    ['', Number.POSITIVE_INFINITY],
  ]
  for (const [text, max] of texts) {
    await writeFile(file, text)
    assert.equal(openFilesMax(file), max)
  }
})
