import { firstCause } from '../../protocol/control.ts'
import type { StoredGeneration, StoredPlugin } from './types.ts'
import { isRejected } from './way-back.ts'

/**
 * Which versions of a plugin are before the one that runs, for somebody who wants to be rid of it. By when they ran the last
 * one would be what they got rid of last: so it goes past what was gone back from, as `generationBefore` does.
 */

/** Their content hashes, the nearest first. `records`: all that can be read, ascending; the last one serves. */
export function contentsBefore(plugin: string, records: readonly StoredGeneration[]): readonly string[] {
  const live = records.at(-1)
  if (live === undefined) return []
  const history = { plugin, records }
  const runs = contentOf(plugin, live)
  const contents = new Set<string>()
  for (const index of stepsBack(records.length - 1, history, placesOf(history))) {
    const version = versionOf(plugin, records[index])
    if (version === undefined || version.contentHash === runs || isRejected(version, live)) continue
    contents.add(version.contentHash)
  }
  return [...contents]
}

interface History {
  readonly plugin: string
  /** Ascending. */
  readonly records: readonly StoredGeneration[]
}

/**
 * For each of the records: as which generation its version of the plugin counts. Its own or, of one that was gone back to, the
 * one that this ran in before: all in between is what was gone back from.
 */
type Places = readonly number[]

function placesOf(history: History): Places {
  const places: number[] = []
  const indexes = new Map(history.records.map(({ number }, index) => [number, index]))
  for (const [index, record] of history.records.entries()) {
    const to = backTo(record)
    const target = to === null ? undefined : indexes.get(to)
    places.push(to === null ? placeOf(index, history, places) : (places[target ?? -1] ?? to))
  }
  return places
}

/** The generation that all of it was rolled back to. */
function backTo({ backTo, cause }: StoredGeneration): number | null {
  return backTo ?? (cause.kind === 'rollback' ? cause.generation : null)
}

function placeOf(index: number, history: History, places: Places): number {
  const { plugin, records } = history
  const [record, previous] = [records[index], records[index - 1]]
  const number = record?.number ?? 0
  const runs = contentOf(plugin, record)
  if (record === undefined || runs === undefined) return number
  if (contentOf(plugin, previous) === runs) return places[index - 1] ?? number
  const cause = firstCause(record.cause)
  const isWayBack = cause.kind === 'plugin-rollback' || cause.kind === 'probation'
  if (!isWayBack || cause.plugin !== plugin) return number
  const ran = (one: number): boolean => contentOf(plugin, records[one]) === runs
  // Where it is none of those before: forward again, on purpose. What is not kept any more is older than all that is.
  const made = stepsBack(index - 1, history, places).find(ran) ?? lastBelow(index, ran)
  return places[made] ?? 0
}

/** The indexes of the generations before that one, the nearest first, past what was gone back from. */
function* stepsBack(from: number, { records }: History, places: Places): Generator<number, void> {
  let below = places[from] ?? 0
  for (let index = from - 1; index >= 0; index--) {
    if ((records[index]?.number ?? 0) >= below) continue
    yield index
    below = places[index] ?? 0
  }
}

/** -1 for none. */
function lastBelow(end: number, isIt: (index: number) => boolean): number {
  for (let index = end - 1; index >= 0; index--) if (isIt(index)) return index
  return -1
}

function versionOf(plugin: string, record: StoredGeneration | undefined): StoredPlugin | undefined {
  return record?.plugins.find(({ name }) => name === plugin)
}

function contentOf(plugin: string, record: StoredGeneration | undefined): string | undefined {
  return versionOf(plugin, record)?.contentHash
}
