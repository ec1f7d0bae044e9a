import type { ChangeSettings } from '../../protocol/generation.ts'
import { blobsOfConfig, blobsOfPlugin } from './stored-plugin.ts'
import type { StoredGeneration, StoredPlugin } from './types.ts'
import { verdictsToKeep } from './verdicts.ts'

export type KeepLimits = Pick<ChangeSettings, 'generationsMax' | 'pluginVersionsMax'>

/** A generation, by its number, or a version of a plugin, by its content hash. */
export type StoredThing = number | string

export interface Pruning {
  readonly records: readonly number[]
  readonly blobs: readonly string[]
}

/**
 * What may go. Kept are the newest `generationsMax` records with their configs, and of each plugin the newest
 * `pluginVersionsMax` versions; what is in use comes on top, with what tells whether its versions failed. A record of
 * which a version goes stays in the history, and cannot be rolled back to.
 *
 * @param records all there are, ascending
 * @param inUse generations that must be whole: the live one, those that run somewhere, the last good one; and versions
 * @param blobs hashes of all blobs there are
 */
export function planPruning(
  records: readonly StoredGeneration[],
  inUse: ReadonlySet<StoredThing>,
  limits: KeepLimits,
  blobs: Iterable<string>,
): Pruning {
  const contents = new Set([...inUse].filter((thing) => typeof thing === 'string'))
  const pinned = records.filter(({ number }) => inUse.has(number)).flatMap(({ pins }) => pins)
  const pinnedNumbers = pinned.flatMap(({ runs }) => (runs.kind === 'generation' ? [runs.number] : []))
  const whole = new Set([...inUse, ...pinnedNumbers])
  const wantedContents = new Set([
    ...contents,
    ...pinned.flatMap(({ runs }) => (runs.kind === 'plugin' ? [runs.contentHash] : [])),
  ])

  const newest = records.toReversed()
  const wanted = newest.filter(({ number }, index) => index < limits.generationsMax || whole.has(number))
  const wantedNumbers = new Set([...wanted.map(({ number }) => number), ...newestWith(contents, newest)])
  const keptNumbers = new Set([...wantedNumbers, ...verdictsToKeep(records, wantedNumbers)])
  const kept = newest.filter(({ number }) => keptNumbers.has(number))
  const versions = versionsOf(kept)
  const needed = new Set(kept.filter(({ number }) => whole.has(number)).flatMap(({ plugins }) => plugins))
  for (const version of versions) if (wantedContents.has(version.contentHash)) needed.add(version)

  const referenced = new Set([
    ...kept.flatMap(({ config }) => blobsOfConfig(config)),
    ...versionsToKeep(versions, needed, limits.pluginVersionsMax).flatMap(blobsOfPlugin),
  ])
  return {
    records: records.map(({ number }) => number).filter((number) => !keptNumbers.has(number)),
    blobs: [...blobs].filter((hash) => !referenced.has(hash)),
  }
}

/** A version is found by a record: of each of these, the number of the newest that has it. */
function newestWith(
  contents: ReadonlySet<string>,
  newestFirst: readonly StoredGeneration[],
): readonly number[] {
  const has = ({ plugins }: StoredGeneration, hash: string): boolean =>
    plugins.some(({ contentHash }) => contentHash === hash)
  return [...contents].flatMap((hash) => newestFirst.find((record) => has(record, hash))?.number ?? [])
}

/** Each once. Looking at objects before looking into them saves most of the time: generations share them. */
function versionsOf(newestFirst: readonly StoredGeneration[]): StoredPlugin[] {
  const seen = new Set<StoredPlugin>()
  for (const { plugins } of newestFirst) for (const plugin of plugins) seen.add(plugin)
  return [...seen]
}

/** Those needed, and of the others of each plugin the newest; a version is what has blobs of its own. */
function versionsToKeep(
  newestFirst: readonly StoredPlugin[],
  needed: ReadonlySet<StoredPlugin>,
  othersMax: number,
): StoredPlugin[] {
  const keep = new Map(Array.from(needed, (plugin) => [versionId(plugin), plugin]))
  const seen = new Set(keep.keys())
  const others = new Map<string, number>()
  for (const plugin of newestFirst) {
    const id = versionId(plugin)
    if (seen.has(id)) continue
    seen.add(id)
    const count = others.get(plugin.name) ?? 0
    if (count >= othersMax) continue
    others.set(plugin.name, count + 1)
    keep.set(id, plugin)
  }
  return [...keep.values()]
}

function versionId({ name, manifestHash, bundleHash }: StoredPlugin): string {
  return `${name} ${manifestHash} ${bundleHash}`
}
