import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import * as esbuild from 'esbuild'
import { messageOf } from '../base/errors.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import type { BundlePlan } from '../protocol/generation.ts'
import { type PluginProblem, problemAt } from './problem.ts'
import type { VerifiedPlugin } from './verify.ts'

export interface BuiltPlugin extends VerifiedPlugin {
  readonly bundle: BundlePlan
  /** Absolute paths of what was bundled from packages: the plugin's own folder does not tell when these change. */
  readonly libraryFiles: readonly string[]
}

export interface BuildOutcome {
  readonly built: readonly BuiltPlugin[]
  readonly problems: readonly PluginProblem[]
}

/** What the bundle's text calls `import.meta.url`, which CommonJS does not have. plugin-host/load.ts provides it. */
const IMPORT_META_URL = '__importMetaUrl'

/** For how long a build is waited for. */
interface Patience {
  readonly timeoutMs: number
  /** Aborted when nobody needs it any more. */
  readonly signal: AbortSignal
}

const NEVER_ABORTED = new AbortController().signal

/**
 * Compiles plugins, each to one CommonJS text with its npm dependencies in it. The problems of all of them are
 * reported together.
 *
 * Once the signal is aborted it resolves at once, with what was built by then and no word of the others: nothing goes on
 * behind it. Whoever passes one has to look at it.
 */
export async function buildPlugins(
  plugins: readonly VerifiedPlugin[],
  {
    timeoutMs = PLUGIN_LIMITS.buildTimeoutMs,
    signal = NEVER_ABORTED,
  }: { readonly timeoutMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<BuildOutcome> {
  const built: BuiltPlugin[] = []
  const problems: PluginProblem[] = []
  const patience = { timeoutMs, signal }
  const atOnce = PLUGIN_LIMITS.buildsAtOnceMax
  for (let start = 0; start < plugins.length && !signal.aborted; start += atOnce) {
    const group = plugins.slice(start, start + atOnce)
    for (const outcome of await Promise.all(group.map((plugin) => buildPlugin(plugin, patience)))) {
      if (outcome.ok) built.push(outcome.plugin)
      else problems.push(...outcome.problems)
    }
  }
  return { built, problems }
}

/** Ends esbuild's process, which is started by the first build and shared by all. A later build starts a new one. */
export async function stopBuildService(): Promise<void> {
  await esbuild.stop()
}

type PluginOutcome =
  | { readonly ok: true; readonly plugin: BuiltPlugin }
  | { readonly ok: false; readonly problems: readonly PluginProblem[] }

async function buildPlugin(plugin: VerifiedPlugin, patience: Patience): Promise<PluginOutcome> {
  const folder = dirname(plugin.entryFile)
  try {
    const realFolder = realpathSync.native(folder)
    const result = await esbuilt(buildOptions(plugin, realFolder), patience)
    const code = result.outputFiles.find((file) => file.path.endsWith('.cjs'))
    const map = result.outputFiles.find((file) => file.path.endsWith('.map'))
    if (code === undefined || map === undefined) throw new Error('esbuild wrote no bundle')
    if (code.contents.byteLength > PLUGIN_LIMITS.bundleBytesMax) {
      const message =
        `Cannot build plugin "${plugin.manifest.name}": its bundle has ${code.contents.byteLength} bytes, at most ` +
        `${PLUGIN_LIMITS.bundleBytesMax} are allowed; import less of its dependencies.`
      return {
        ok: false,
        problems: [problemAt(plugin.entryFile, 'PLUGIN_BUILD_FAILED', message, { folder })],
      }
    }
    const bundle: BundlePlan = {
      codeHash: createHash('sha256').update(code.contents).digest('hex'),
      code: code.text,
      sourceMap: withOwnSources(map.text, result.metafile.inputs, realFolder),
      entryFile: plugin.entryFile,
    }
    const libraryFiles = Object.keys(result.metafile.inputs)
      .map((file) => resolve(realFolder, file))
      .filter((file) => !isOwnFile(realFolder, file))
    return { ok: true, plugin: { ...plugin, bundle, libraryFiles } }
  } catch (error) {
    if (patience.signal.aborted) return { ok: false, problems: [] }
    const messages = isBuildFailure(error) ? error.errors : []
    const problems = messages.map((message) => asProblem(plugin, folder, message))
    if (problems.length > 0) return { ok: false, problems }
    const sentence = `Cannot build plugin "${plugin.manifest.name}": ${messageOf(error)}`
    return { ok: false, problems: [problemAt(plugin.entryFile, 'PLUGIN_BUILD_FAILED', sentence, { folder })] }
  }
}

/**
 * The map with the text of the plugin's own files, which code frames are made from: on disk they may have changed since.
 * Nobody needs that of a library.
 */
function withOwnSources(text: string, inputs: esbuild.Metafile['inputs'], realFolder: string): string {
  const isKept = (source: string, bytes: number): boolean =>
    isOwnFile(realFolder, resolve(realFolder, source)) && bytes <= PLUGIN_LIMITS.sourceBytesMax
  // Most plugins are all their own: nothing has to be taken apart.
  if (Object.entries(inputs).every(([file, { bytes }]) => isKept(file, bytes))) return text
  const map = JSON.parse(text) as { sources: string[]; sourcesContent: string[] }
  const sourcesContent = map.sources.map((source, index) => {
    const content = map.sourcesContent[index] ?? ''
    return isKept(source, Buffer.byteLength(content)) ? content : null
  })
  return JSON.stringify({ ...map, sourcesContent })
}

type BuildOptions = esbuild.BuildOptions & { write: false; metafile: true }

/** Counts esbuild's processes. Of builds that lose one together only the first starts the next. */
let services = 0

/**
 * Builds, once more in another process of esbuild when the one there is died, or says nothing for too long. Throws the
 * signal's reason once it is aborted, and leaves no process then that may hang for whoever builds next.
 */
async function esbuilt(
  options: BuildOptions,
  { timeoutMs, signal }: Patience,
): Promise<esbuild.BuildResult<BuildOptions>> {
  for (let isRepeat = false; ; isRepeat = true) {
    const service = services
    try {
      return await inTime(esbuild.build(options), { timeoutMs, signal })
    } catch (error) {
      if (isBuildFailure(error) || (isRepeat && !signal.aborted)) throw error
      if (service === services) {
        services += 1
        await esbuild.stop()
      }
      signal.throwIfAborted()
    }
  }
}

async function inTime<Result>(work: Promise<Result>, { timeoutMs, signal }: Patience): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`esbuild has not answered for ${timeoutMs} ms`)), timeoutMs)
  const giveUp = (): void => reject(signal.reason)
  signal.addEventListener('abort', giveUp)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
  }
}

function buildOptions(plugin: VerifiedPlugin, folder: string): BuildOptions {
  const { name, version } = plugin.manifest
  // esbuild names files by their real path, and paths relative to this folder keep the machine out of the bundle.
  const entryFile = realpathSync.native(plugin.entryFile)
  return {
    entryPoints: [entryFile],
    absWorkingDir: folder,
    outfile: resolve(folder, 'plugin.cjs'),
    write: false,
    metafile: true,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    external: ['@cardea/sdk'],
    sourcemap: 'external',
    sourcesContent: true,
    legalComments: 'none',
    charset: 'utf8',
    logLevel: 'silent',
    // A tsconfig.json somewhere above the folder must not change what the plugin means.
    tsconfigRaw: { compilerOptions: { strict: true } },
    define: {
      'import.meta.url': IMPORT_META_URL,
      'import.meta.dirname': '__dirname',
      'import.meta.filename': '__filename',
    },
    // As `require`, which can refuse what was not bundled; vm code has no import() of its own.
    supported: { 'dynamic-import': false },
    // Names make the hashes of two plugins differ even if their code is the same: each has its own files. Strict, as
    // the ES modules were before they became CommonJS: writing to the frozen config must throw.
    banner: { js: `/* ${name}@${version} */ "use strict";` },
    plugins: [pluginRules(folder)],
  }
}

/** What a plugin may not import, refused where the import stands. */
function pluginRules(folder: string): esbuild.Plugin {
  return {
    name: 'cardea',
    setup(build) {
      build.onResolve({ filter: /^(\.{0,2}\/|\.{1,2}$)/ }, (args) => {
        if (args.kind === 'entry-point' || !isOwnFile(folder, args.importer)) return undefined
        if (isInside(folder, resolve(args.resolveDir, args.path))) return undefined
        const text =
          `"${args.path}" is outside of the plugin's folder. A plugin is its folder, nothing else is watched, hashed or ` +
          'moved with it: put the file there, or import it as an npm package.'
        return { errors: [{ text }] }
      })
      build.onResolve({ filter: /^@cardea\/sdk\/./ }, (args) => ({
        errors: [{ text: `"${args.path}" is for tests; a plugin itself may import @cardea/sdk only.` }],
      }))
      build.onLoad({ filter: /\.node$/ }, () => ({
        errors: [
          {
            text:
              'native addons cannot be bundled, and could never be unloaded: use a package without one, or run it as a ' +
              'service and call it with host.fetch.',
          },
        ],
      }))
    },
  }
}

/** Packages may import as they like; the rule is for what the author writes. */
function isOwnFile(folder: string, file: string): boolean {
  return isInside(folder, file) && !relative(folder, file).split(sep).includes('node_modules')
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function isBuildFailure(error: unknown): error is esbuild.BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}

function asProblem(plugin: VerifiedPlugin, folder: string, message: esbuild.Message): PluginProblem {
  const reason = reasonOf(message.text, folder)
  const sentence = `Cannot build plugin "${plugin.manifest.name}": ${reason}`
  const at = message.location
  if (at === null) return problemAt(plugin.entryFile, 'PLUGIN_BUILD_FAILED', sentence, { folder })
  // esbuild counts columns in bytes from 0.
  const column = Buffer.from(at.lineText).subarray(0, at.column).toString().length + 1
  const place = { file: resolve(folder, at.file), line: at.line, column }
  return problemAt(place, 'PLUGIN_BUILD_FAILED', sentence, { folder })
}

/** In esbuild's words, but where they say no way out. */
function reasonOf(text: string, folder: string): string {
  if (text.startsWith('Top-level await')) {
    return 'top-level await is not possible, since bundles are CommonJS: await inside of PluginMain, which may be async.'
  }
  // A path is that of a file; anything else is a package's name, and what follows is a path in it.
  const [, name] = /^Could not resolve "(?![./#])((?:@[^/"]+\/)?[^/"]+)/.exec(text) ?? []
  return name === undefined ? text : `${text}; install it there: npm install --prefix "${folder}" ${name}`
}
