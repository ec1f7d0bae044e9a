import { basename, dirname, join, resolve } from 'node:path'
import { cardea, manifest } from '#own-schemas'
import type { ErrorCode } from '../base/errors.ts'
import { besideSecrets, schemaProblems } from './check.ts'
import { fillDefaults } from './defaults.ts'
import { CONFIG_TEXT_LENGTH_MAX, type ParsedText, parseText } from './document.ts'
import { expandVariables, sourceMapOf } from './expand.ts'
import { failurePolicyOf } from './failure.ts'
import { checkConfigSchema, checkFailurePolicy } from './plugin-config.ts'
import { isPluginName } from './plugin-name.ts'
import { copyTree, isObject } from './pointer.ts'
import { fileProblem, sortProblems } from './problem.ts'
import { readablePart } from './readable-part.ts'
import { checkResponseFields, RuleReader } from './rule-reader.ts'
import { checkRules } from './rules.ts'
import type { CardeaFile } from './schema.ts'
import type { ManifestFile } from './schema-plugin.ts'
import { secretsIn } from './secret-schema.ts'
import { parseTarget, TARGET_FORM } from './target.ts'
import { readTextFile, readTextFileSync, UnfitFileError } from './text-file.ts'
import type {
  ConfigProblem,
  LoadedConfig,
  LoadResult,
  ManifestResult,
  PluginManifest,
  SourceMap,
} from './types.ts'
import { checkExpanded } from './validator.ts'

/** Reads cardea.yaml and plugin.json: text → value → variables → schema → rules → defaults, all problems at once. */

export interface LoadOptions {
  /** For `${NAME}`. Default: that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Reads UTF-8 text; rejects with a `code` as node:fs does, or as `readTextFile`. Default: from disk. */
  readonly readFile?: (path: string) => Promise<string>
}

export interface TargetOptions {
  /** Where to listen; default 0.0.0.0. */
  readonly host?: string
  /** Default (or null) 8080; 0: any free port. */
  readonly port?: number | null
  /** Relative paths start here; default the working directory. */
  readonly directory?: string
}

/**
 * What was loaded last, if nothing but its text has a say in it: most changes are made in plugins, and the file is as it
 * was. *Measured* with 20 plugins: a fourteenth of what the supervisor does for a change.
 */
let lastConstant: LoadedConfig | null = null

/** Every change reads all manifests: that costs less than to ask another thread for each. */
const readTextAtOnce = async (path: string) => readTextFileSync(path)

/** Loads a config file, YAML or (by its name) JSON. Never rejects: what is wrong comes back as problems. */
export async function loadConfigFile(path: string, options: LoadOptions = {}): Promise<LoadResult> {
  const file = resolve(path)
  const readFile = options.readFile ?? readTextFile
  const found = await readPlainText(file, readFile, 'CONFIG_NOT_FOUND')
  if (!found.ok) return found
  if (lastConstant?.file === file && lastConstant.text === found.text) {
    return { ok: true, config: lastConstant }
  }
  const opened = parseOpened(file, found.text, 'CONFIG_SYNTAX')
  if (!opened.ok) return opened
  const { parsed, text } = opened
  // An empty file says nothing, and all of it has defaults.
  const unexpanded = parsed.value ?? {}
  const written = sourceMapOf(file, parsed, unexpanded, new Set())
  const included = new Set<string>()
  const sources = {
    env: options.env ?? process.env,
    directory: dirname(file),
    readFile(path: string) {
      included.add(path)
      return readFile(path)
    },
  }
  const expansion = await expandVariables(unexpanded, written, sources)
  const source = sourceMapOf(file, parsed, unexpanded, expansion.expanded)
  // A variable without a value leaves its text behind; to call that malformed as well would say one thing twice.
  const unfilled = new Set(expansion.problems.map((problem) => problem.key))
  const checked = checkCardea(expansion.value, source).filter(
    (problem) => problem.code !== 'CONFIG_INVALID' || !unfilled.has(problem.key) || problem.key === '',
  )
  const problems = sortProblems([...expansion.problems, ...checked])
  const origin = { file, text, unexpanded, source, includedFiles: [...included] }
  if (problems.length > 0) {
    const { value, ...unread } = readablePart(expansion.value, problems)
    return { ok: false, problems, part: { config: toLoaded(value, origin), ...unread } }
  }
  const config = toLoaded(expansion.value, origin)
  lastConstant = expansion.isConstant ? config : null
  return { ok: true, config }
}

/** The config of `cardea --to URL`: every request goes to that server. */
export function configForTarget(url: string, options: TargetOptions = {}): LoadResult {
  const directory = resolve(options.directory ?? '.')
  const target = parseTarget(url)
  const place = { file: 'command line', line: 1, column: 1 }
  if (!target.ok) {
    const { reason, nearest } = target
    const hint = nearest === null ? '' : ` Did you mean ${nearest}?`
    const message = `The target ${JSON.stringify(url)} cannot be used: ${reason}.${hint}`
    const given = JSON.stringify(url)
    return {
      ok: false,
      problems: [
        { code: 'CONFIG_INVALID', ...place, key: '--to', given, expected: TARGET_FORM, nearest, message },
      ],
    }
  }
  const listener = {
    ...(options.host === undefined ? {} : { host: options.host }),
    ...(typeof options.port === 'number' ? { port: options.port } : {}),
  }
  const value = {
    listen: [listener],
    upstreams: { default: { targets: [target.target.url] } },
    routes: [{ name: 'default', path: '/*', upstream: 'default' }],
  }
  const unexpanded = copyTree(value)
  const source = sourceMapOf(
    place.file,
    { locate: () => place, locateKey: () => place },
    unexpanded,
    new Set(),
  )
  const problems = checkCardea(value, source)
  if (problems.length > 0) return { ok: false, problems }
  return {
    ok: true,
    config: toLoaded(value, { file: null, text: '', unexpanded, source, includedFiles: [] }, directory),
  }
}

function checkCardea(value: unknown, source: SourceMap): ConfigProblem[] {
  const errors = checkExpanded(cardea.validator, value, source.isExpanded)
  const { schema } = cardea
  const broken = checkRules(value, source)
  const secrets = broken.length === 0 ? [] : secretsIn(schema, value).map(source.locate)
  return [
    ...schemaProblems(errors, { code: 'CONFIG_INVALID', source, pointer: '', schema }),
    ...besideSecrets(broken, secrets),
  ]
}

function toLoaded(
  value: unknown,
  origin: Pick<LoadedConfig, 'file' | 'text' | 'unexpanded' | 'source' | 'includedFiles'>,
  directory = dirname(origin.file ?? ''),
) {
  fillDefaults(value, cardea.schema)
  const file = value as CardeaFile
  return { ...origin, directory, value: file, pluginsDirectory: resolve(directory, file.plugins_dir) }
}

interface ManifestOptions {
  /**
   * Its `config_schema` is compiled when a config is checked by it, and not before: tests hold that it is one, and most
   * gateways use few of the built-in plugins. *Measured*: all of theirs took 0.2 of 0.8 s of the supervisor's start.
   */
  readonly isBuiltIn?: boolean
}

/**
 * Reads a plugin.json (`path` is its own, or its folder's), with its defaults applied: `on_failure` by category, all others by the schema. `${…}` is left
 * as it stands: a plugin has no say over the environment. Never rejects.
 */
export async function readManifest(
  path: string,
  options: Pick<LoadOptions, 'readFile'> & ManifestOptions = {},
): Promise<ManifestResult> {
  const file = resolve(path.endsWith('.json') ? path : join(path, 'plugin.json'))
  const code = 'PLUGIN_MANIFEST_INVALID'
  const found = await readPlainText(file, options.readFile ?? readTextAtOnce, code)
  if (!found.ok) return { ...found, names: null }
  const known = manifests.get(file)
  if (known?.text === found.text) return { ok: true, manifest: known }
  const opened = parseOpened(file, found.text, code)
  if (!opened.ok) return { ...opened, names: namesWrittenIn(found.text) }
  const result = checkManifest(file, opened, options)
  if (!result.ok) return { ...result, names: nameOf(opened.parsed.value) }
  if (manifests.size >= MANIFESTS_KEPT_MAX) manifests.clear()
  manifests.set(file, result.manifest)
  return result
}

function checkManifest(
  file: string,
  opened: Extract<Opened, { readonly ok: true }>,
  { isBuiltIn }: ManifestOptions,
): { readonly ok: true; readonly manifest: PluginManifest } | Problems {
  const code = 'PLUGIN_MANIFEST_INVALID'
  const { value } = opened.parsed
  const source = sourceMapOf(file, opened.parsed, value, new Set())
  const errors = manifest.validator.check(value)
  const ofFallback = fallbackProblems(value, source)
  if (errors.length > 0) {
    const ofSchema = schemaProblems(errors, { code, source, pointer: '', schema: manifest.schema })
    return { ok: false, problems: sortProblems([...ofSchema, ...ofFallback]) }
  }
  const filled = copyTree(value)
  fillDefaults(filled, manifest.schema)
  const read = toManifest(filled as ManifestFile, { file, source, text: opened.text })
  const schemaProblem = isBuiltIn === true ? null : checkConfigSchema(read)
  const problems = [checkFailurePolicy(read, null), schemaProblem, ...ofFallback].filter(
    (found) => found !== null,
  )
  return problems.length > 0 ? { ok: false, problems } : { ok: true, manifest: read }
}

/** The fallback of a plugin.json is a configured response like those of the config. */
function fallbackProblems(value: unknown, source: SourceMap): ConfigProblem[] {
  const reader = new RuleReader(value, source)
  checkResponseFields(reader, '/on_failure/fallback')
  return reader.problems.map((problem) => ({ ...problem, code: 'PLUGIN_MANIFEST_INVALID' }))
}

function toManifest(
  value: ManifestFile,
  { file, source, text }: { readonly file: string; readonly source: SourceMap; readonly text: string },
): PluginManifest {
  return {
    file,
    folder: dirname(file),
    name: value.name,
    version: value.version,
    description: value.description,
    entryPoint: value.entry_point,
    config: value.config,
    enabled: value.enabled,
    scope: value.scope,
    category: value.category,
    priority: value.priority,
    configSchema: value.config_schema ?? null,
    dependencies: value.dependencies,
    permissions: value.permissions,
    isolation: value.isolation,
    timeoutMs: value.timeout_ms,
    onFailure: failurePolicyOf(value.on_failure, value.category),
    source,
    text,
  }
}

/**
 * By file: every change reads all manifests, and nearly all of them are as they were. *Measured* with twenty plugins: 5 of
 * 18 ms of what a change takes until it is prepared.
 */
const manifests = new Map<string, PluginManifest>()
const MANIFESTS_KEPT_MAX = 2_000

/** The name that a manifest has whatever else is wrong with it. */
function nameOf(value: unknown): readonly string[] | null {
  const name = isObject(value) ? value.name : undefined
  return typeof name === 'string' && isPluginName(name) ? [name] : null
}

const WRITTEN_NAME = /["']?\bname["']?\s*:\s*["']([^"'\n]*)["']/g

/** All that a text which cannot be parsed has beside the key `name`, wherever: one of them is the plugin's. */
function namesWrittenIn(text: string): readonly string[] | null {
  const names = Array.from(text.matchAll(WRITTEN_NAME), ([, name = '']) => name)
  return names.length > 0 && names.every(isPluginName) ? names : null
}

interface Problems {
  readonly ok: false
  readonly problems: readonly ConfigProblem[]
}

type Opened = { readonly ok: true; readonly parsed: ParsedText; readonly text: string } | Problems

type PlainText = { readonly ok: true; readonly text: string } | Problems

async function readPlainText(
  file: string,
  readFile: (path: string) => Promise<string>,
  unreadable: ErrorCode,
): Promise<PlainText> {
  try {
    // A byte order mark is no part of the text, and would shift the first column.
    return { ok: true, text: (await readFile(file)).replace(/^\uFEFF/, '') }
  } catch (error) {
    const cause = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const message =
      error instanceof UnfitFileError
        ? `Cannot read ${basename(file)}: ${error.message}.`
        : `Cannot read ${basename(file)} (${cause}): check the path and who may read it.`
    const place = { file, line: 1, column: 1 }
    return { ok: false, problems: [fileProblem(unreadable, place, 'a readable text file', message)] }
  }
}

function parseOpened(file: string, text: string, malformed: ErrorCode): Opened {
  const result = parseText(text.slice(0, CONFIG_TEXT_LENGTH_MAX + 1), file)
  if (result.ok) return { ok: true, parsed: result.parsed, text }
  return { ok: false, problems: result.problems.map((problem) => ({ ...problem, code: malformed })) }
}
