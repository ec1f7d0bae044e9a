import assert from 'node:assert/strict'
import { loadConfigFile, readManifest } from './load.ts'
import type { ConfigProblem, LoadedConfig, PluginManifest } from './types.ts'

/** For the tests of this folder only. */

export interface TestFiles {
  readonly env?: Readonly<Record<string, string>>
  /** Path to text; whatever is not here does not exist. */
  readonly files?: Readonly<Record<string, string>>
  readonly path?: string
}

export function readerOf(files: Readonly<Record<string, string>>): (path: string) => Promise<string> {
  return async (path) => {
    const text = files[path]
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return text
  }
}

/** The config of a text; fails the test when it has problems. */
export async function loadText(text: string, given: TestFiles = {}): Promise<LoadedConfig> {
  const result = await load(text, given)
  assert.deepEqual(result.ok ? [] : result.problems, [])
  return result.ok ? result.config : assert.fail()
}

/** The problems of a text; fails the test when it has none. */
export async function problemsOf(text: string, given: TestFiles = {}): Promise<readonly ConfigProblem[]> {
  const result = await load(text, given)
  return result.ok ? assert.fail('the config was accepted') : result.problems
}

function load(text: string, { env = {}, files = {}, path = '/etc/cardea.yaml' }: TestFiles) {
  return loadConfigFile(path, { env, readFile: readerOf({ ...files, [path]: text }) })
}

/** The one problem of a text. */
export async function problemOf(text: string, given: TestFiles = {}): Promise<ConfigProblem> {
  const problems = await problemsOf(text, given)
  const [problem] = problems
  assert.equal(problems.length, 1, JSON.stringify(problems, null, 2))
  return problem ?? assert.fail()
}

/** A manifest with what is required, and `changes`. */
export async function manifestOf(changes: Readonly<Record<string, unknown>> = {}): Promise<PluginManifest> {
  const result = await readManifestText(JSON.stringify({ name: 'sample', version: '1.0.0', ...changes }))
  assert.deepEqual(result.ok ? [] : result.problems, [])
  return result.ok ? result.manifest : assert.fail()
}

export function readManifestText(text: string) {
  return readManifest('/plugins/sample', { readFile: readerOf({ '/plugins/sample/plugin.json': text }) })
}
