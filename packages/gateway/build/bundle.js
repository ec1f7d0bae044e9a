import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Makes of the sources what runs: a file for each process and thread, and one for each part that several of them share. A
 * gateway is five processes, each of which would load hundreds of small files one by one. Plain JavaScript, as the launcher.
 */

const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)))

/** Each of them starts a process or a thread; the last two are loaded where plugins' tests run. */
export const ENTRIES = [
  'cli',
  'supervisor',
  'worker',
  'trial',
  'trial-watch',
  'watchdog-thread',
  'test-imports',
  'sole-test-file',
]

/**
 * These share nothing with others: each file that Node loads has a price, and of these a gateway starts the most.
 * *Measured*: a worker takes 255 ms of CPU to start instead of 280, a trial 210 instead of 230.
 */
const ALONE = ['worker', 'trial', 'trial-watch', 'watchdog-thread']

/** To this src/main/test-imports.ts leads the tests of plugins. */
const HARNESS = { sdk: '../sdk/src/index.ts', 'sdk-testing': '../sdk/src/testing/index.ts' }

/**
 * These are found beside the package when they run: esbuild is a program, pino-pretty is for terminals only, ioredis for
 * those who name a Redis.
 */
const EXTERNAL = ['esbuild', 'pino-pretty', 'ioredis']

/** CommonJS packages that are bundled ask for Node's own modules by it. */
const BANNER =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);"

const BUILD_PREFIX = 'dist-'
const SCHEMAS_PREFIX = 'own-schemas-'
/** A gateway that still runs from an older build may yet start a process of it. */
const KEPT_MS = 7 * 24 * 3_600_000

/**
 * Writes `main/cli.js` and all that it needs into the folder `out`. Throws what esbuild says when it cannot.
 *
 * @param {string} out
 * @param {string} folder the package's; another one in tests only.
 */
export function bundle(out, folder = PACKAGE) {
  const { buildSync } = loadEsbuild()
  const alias = { '#own-schemas': writeOwnSchemas(folder) }
  const sources = (/** @type {readonly string[]} */ entries) =>
    Object.fromEntries(entries.map((entry) => [entry, `src/main/${entry}.ts`]))
  const together = ENTRIES.filter((entry) => !ALONE.includes(entry))
  // The harness too: what it has in common with the supervisor would be parts that this loads one by one.
  const groups = [sources(together), ...ALONE.map((entry) => sources([entry])), HARNESS]
  for (const entries of groups) buildSync({ ...optionsOf(entries, out, folder), alias })
}

/**
 * Writes what takes the place of src/config/own-schemas.ts; returns its path. The program has that in comments, so it does
 * not differ by who built these sources, and two who build different ones at one time write different files.
 *
 * @param {string} folder
 */
export function writeOwnSchemas(folder = PACKAGE) {
  const sources = join(folder, 'src', 'config')
  const cache = join(folder, 'node_modules', '.cache')
  const { standaloneSchemas } = loadSource(join(sources, 'standalone.ts'))
  const text = standaloneSchemas(relative(cache, sources).replaceAll('\\', '/'))
  const file = join(
    cache,
    `${SCHEMAS_PREFIX}${createHash('sha256').update(text).digest('hex').slice(0, 16)}.js`,
  )
  const written = `${file}.${process.pid}`
  mkdirSync(cache, { recursive: true })
  writeFileSync(written, text)
  renameSync(written, file)
  removeOld(cache, SCHEMAS_PREFIX, file)
  return file
}

/**
 * The exports of a source file, for any Node that the launcher runs on.
 *
 * @param {string} file
 */
function loadSource(file) {
  const { buildSync } = loadEsbuild()
  const { outputFiles } = buildSync({
    entryPoints: [file],
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  })
  const module = { exports: {} }
  new Function('module', 'require', outputFiles[0].text)(module, createRequire(file))
  return module.exports
}

/**
 * @param {Readonly<Record<string, string>>} entries sources by the name of what is made of them
 * @param {string} out
 * @param {string} folder
 * @returns {import('esbuild').BuildOptions}
 */
function optionsOf(entries, out, folder) {
  return {
    absWorkingDir: folder,
    entryPoints: Object.fromEntries(
      Object.entries(entries).map(([name, source]) => [name, join(folder, source)]),
    ),
    // All in one folder: each finds its neighbours, and the package two folders above, as its source does.
    outdir: join(out, 'main'),
    entryNames: '[name]',
    chunkNames: 'part-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: EXTERNAL,
    banner: { js: BANNER },
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'silent',
  }
}

/**
 * As it works without threads: it waits for the process that it starts. Otherwise that one would be left to whom this
 * process becomes, a gateway, which knows nothing of it and would have it as a zombie.
 *
 * @returns {typeof import('esbuild')}
 */
function loadEsbuild() {
  const { ESBUILD_WORKER_THREADS: before } = process.env
  process.env.ESBUILD_WORKER_THREADS = '0'
  try {
    return createRequire(import.meta.url)('esbuild')
  } finally {
    if (before === undefined) delete process.env.ESBUILD_WORKER_THREADS
    else process.env.ESBUILD_WORKER_THREADS = before
  }
}

/**
 * The program made of the sources as they are now; made only when nobody did since they changed. Throws when it cannot
 * be made or written.
 *
 * @param {string} folder as for `bundle()`.
 * @returns {string}
 */
export function builtProgram(folder = PACKAGE) {
  const build = join(folder, `${BUILD_PREFIX}${fingerprint(folder)}`)
  const program = join(build, 'main', 'cli.js')
  if (existsSync(program)) return program
  const making = `${build}.${process.pid}`
  try {
    mkdirSync(making)
    bundle(making, folder)
    put(making, build)
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
  removeOld(folder, BUILD_PREFIX, build)
  return program
}

/** @param {string} making @param {string} build */
function put(making, build) {
  try {
    renameSync(making, build)
  } catch (error) {
    // Somebody else made the same meanwhile.
    if (!existsSync(build)) throw error
  }
}

/** @param {string} folder @param {string} prefix @param {string} current */
function removeOld(folder, prefix, current) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (!name.startsWith(prefix) || path === current) continue
    // Absent by now: somebody else removed it, or what was being written has its name.
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats !== undefined && Date.now() - stats.mtimeMs > KEPT_MS)
      rmSync(path, { recursive: true, force: true })
  }
}

/**
 * Of name, size and time of every source: reading them all would take as long as running them.
 *
 * @param {string} folder
 */
function fingerprint(folder) {
  const hash = createHash('sha256')
  const files = [join(folder, 'src'), join(folder, '..', 'sdk', 'src')].flatMap((sources) =>
    readdirSync(sources, { recursive: true, encoding: 'utf8' }).map((name) => join(sources, name)),
  )
  const others = [fileURLToPath(import.meta.url), join(folder, '..', '..', 'package-lock.json')]
  for (const file of [...files, ...others].filter(isInput).sort()) {
    const { size, mtimeMs } = statSync(file)
    hash.update(`${relative(folder, file)}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest('hex').slice(0, 16)
}

/** @param {string} file */
function isInput(file) {
  return /\.(ts|js|json)$/.test(file) && !file.endsWith('.test.ts')
}
