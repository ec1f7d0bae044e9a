import assert from 'node:assert/strict'
import { cp, mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { LinkWatch } from './link-watch.ts'
import { folderOf } from './test-support.ts'
import { Watch } from './watch.ts'

const LOG = { debug() {}, info() {}, warn() {}, error() {} }

async function watching(t: TestContext, root: string, ...paths: readonly string[]) {
  const touched: string[] = []
  const watch = new Watch({ log: LOG, onQuiet: (files) => void touched.push(...files) })
  t.after(() => watch.close())
  await watch.setPaths(paths.map((path) => join(root, path)))
  /** Whether what is at each path, or the path that was watched instead, was touched since the last time. */
  return async (path: string | readonly string[], what: string) => {
    await waitFor(() => [path].flat().every((each) => touched.includes(join(root, each))), what)
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

const CHAINED = {
  'rel/1/plugin.ts': '1',
  'rel/2/plugin.ts': '2',
  'rel/3/plugin.ts': '3',
  'plugins/a/plugin.json': '{}',
}

test('Watch sees a link behind a link that comes to lead elsewhere, and what is saved behind it', async (t) => {
  const root = await folderOf(t, CHAINED)
  await symlink('1', join(root, 'rel/cur'))
  await symlink(join(root, 'rel/cur'), join(root, 'plugins/hello'))
  await symlink('../../rel/cur/plugin.ts', join(root, 'plugins/a/plugin.ts'))
  const isTouched = await watching(t, root, 'plugins')
  for (const release of ['2', '3', '1']) {
    await point(join(root, 'rel/cur'), release)
    await isTouched('plugins', `release ${release}`)
    await writeFile(join(root, 'rel', release, 'plugin.ts'), 'saved')
    await isTouched(['plugins/hello/plugin.ts', 'plugins/a/plugin.ts'], `what is saved in release ${release}`)
  }
})

test('Watch sees each save of a file behind a link, however soon it comes after another', async (t) => {
  const root = await folderOf(t, { 'keys.txt': '0', 'plugins/a/plugin.json': '{}' })
  await symlink('keys.txt', join(root, 'link.txt'))
  await symlink('../../keys.txt', join(root, 'plugins/a/keys.txt'))
  const isTouched = await watching(t, root, 'link.txt', 'plugins')
  for (let save = 1; save <= 10; save++) {
    await writeFile(join(root, 'keys.txt'), `${save}`)
    await isTouched(['link.txt', 'plugins/a/keys.txt'], `save ${save}`)
  }
})

test('Watch sees links of a plugin that came later, also in a folder that was moved there', async (t) => {
  const root = await folderOf(t, { ...CHAINED, 'made/plugin.json': '{}' })
  await symlink('1', join(root, 'rel/cur'))
  await symlink('1', join(root, 'rel/other'))
  const isTouched = await watching(t, root, 'plugins')
  await symlink('../rel/cur', join(root, 'plugins/hello'))
  await isTouched('plugins/hello', 'the link')
  await point(join(root, 'rel/cur'), '2')
  await isTouched('plugins', 'that it leads elsewhere')
  await symlink(join(root, 'rel/other/plugin.ts'), join(root, 'made/plugin.ts'))
  await rename(join(root, 'made'), join(root, 'plugins/b'))
  await isTouched('plugins/b/plugin.ts', 'the folder')
  await point(join(root, 'rel/other'), '2')
  await isTouched('plugins', 'that its file leads elsewhere')
})

test('Watch sees that what a link leads to is removed and made anew, as by a build', async (t) => {
  const root = await folderOf(t, { 'work/dist/plugin.ts': '1', 'plugins/a/plugin.json': '{}' })
  await symlink('../work/dist', join(root, 'plugins/hello'))
  const isTouched = await watching(t, root, 'plugins')
  for (const round of [1, 2]) {
    await rm(join(root, 'work/dist'), { recursive: true })
    await isTouched('plugins', `that it is gone in round ${round}`)
    await mkdir(join(root, 'work/dist'))
    await isTouched('plugins', `that it is back in round ${round}`)
    await writeFile(join(root, 'work/dist/plugin.ts'), '2')
    await isTouched('plugins/hello/plugin.ts', `what is saved in round ${round}`)
  }
})

test('Watch sees a link that leads nowhere until what it names is made', async (t) => {
  const root = await folderOf(t, { 'plugins/a/plugin.json': '{}', 'rel/1/plugin.ts': '1' })
  await symlink('../rel/cur', join(root, 'plugins/hello'))
  const isTouched = await watching(t, root, 'plugins')
  await symlink('1', join(root, 'rel/cur'))
  await isTouched('plugins', 'the link behind it')
  await writeFile(join(root, 'rel/1/plugin.ts'), 'saved')
  await isTouched('plugins/hello/plugin.ts', 'what is saved')
})

test('Watch sees what is saved in each of the files of a release that was put into the place of another', async (t) => {
  const files = { 'cardea.yaml': '1', 'keys.txt': '1' }
  const root = await folderOf(t, Object.fromEntries(Object.entries(files).map(([n, x]) => [`1/${n}`, x])))
  await cp(join(root, '1'), join(root, '2'), { recursive: true })
  await symlink('1', join(root, 'current'))
  const paths = Object.keys(files).map((name) => `current/${name}`)
  const isTouched = await watching(t, root, ...paths)
  await point(join(root, 'current'), '2')
  await isTouched(paths, 'the release')
  for (const path of paths) {
    await writeFile(join(root, path), 'saved')
    await isTouched(path, `what is saved in ${path}`)
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

/** What it watches of the folders that links lead through: the others are the same object to the system. */
function linkWatch(t: TestContext, path: string, onMoved: () => void = () => {}) {
  const errors: unknown[] = []
  const watch = new LinkWatch(path, {
    isIgnored: () => false,
    onMoved,
    onError: (thrown) => void errors.push(thrown),
  })
  t.after(() => watch[Symbol.dispose]())
  watch.look()
  return { watch, errors }
}

test('LinkWatch ends with circles of folders and of links, and watches no folder that no link lies in', async (t) => {
  const root = await folderOf(t, { 'plugins/a/lib/part.ts': '1', 'rel/1/deep/er/part.ts': '1' })
  await symlink('..', join(root, 'plugins/a/up'))
  await symlink('two', join(root, 'plugins/one'))
  await symlink('one', join(root, 'plugins/two'))
  await symlink('../rel/1', join(root, 'plugins/hello'))
  const { watch, errors } = linkWatch(t, join(root, 'plugins'))
  assert.deepEqual(errors, [])
  assert.deepEqual(
    watch.folders.toSorted(),
    ['.', 'plugins', 'plugins/a', 'rel'].map((folder) => join(root, folder)),
  )
})

test('LinkWatch lets go of what a link led to when the link is gone', async (t) => {
  const root = await folderOf(t, { 'rel/1/plugin.ts': '1', 'plugins/a/plugin.ts': '1' })
  await symlink('1', join(root, 'rel/cur'))
  await symlink('../rel/cur', join(root, 'plugins/hello'))
  const { watch } = linkWatch(t, join(root, 'plugins'))
  assert.deepEqual(watch.folders.toSorted(), [join(root, 'plugins'), join(root, 'rel')])
  await rm(join(root, 'plugins/hello'))
  await waitFor(() => watch.folders.length === 0, 'the end of its watchers')
})

test('LinkWatch follows so many links and no more, and says so once', async (t) => {
  const root = await folderOf(t, { 'rel/1/plugin.ts': '1', 'plugins/a/plugin.ts': '1' })
  for (let link = 0; link <= WATCH_LIMITS.linksMax; link++) {
    await symlink('../rel/1', join(root, 'plugins', `l${link}`))
  }
  const { watch, errors } = linkWatch(t, join(root, 'plugins'))
  watch.look()
  assert.equal(errors.length, 1)
  assert.match(String(errors[0]), /holds more than 1000 links/)
})
