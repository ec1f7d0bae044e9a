import { globSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { pathToFileURL } from 'node:url'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { nearestOf } from '../config/nearest.ts'
import { childEntryFile } from '../main/child-slot.ts'
import type { CommandIo } from './io.ts'

export interface PluginTestOptions {
  /** The plugins directory, absolute. It need not be there when a built-in plugin is named. */
  readonly dir: string
  readonly io: CommandIo
  /** Default: those that came with this program. */
  readonly builtInDirectory?: string
}

const TEST_FILES = '**/*.test.{ts,mts,js,mjs}'

/**
 * For a test that says nothing else. One that waits for time, and forgets to move the harness's clock, would wait for
 * ever, and nobody would see which one it is.
 */
const SETTINGS = { timeout: 60_000 }

const FLAGS = [
  // A plugin's folder needs no package.json, so nobody has said which modules these are.
  '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON',
  `--import=${pathToFileURL(childEntryFile('test-imports.ts')).href}`,
]

/**
 * `cardea plugin test [NAME]`: runs the tests of the plugin of that name, yours or a built-in one, or of all of yours,
 * with node:test and the Node that runs the gateway. Returns the exit code: 0 when all of them passed, 1 when one failed
 * or there are none.
 */
export async function pluginTest(name: string | null, options: PluginTestOptions): Promise<number> {
  const { io } = options
  const folders = name === null ? await pluginFoldersOf(options.dir) : await namedFolder(name, options)
  if (typeof folders === 'string') {
    io.err(`${folders}\n`)
    return 1
  }
  const untested: string[] = []
  const files = folders.flatMap((folder) => {
    const found = testFilesOf(folder)
    if (found.length === 0) untested.push(basename(folder))
    return found
  })
  if (files.length === 0) {
    io.err(`${nothingToTest(folders)}\n`)
    return 1
  }
  if (untested.length > 0) io.err(`Without tests: ${untested.join(', ')}.\n`)
  return runTests(dirname(folders[0] ?? ''), files, io)
}

/** The folders that are plugins, or the sentence that says why there are none. */
async function pluginFoldersOf(dir: string): Promise<readonly string[] | string> {
  const entries = await readdir(dir).catch(() => null)
  if (entries === null) {
    return `There is no plugins directory ${dir}; name one with --dir, or make a plugin with \`cardea plugin new NAME\`.`
  }
  const folders = entries.filter((entry) => !entry.startsWith('.') && entry !== 'node_modules').sort()
  const plugins = []
  for (const entry of folders) if (await isPlugin(join(dir, entry))) plugins.push(join(dir, entry))
  if (plugins.length > 0) return plugins
  return `${dir} holds no plugin: a folder with a plugin.json. \`cardea plugin new NAME\` makes one.`
}

async function namedFolder(name: string, options: PluginTestOptions): Promise<readonly string[] | string> {
  const { dir, builtInDirectory = builtInPluginsDirectory() } = options
  // What names another folder is no plugin's name.
  if (basename(name) === name) {
    for (const folder of [join(dir, name), join(builtInDirectory, name)]) {
      if (await isPlugin(folder)) return [folder]
    }
  }
  const known = await Promise.all([dir, builtInDirectory].map(pluginFoldersOf))
  const names = known.flatMap((folders) =>
    typeof folders === 'string' ? [] : folders.map((at) => basename(at)),
  )
  const nearest = nearestOf(name, names)
  const hint = nearest === null ? 'name the directory it is in with --dir.' : `did you mean "${nearest}"?`
  return `There is no plugin "${name}" in ${dir}, nor a built-in one of that name; ${hint}`
}

async function isPlugin(folder: string): Promise<boolean> {
  const manifest = await stat(join(folder, 'plugin.json')).catch(() => null)
  return manifest?.isFile() === true
}

function testFilesOf(folder: string): string[] {
  const isSkipped = (path: string): boolean => ['node_modules', 'dist'].includes(basename(path))
  return globSync(TEST_FILES, { cwd: folder, exclude: isSkipped })
    .map((file) => join(basename(folder), file))
    .sort()
}

function nothingToTest(folders: readonly string[]): string {
  const [folder = ''] = folders
  const shipped = folder.startsWith(builtInPluginsDirectory())
  if (shipped)
    return `The tests of the built-in plugin "${basename(folder)}" are in Cardea's repository only.`
  return folders.length === 1
    ? `${folder} has no tests: write one in plugin.test.ts beside plugin.json (docs/guides/test-a-plugin.md).`
    : `None of the ${folders.length} plugins of ${dirname(folder)} has a test: *.test.ts beside its plugin.json.`
}

/** With node:test and its report. */
async function runTests(cwd: string, files: readonly string[], io: CommandIo): Promise<number> {
  // Inside of another test run this is a run of its own.
  delete process.env.NODE_TEST_CONTEXT
  const [first = ''] = files
  const events = run(files.length === 1 ? await inThisProcess(join(cwd, first)) : inProcesses(cwd, files))
  const fileOfName = namesOfFiles(files)
  const empty: string[] = []
  let passed = false
  let isNoted = false
  events.on('test:pass', ({ name }) => {
    const file = fileOfName.get(name)
    if (file !== undefined) empty.push(file)
  })
  events.on('test:summary', ({ file, success, counts }) => {
    // A file in a process of its own has a summary too, which comes before that of all.
    if (file !== undefined) return
    passed = success
    isNoted = !success && counts.tests === counts.passed + counts.skipped + counts.todo
  })
  for await (const text of events.compose(spec)) io.out(String(text))
  if (empty.length > 0) io.err(`No test is in ${empty.join(', ')} (docs/guides/test-a-plugin.md).\n`)
  // Such as a promise that nobody waits for: a note in the report, which is easily missed.
  if (isNoted) io.err('All tests passed, but something beside them failed: the report says what.\n')
  return passed ? 0 : 1
}

/** A file without a test is a test to Node, of this name, which passes when the file runs to its end. */
function namesOfFiles(files: readonly string[]): ReadonlyMap<string, string> {
  const [first = ''] = files
  if (files.length === 1) return new Map([[childEntryFile('sole-test-file.ts'), first]])
  return new Map(files.map((file) => [file, file]))
}

/**
 * A single file has nobody to be kept apart from. *Measured* for a hundred tests: a process of its own, and what it says
 * brought to this one, take 0.4 of 1.7 s.
 */
async function inThisProcess(file: string) {
  const { setSoleTestFile } = await import('../main/test-imports.ts')
  setSoleTestFile(file)
  return { ...SETTINGS, isolation: 'none', files: [childEntryFile('sole-test-file.ts')] } as const
}

/** Each file in a process of its own, as `node --test` does it. */
function inProcesses(cwd: string, files: readonly string[]) {
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort())
  const concurrency = availableParallelism()
  return { ...SETTINGS, cwd, files, execArgv: FLAGS, concurrency, signal: interrupt.signal } as const
}
