import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { appendFile, chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { FSWatcher, watch as openWatcher } from 'chokidar'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { folderOf } from './test-support.ts'
import { Watch, type WatchOptions } from './watch.ts'

const LOG = { debug() {}, info() {}, warn() {}, error() {} }

async function watching(
  t: TestContext,
  files: Readonly<Record<string, unknown>>,
  options: Partial<WatchOptions> = {},
) {
  const bursts: (readonly string[])[] = []
  const watch = new Watch({ log: LOG, onQuiet: (touched) => void bursts.push(touched), ...options })
  // Before the folder goes, which is seen as well.
  t.after(() => watch.close())
  const root = await folderOf(t, files)
  await watch.setPaths([join(root, 'cardea.yaml'), join(root, 'plugins')])
  const seen = (path: string) => bursts.some((burst) => burst.includes(join(root, path)))
  return { root, bursts, seen, watch }
}

/** Real watchers, which the test can have say something besides. */
function openInto(watchers: FSWatcher[]): typeof openWatcher {
  return (path, options) => {
    const watcher = openWatcher(path, options)
    watchers.push(watcher)
    return watcher
  }
}

test('Watch sees a config file that is replaced by rename, again and again', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'cardea.yaml': 'a: 1' })
  for (let round = 1; round <= 3; round++) {
    bursts.length = 0
    await writeFile(join(root, 'next'), `a: ${round}${round}`)
    await rename(join(root, 'next'), join(root, 'cardea.yaml'))
    await waitFor(() => seen('cardea.yaml'), `the event of round ${round}`)
  }
})

test('Watch makes one call of a burst that never rests for quietMs, and another of what comes after', async (t) => {
  const watchers: FSWatcher[] = []
  const { root, bursts } = await watching(t, { 'plugins/a/plugin.json': '{}' }, { open: openInto(watchers) })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const write = (file: string): void => {
    watchers.at(-1)?.emit('all', 'add', join(root, 'plugins/a', file))
  }
  for (let file = 0; file < 50; file++) {
    write(`f${file}.ts`)
    t.mock.timers.tick(WATCH_LIMITS.quietMs - 1)
  }
  assert.equal(bursts.length, 0)
  t.mock.timers.tick(1)
  assert.equal(bursts.length, 1)
  assert.equal(bursts.flat().length, 50)
  write('late.ts')
  t.mock.timers.tick(WATCH_LIMITS.quietMs)
  assert.deepEqual(bursts[1], [join(root, 'plugins/a/late.ts')])
})

test('look() has all that is watched looked at, and calls nothing saved but what was', async (t) => {
  const watchers: FSWatcher[] = []
  const { root, bursts, watch } = await watching(t, { 'cardea.yaml': 'a: 1' }, { open: openInto(watchers) })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const config = join(root, 'cardea.yaml')
  const save = (): void => void watchers[0]?.emit('all', 'change', config)
  const look = (): void => watch.look()
  for (const steps of [[look], [save, look], [look, save], [look]]) {
    for (const step of steps) step()
    t.mock.timers.tick(WATCH_LIMITS.quietMs)
  }
  assert.deepEqual(bursts, [[], [config], [config], []])
})

test('Watch sees all files of a burst', async (t) => {
  const { root, bursts } = await watching(t, { 'plugins/a/plugin.json': '{}' })
  await Promise.all(
    Array.from({ length: 50 }, (_, index) => writeFile(join(root, 'plugins/a', `f${index}.ts`), 'x')),
  )
  await waitFor(() => bursts.flat().length >= 50, 'all files')
})

test('Watch waits for a file that is still empty', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'plugins/a/plugin.ts': 'x', 'cardea.yaml': '' })
  await writeFile(join(root, 'plugins/a/plugin.ts'), '')
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'export {}')
  await waitFor(() => seen('plugins/a/plugin.ts'), 'the event')
  assert.equal(bursts.length, 1)
})

const ROUTES = ['routes:', '  - name: open', '  - name: public', '  - name: api', ''].join('\n')
const KEYS = 'one\ntwo\nthree\n'
const denying = (...names: readonly string[]): string =>
  names.map((name) => `denied.add('${name}')\n`).join('')
const halfOf = (text: string): string => text.slice(0, text.lastIndexOf('  - name: api'))

/** A writer that truncates, and pauses for several times as long as a burst is quiet. */
async function writeSlowly(path: string, ...pieces: readonly string[]): Promise<void> {
  await writeFile(path, '')
  for (const piece of pieces) {
    await pause(5 * WATCH_LIMITS.quietMs)
    await appendFile(path, piece)
  }
}

for (const [what, file, pieces] of [
  ['the beginning of what it said', 'cardea.yaml', [halfOf(ROUTES), '  - name: api\n']],
  [
    'the beginning of a line',
    'cardea.yaml',
    ['routes:\n  - name: open\n  - name: more\n  - na', 'me: api\n'],
  ],
  [
    'other lines, and fewer',
    'cardea.yaml',
    ['routes:\n  - name: closed\n', '  - name: public\n  - name: api\n'],
  ],
  ['fewer keys', 'keys.txt', ['one\n', 'two\n', 'three\nfour\n']],
  ['the beginning of a plugin', 'plugins/auth/denied.ts', [denying('one'), denying('two', 'three')]],
] as const) {
  test(`Watch waits for the rest of a file of which there is ${what}`, async (t) => {
    const said: string[] = []
    const { root, watch } = await watching(
      t,
      {
        'cardea.yaml': ROUTES,
        'keys.txt': KEYS,
        'plugins/auth/denied.ts': denying('one', 'two', 'three'),
      },
      { onQuiet: (files) => void said.push(...files.map((touched) => readFileSync(touched, 'utf8'))) },
    )
    await watch.setPaths(['cardea.yaml', 'plugins', 'keys.txt'].map((path) => join(root, path)))
    await waitFor(() => said.length > 0, 'a look at what is watched since')
    said.length = 0
    await writeSlowly(join(root, file), ...pieces)
    await waitFor(() => said.length > 0, 'the event')
    assert.deepEqual(said, [pieces.join('')])
  })
}

test('Watch waits for the rest of a file that came since it watches', async (t) => {
  const said: string[] = []
  const { root } = await watching(
    t,
    { 'plugins/auth/plugin.ts': 'x' },
    {
      onQuiet: (files) => {
        for (const file of files) if (file.endsWith('denied.ts')) said.push(readFileSync(file, 'utf8'))
      },
    },
  )
  const file = join(root, 'plugins/auth/denied.ts')
  await writeFile(file, denying('one', 'two'))
  await waitFor(() => said.length > 0, 'the event')
  await writeSlowly(file, denying('one'), denying('two', 'three'))
  await waitFor(() => said.length > 1, 'the next event')
  assert.deepEqual(said, [denying('one', 'two'), denying('one', 'two', 'three')])
})

test('Watch takes a file that has lost its end when it stays so, and again at once when it has it back', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'cardea.yaml': ROUTES })
  const file = join(root, 'cardea.yaml')
  await writeFile(file, halfOf(ROUTES))
  await waitFor(() => seen('cardea.yaml'), 'the routes that are left')
  bursts.length = 0
  await writeFile(file, ROUTES)
  await waitFor(() => seen('cardea.yaml'), 'all routes')
})

test('Watch makes one call of a plugin folder that is renamed', async (t) => {
  const plugin = { 'plugin.json': '{}', 'plugin.ts': 'x', 'lib/part.ts': 'x' }
  const files = Object.entries(plugin).map(([name, text]) => [`plugins/a/${name}`, text])
  const { root, bursts, seen } = await watching(t, Object.fromEntries(files))
  await rename(join(root, 'plugins/a'), join(root, 'plugins/b'))
  await waitFor(() => seen('plugins/b/lib/part.ts'), 'the new name')
  assert.ok(seen('plugins/a/plugin.json') && seen('plugins/a'))
  // What is seen of the old name later than of the new one would be seen before this.
  await writeFile(join(root, 'plugins/last'), 'x')
  await waitFor(() => seen('plugins/last'), 'what is saved later')
  assert.equal(bursts.flat().filter((path) => path.startsWith(join(root, 'plugins/a'))).length, 5)
  assert.equal(bursts.length, 2)
})

test('Watch makes one call of a folder that is removed and made anew', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'plugins/a/plugin.ts': 'x' })
  await rm(join(root, 'plugins/a'), { recursive: true })
  await pause(2 * WATCH_LIMITS.quietMs)
  await mkdir(join(root, 'plugins/a'))
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'y')
  await waitFor(() => seen('plugins/a/plugin.ts'), 'the events')
  assert.equal(bursts.length, 1)
})

/** Root may read everything. */
function asNobody(t: TestContext): void {
  if (process.getuid?.() !== 0) return
  process.seteuid?.(65_534)
  t.after(() => process.seteuid?.(0))
}

for (const [what, folder] of [
  ['a plugin folder', 'plugins/a'],
  ['the plugins folder', 'plugins'],
  ['the folder around it all', '.'],
] as const) {
  for (const isSoAtFirst of [true, false]) {
    const since = isSoAtFirst ? 'before it watched it' : 'later'
    test(`Watch looks at ${what} again that it could not read since ${since}`, async (t) => {
      const warned: string[] = []
      const log = { ...LOG, warn: (message: string) => void warned.push(message) }
      asNobody(t)
      const closed: string[] = []
      // Before the folder is removed, which it must be readable for.
      t.after(() => Promise.all(closed.map((path) => chmod(path, 0o755))))
      const root = await folderOf(t, { 'cardea.yaml': '', 'plugins/a/plugin.ts': 'x' })
      const bursts: (readonly string[])[] = []
      const watch = new Watch({ log, onQuiet: (touched) => void bursts.push(touched) })
      t.after(() => watch.close())
      closed.push(join(root, folder))
      if (isSoAtFirst) await chmod(join(root, folder), 0)
      await watch.setPaths([join(root, 'plugins')])
      if (!isSoAtFirst) await chmod(join(root, folder), 0)
      // As a change does that fails for it.
      await watch.setPaths([join(root, 'plugins')])
      await waitFor(() => warned.length > 0, 'what it says')
      assert.equal(warned.length, 1)
      assert.match(warned.join(), /^Cannot watch all of "\S+plugins": EACCES/)
      await chmod(join(root, folder), 0o755)
      await waitFor(() => bursts.flat().includes(join(root, 'plugins')), 'a look at it')
      await mkdir(join(root, 'plugins/b'))
      await writeFile(join(root, 'plugins/a/plugin.ts'), 'y')
      await waitFor(() => bursts.flat().includes(join(root, 'plugins/b')), 'what is made in it')
      await waitFor(() => bursts.flat().includes(join(root, 'plugins/a/plugin.ts')), 'what is saved in it')
    })
  }
}

test('Watch looks at a config again that it could not read', async (t) => {
  const warned: string[] = []
  const log = { ...LOG, warn: (message: string) => void warned.push(message) }
  asNobody(t)
  const config = join(await folderOf(t, { 'cardea.yaml': 'workers: 1' }), 'cardea.yaml')
  await chmod(config, 0)
  const bursts: (readonly string[])[] = []
  const watch = new Watch({ log, onQuiet: (touched) => void bursts.push(touched) })
  t.after(() => watch.close())
  await watch.setPaths([config])
  assert.match(warned.join(), /^Cannot watch all of "\S+cardea\.yaml": EACCES/)
  await chmod(config, 0o600)
  await waitFor(() => bursts.flat().includes(config), 'a look at it')
})

test('Watch sees a plugins folder that comes later, goes, and comes back', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'cardea.yaml': '' })
  for (let round = 1; round <= 2; round++) {
    bursts.length = 0
    await mkdir(join(root, 'plugins/late'), { recursive: true })
    await writeFile(join(root, 'plugins/late/plugin.json'), `${round}`)
    await waitFor(() => seen('plugins/late/plugin.json'), `the plugin of round ${round}`)
    bursts.length = 0
    await rm(join(root, 'plugins'), { recursive: true })
    await waitFor(() => bursts.length > 0, `its end in round ${round}`)
  }
})

test('Watch ignores hidden files and node_modules', async (t) => {
  const { root, bursts, seen } = await watching(t, { 'plugins/a/plugin.ts': 'x' })
  await mkdir(join(root, 'plugins/a/node_modules/dep'), { recursive: true })
  await writeFile(join(root, 'plugins/a/node_modules/dep/index.js'), 'x')
  await writeFile(join(root, 'plugins/a/.plugin.ts.swp'), 'x')
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'y')
  await waitFor(() => seen('plugins/a/plugin.ts'), 'the event')
  assert.deepEqual(
    bursts.flat().filter((path) => path.includes('node_modules') || path.endsWith('.swp')),
    [],
  )
})

test('setPaths() resolves when what is written from then on is seen, however much there is to watch', async (t) => {
  const folders = Array.from({ length: 300 }, (_, index) => `plugins/p${index}/lib/part.ts`)
  const { root, seen } = await watching(t, Object.fromEntries(folders.map((file) => [file, 'x'])))
  // Written at once, in the turn in which it resolved.
  for (const file of folders) writeFileSync(join(root, file), 'changed')
  await waitFor(() => folders.every(seen), 'an event of each file')
})

test('a path that is watched later counts as touched: nobody saw what was written before', async (t) => {
  const { root, bursts, seen, watch } = await watching(t, { 'cardea.yaml': '', 'other/a/plugin.ts': 'x' })
  const paths = [join(root, 'cardea.yaml'), join(root, 'other')]
  await watch.setPaths(paths)
  await waitFor(() => seen('other'), 'a look at it')
  bursts.length = 0
  await watch.setPaths(paths)
  await writeFile(join(root, 'other/a/plugin.ts'), 'y')
  await waitFor(() => seen('other/a/plugin.ts'), 'the event')
  assert.deepEqual(
    bursts.flat().filter((path) => path !== join(root, 'other/a/plugin.ts')),
    [],
  )
})

test('a path that goes before it is watched keeps no other from counting as touched', async (t) => {
  const { root, seen, watch } = await watching(t, { 'cardea.yaml': '', 'gone/a.ts': 'x', 'other/b.ts': 'x' })
  const first = watch.setPaths([join(root, 'gone'), join(root, 'other')])
  await watch.setPaths([join(root, 'other')])
  await first
  await waitFor(() => seen('other'), 'a look at it')
  assert.equal(seen('gone'), false)
})

test('a path that is not watched any more is seen no more, and again when it is', async (t) => {
  const { root, bursts, seen, watch } = await watching(t, { 'cardea.yaml': '', 'plugins/a/plugin.ts': 'x' })
  await watch.setPaths([join(root, 'cardea.yaml')])
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'y')
  await writeFile(join(root, 'cardea.yaml'), 'y')
  await waitFor(() => seen('cardea.yaml'), 'the event of what is')
  assert.equal(seen('plugins/a/plugin.ts'), false)
  await watch.setPaths([join(root, 'cardea.yaml'), join(root, 'plugins')])
  bursts.length = 0
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'z')
  await waitFor(() => seen('plugins/a/plugin.ts'), 'the event')
})

test('close() resolves what waits, and calls nobody any more', async (t) => {
  const { root, bursts, watch } = await watching(t, { 'cardea.yaml': 'a' })
  await writeFile(join(root, 'cardea.yaml'), 'b')
  const waiting = watch.setPaths([join(root, 'plugins')])
  await watch.close()
  await waiting
  assert.deepEqual(bursts, [])
})

/** As where inotify gives none: each folder that it comes to is an error. */
class ExhaustedWatcher extends FSWatcher {
  override add(): this {
    for (const folder of ['a', 'b']) {
      const error = Object.assign(new Error(`no watcher for ${folder}`), { code: 'ENOSPC' })
      setImmediate(() => this.emit('error', error))
    }
    return this
  }
}

test('Watch looks at files again and again where the system has no watchers left, and says so once', async (t) => {
  const said: string[] = []
  const { root, bursts, seen } = await watching(
    t,
    { 'cardea.yaml': 'a: 1', 'plugins/a/plugin.ts': 'x' },
    {
      log: { ...LOG, warn: (message) => void said.push(message) },
      open: (path, options) =>
        options?.usePolling === true ? openWatcher(path, options) : new ExhaustedWatcher(options).add(),
    },
  )
  await waitFor(
    () => seen('cardea.yaml') && seen('plugins'),
    'what was written meanwhile to count as touched',
  )
  assert.equal(said.length, 2)
  for (const message of said)
    assert.match(message, /^The system has no file watchers left: "\S+" is looked at every/)
  bursts.length = 0
  await writeFile(join(root, 'plugins/a/plugin.ts'), 'longer')
  await writeFile(join(root, 'cardea.yaml'), 'a: 123')
  await waitFor(() => seen('plugins/a/plugin.ts') && seen('cardea.yaml'), 'the events')
})
