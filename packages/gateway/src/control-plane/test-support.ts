import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { PluginManifest, SourceMap } from '../config/types.ts'
import type { VerifiedPlugin } from './verify.ts'

/** For the tests of this folder only. */

/** Writes files (path to text, or to a value that becomes JSON) below a new folder that goes with the test. */
export async function folderOf(t: TestContext, files: Readonly<Record<string, unknown>>): Promise<string> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(root, { recursive: true, force: true }))
  await writeFiles(root, files)
  return root
}

export async function writeFiles(root: string, files: Readonly<Record<string, unknown>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
}

/** A manifest as `readManifest` would give it. */
export function manifestOf(folder: string, changes: Partial<PluginManifest> = {}): PluginManifest {
  const file = join(folder, 'plugin.json')
  const place = { file, line: 1, column: 1 }
  const source: SourceMap = {
    file,
    locate: () => place,
    locateKey: () => place,
    written: () => undefined,
    isExpanded: () => false,
  }
  return {
    file,
    folder,
    name: 'sample',
    version: '1.0.0',
    description: '',
    entryPoint: 'PluginMain',
    config: {},
    enabled: true,
    scope: 'global',
    category: 'transform',
    priority: 100,
    configSchema: null,
    dependencies: {},
    permissions: [],
    isolation: 'none',
    timeoutMs: 1_000,
    onFailure: { kind: 'closed' },
    source,
    text: JSON.stringify({ name: 'sample', version: '1.0.0', ...changes }),
    ...changes,
  }
}

/** A plugin as `verifyPlugins` would give it. */
export function verifiedPlugin(folder: string, changes: Partial<PluginManifest> = {}): VerifiedPlugin {
  return { manifest: manifestOf(folder, changes), origin: 'user', entryFile: join(folder, 'plugin.ts') }
}
