import assert from 'node:assert/strict'
import { mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { folderOf } from './test-support.ts'
import { Watch } from './watch.ts'

const LOG = { debug() {}, info() {}, warn() {}, error() {} }

async function watching(t: TestContext, root: string, ...paths: readonly string[]) {
  const touched: string[] = []
  const watch = new Watch({ log: LOG, onQuiet: (files) => void touched.push(...files) })
  t.after(() => watch.close())
  await watch.setPaths(paths.map((path) => join(root, path)))
  /** Whether what is at `path`, or the path that was watched instead, was touched since the last time. */
  return async (path: string, what: string) => {
    await waitFor(() => touched.includes(join(root, path)), what)
    touched.length = 0
  }
}

/** As `ln -sfn` does it, and whoever deploys: at no moment is there nothing. */
async function point(link: string, target: string): Promise<void> {
  await symlink(target, `${link}.new`)
  await rename(`${link}.new`, link)
  assert.equal(await readlink(link), target)
}

test('Watch sees that a config file is another one by a link, again and again', async (t) => {
  const root = await folderOf(t, { 'one.yaml': 'a', 'two.yaml': 'b', 'three.yaml': 'c' })
  await symlink('one.yaml', join(root, 'cardea.yaml'))
  const isTouched = await watching(t, root, 'cardea.yaml')
  for (const name of ['two.yaml', 'three.yaml', 'one.yaml']) {
    await point(join(root, 'cardea.yaml'), name)
    await isTouched('cardea.yaml', `the link to ${name}`)
    await writeFile(join(root, name), 'saved')
    await isTouched('cardea.yaml', `what is saved in ${name}`)
  }
})

test('Watch sees a release put into the place of another: a folder on the way to all of its paths', async (t) => {
  const release = (number: number) => ({
    [`releases/${number}/cardea.yaml`]: `${number}`,
    [`releases/${number}/plugins/a/plugin.ts`]: `${number}`,
  })
  const root = await folderOf(t, { ...release(1), ...release(2) })
  await symlink('releases/1', join(root, 'current'))
  const isTouched = await watching(t, root, 'current/cardea.yaml', 'current/plugins')
  await point(join(root, 'current'), 'releases/2')
  await isTouched('current/plugins', 'the other plugins')
  await writeFile(join(root, 'releases/2/plugins/a/plugin.ts'), 'saved')
  await isTouched('current/plugins/a/plugin.ts', 'what is saved in the release')
})

test('Watch sees a link that is removed and made anew', async (t) => {
  const root = await folderOf(t, { 'releases/1/cardea.yaml': 'a', 'releases/2/cardea.yaml': 'b' })
  await symlink('releases/1', join(root, 'current'))
  const isTouched = await watching(t, root, 'current/cardea.yaml')
  await rm(join(root, 'current'))
  await isTouched('current/cardea.yaml', 'that it is gone')
  await symlink('releases/2', join(root, 'current'))
  await isTouched('current/cardea.yaml', 'that it is back')
})

test('Watch sees a ConfigMap that is mounted as a plugin: its files are links behind a hidden one', async (t) => {
  const root = await folderOf(t, { 'plugins/a/..1/plugin.ts': '1', 'plugins/a/..2/plugin.ts': '2' })
  await symlink('..1', join(root, 'plugins/a/..data'))
  await symlink('..data/plugin.ts', join(root, 'plugins/a/plugin.ts'))
  const isTouched = await watching(t, root, 'plugins')
  for (const version of ['..2', '..1']) {
    await point(join(root, 'plugins/a/..data'), version)
    await isTouched('plugins', `version ${version}`)
  }
})

test('Watch takes no part in links that lead in a circle, or nowhere', async (t) => {
  const root = await folderOf(t, { 'plugins/a/plugin.ts': '1' })
  await symlink('circle', join(root, 'circle'))
  const isTouched = await watching(t, root, 'circle', 'plugins')
  // As an editor marks a file that it has open.
  await symlink('somebody@host:1', join(root, 'plugins/a/.#plugin.ts'))
  await mkdir(join(root, 'plugins/b'))
  await writeFile(join(root, 'plugins/a/plugin.ts'), '2')
  await isTouched('plugins/a/plugin.ts', 'a file that is saved')
})
