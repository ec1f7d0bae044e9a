import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { withTempDir } from '../tests/support/temp-dir.ts'
import { packGateway } from './pack.ts'

test('packGateway() packs the program with the built-in plugins where an installed one looks, and no tests', async () => {
  await using dir = await withTempDir()
  const tarball = await packGateway(dir.path)
  const { stdout } = await promisify(execFile)('tar', ['-tzf', tarball])
  const files = stdout.trim().split('\n')
  for (const file of [
    'package.json',
    'LICENSE',
    'README.md',
    'bin/cardea.js',
    'schemas/cardea.schema.json',
  ]) {
    assert.ok(files.includes(`package/${file}`), file)
  }
  const plugins = join(import.meta.dirname, '../plugins')
  for (const { name } of readdirSync(plugins, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )) {
    for (const file of ['plugin.json', 'plugin.ts', 'README.md']) {
      assert.ok(files.includes(`package/plugins/${name}/${file}`), `${name}/${file}`)
    }
  }
  assert.deepEqual(
    files.filter((file) => /\.test\.ts$|node_modules|\.cardea/.test(file)),
    [],
  )
})
