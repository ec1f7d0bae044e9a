import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const ROOT = resolve(import.meta.dirname, '../../../..')

/** The code of the guide by file; a block without a name goes on with the last file. */
function filesOf(guide: string): Map<string, string> {
  const files = new Map<string, string>()
  let file = ''
  for (const [, name, code] of guide.matchAll(/(?:`([\w.]+)`\n\n)?```(?:ts|json)\n(.*?)```/gs)) {
    file = name ?? file
    files.set(file, `${files.get(file) ?? ''}${code}\n`)
  }
  return files
}

test('the snippets of docs/guides/test-a-plugin.md work', async (t) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const files = filesOf(await readFile(join(ROOT, 'docs/guides/test-a-plugin.md'), 'utf8'))
  assert.deepEqual([...files.keys()], ['plugin.json', 'plugin.ts', 'plugin.test.ts'])
  for (const [name, text] of files) await writeFile(join(folder, name), text)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const run = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap'], {
    cwd: folder,
    env,
  })
  assert.match(run.stdout, /^# pass 5$/m)
  assert.match(run.stdout, /^# fail 0$/m)
})
