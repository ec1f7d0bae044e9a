import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { readManifest } from '../config/load.ts'
import type { PluginManifest } from '../config/types.ts'
import { ENTRY_FILES, type FoundPlugin, findEntryFile, type PluginOrigin } from './discover.ts'
import { allNames, type PossibleNames } from './gaps.ts'
import { type PluginProblem, problemAt, problemsOf } from './problem.ts'

/** A plugin whose plugin.json is in order. */
export interface ReadPlugin {
  readonly manifest: PluginManifest
  readonly origin: PluginOrigin
}

/** A plugin whose files are all there and make sense by themselves. */
export interface VerifiedPlugin extends ReadPlugin {
  /** Absolute. */
  readonly entryFile: string
}

export interface Verification {
  readonly verified: readonly VerifiedPlugin[]
  readonly problems: readonly PluginProblem[]
  /** The verified, and those that lack nothing but an entry file. */
  readonly read: readonly ReadPlugin[]
  /** What those may be called that were not read. Of two plugins of a name nobody knows which one is meant: it is among them. */
  readonly unreadNames: PossibleNames
}

/**
 * Reads the manifest of every folder and finds its entry file; the problems of all folders are reported together. Of two
 * plugins with one name the first is verified; `known` are there already and come before all.
 */
export async function verifyPlugins(
  found: readonly FoundPlugin[],
  known: readonly VerifiedPlugin[] = [],
): Promise<Verification> {
  const outcomes = await Promise.all(found.map(readPlugin))
  const { unique, doubles, problems } = withoutDuplicates(
    outcomes.flatMap(({ plugin }) => plugin ?? []),
    known,
  )
  return {
    verified: unique.flatMap(({ manifest, origin, entryFile }) =>
      entryFile === null ? [] : [{ manifest, origin, entryFile }],
    ),
    problems: [...outcomes.flatMap((outcome) => outcome.problems), ...problems],
    read: unique,
    unreadNames: allNames([doubles, ...outcomes.map(({ unreadNames }) => unreadNames)]),
  }
}

interface Candidate extends ReadPlugin {
  readonly entryFile: string | null
}

interface ReadOutcome {
  readonly plugin: Candidate | null
  readonly unreadNames: PossibleNames
  readonly problems: readonly PluginProblem[]
}

async function readPlugin({ folder, origin }: FoundPlugin): Promise<ReadOutcome> {
  const read = await readManifest(join(folder, 'plugin.json'), { isBuiltIn: origin === 'built-in' })
  if (!read.ok) {
    return { plugin: null, unreadNames: read.names, problems: problemsOf(folder, read.problems) }
  }
  const { manifest } = read
  const { entryFile, problems } = entryOf(manifest)
  return { plugin: { manifest, origin, entryFile }, unreadNames: [], problems }
}

function entryOf({
  name,
  folder,
}: PluginManifest): Pick<Candidate, 'entryFile'> & Pick<ReadOutcome, 'problems'> {
  const missing = (message: string) => ({
    entryFile: null,
    problems: [problemAt(folder, 'PLUGIN_ENTRY_MISSING', message, { folder })],
  })
  try {
    const entry = findEntryFile(folder)
    if (entry !== null) return { entryFile: join(folder, entry), problems: [] }
    return missing(
      `Plugin "${name}" has no entry file: ${folder} holds none of ${ENTRY_FILES.join(', ')}. ` +
        'Add one that exports PluginMain.',
    )
  } catch (error) {
    return missing(`Cannot read the folder of plugin "${name}", ${folder}: ${messageOf(error)}`)
  }
}

/** A second plugin of a name, be it a built-in's: which of them a route means would depend on the order of folders. */
function withoutDuplicates(plugins: readonly Candidate[], known: readonly ReadPlugin[]) {
  const first = new Map<string, ReadPlugin>(known.map((plugin) => [plugin.manifest.name, plugin]))
  const unique: Candidate[] = []
  const doubles: string[] = []
  const problems: PluginProblem[] = []
  for (const plugin of plugins) {
    const { name, folder, source } = plugin.manifest
    const other = first.get(name)
    if (other === undefined) {
      first.set(name, plugin)
      unique.push(plugin)
      continue
    }
    doubles.push(name)
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
  return { unique, doubles, problems }
}
