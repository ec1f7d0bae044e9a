import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { readManifest } from '../config/load.ts'
import type { PluginManifest } from '../config/types.ts'
import { ENTRY_FILES, type FoundPlugin, findEntryFile, type PluginOrigin } from './discover.ts'
import { type PluginProblem, problemAt, problemsOf } from './problem.ts'

/** A plugin whose files are all there and make sense by themselves. */
export interface VerifiedPlugin {
  readonly manifest: PluginManifest
  readonly origin: PluginOrigin
  /** Absolute. */
  readonly entryFile: string
}

export interface Verification {
  readonly verified: readonly VerifiedPlugin[]
  readonly problems: readonly PluginProblem[]
}

/**
 * Reads the manifest of every folder and finds its entry file; the problems of all folders are reported together. Of two
 * plugins with one name the first is verified; `known` are there already and come before all.
 */
export async function verifyPlugins(
  found: readonly FoundPlugin[],
  known: readonly VerifiedPlugin[] = [],
): Promise<Verification> {
  const outcomes = await Promise.all(found.map(verifyPlugin))
  const readable = outcomes.flatMap(({ verified }) => verified)
  const unreadable = outcomes.flatMap(({ problems }) => problems)
  const { verified, problems: doubles } = withoutDuplicates(readable, known)
  return { verified, problems: [...unreadable, ...doubles] }
}

async function verifyPlugin({ folder, origin }: FoundPlugin): Promise<Verification> {
  const read = await readManifest(join(folder, 'plugin.json'), { isBuiltIn: origin === 'built-in' })
  if (!read.ok) return { verified: [], problems: problemsOf(folder, read.problems) }
  const { manifest } = read
  try {
    const entry = findEntryFile(folder)
    if (entry !== null) {
      return { verified: [{ manifest, origin, entryFile: join(folder, entry) }], problems: [] }
    }
    const message =
      `Plugin "${manifest.name}" has no entry file: ${folder} holds none of ${ENTRY_FILES.join(', ')}. ` +
      'Add one that exports PluginMain.'
    return { verified: [], problems: [problemAt(folder, 'PLUGIN_ENTRY_MISSING', message, { folder })] }
  } catch (error) {
    const message = `Cannot read the folder of plugin "${manifest.name}", ${folder}: ${messageOf(error)}`
    return { verified: [], problems: [problemAt(folder, 'PLUGIN_ENTRY_MISSING', message, { folder })] }
  }
}

/** A second plugin of a name, be it a built-in's: which of them a route means would depend on the order of folders. */
function withoutDuplicates(
  plugins: readonly VerifiedPlugin[],
  known: readonly VerifiedPlugin[],
): Verification {
  const first = new Map(known.map((plugin) => [plugin.manifest.name, plugin]))
  const verified: VerifiedPlugin[] = []
  const problems: PluginProblem[] = []
  for (const plugin of plugins) {
    const { name, folder, source } = plugin.manifest
    const other = first.get(name)
    if (other === undefined) {
      first.set(name, plugin)
      verified.push(plugin)
      continue
    }
    const kind = other.origin === 'built-in' ? 'built-in plugin' : 'plugin'
    const message = `Two plugins are named "${name}": ${folder} and the ${kind} in ${other.manifest.folder}. Rename one of them in its plugin.json.`
    problems.push(
      problemAt(source.locate('/name'), 'PLUGIN_DUPLICATE', message, {
        key: 'name',
        given: `"${name}"`,
        folder,
      }),
    )
  }
  return { verified, problems }
}
