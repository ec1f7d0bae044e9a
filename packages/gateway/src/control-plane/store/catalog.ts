import { GatewayError } from '../../base/errors.ts'
import { versionLabel } from '../../base/version-label.ts'
import type { GenerationRange, HistoryEntry, PluginVersion } from '../../protocol/control.ts'
import { quarantinedCode } from '../quarantine.ts'
import type { RecordRead, RecordStore } from './records.ts'
import type { StoreDamage, StoredGeneration, StoredPlugin } from './types.ts'
import { verdictsOf } from './verdicts.ts'
import { contentsBefore } from './version-before.ts'

const READS_AT_ONCE_MAX = 32
const HASH_PREFIX = /^[0-9a-f]{4,64}$/

/** What is asked of all generations together. Reading a thousand takes a moment, so it is read when first asked for. */
export class Catalog {
  readonly #records = new Map<number, StoredGeneration>()
  /** By their JSON. Most generations have the plugins of the one before: they share them. */
  readonly #plugins = new Map<string, StoredPlugin>()
  readonly #shared = new Set<StoredPlugin>()
  readonly damages: StoreDamage[] = []

  static async read(store: RecordStore): Promise<Catalog> {
    const catalog = new Catalog()
    const numbers = [...store.numbers]
    for (let start = 0; start < numbers.length; start += READS_AT_ONCE_MAX) {
      const group = numbers.slice(start, start + READS_AT_ONCE_MAX)
      for (const read of await Promise.all(group.map((number) => store.read(number)))) catalog.#take(read)
    }
    return catalog
  }

  /** Ascending. */
  get records(): readonly StoredGeneration[] {
    return [...this.#records.values()]
  }

  add(record: StoredGeneration): void {
    this.#records.set(record.number, {
      ...record,
      plugins: record.plugins.map((plugin) => this.#share(plugin)),
    })
  }

  #share(plugin: StoredPlugin): StoredPlugin {
    if (this.#shared.has(plugin)) return plugin
    const id = JSON.stringify(plugin)
    const known = this.#plugins.get(id)
    if (known !== undefined) return known
    this.#plugins.set(id, plugin)
    this.#shared.add(plugin)
    return plugin
  }

  remove(numbers: readonly number[]): void {
    for (const number of numbers) this.#records.delete(number)
    const used = new Set([...this.#records.values()].flatMap(({ plugins }) => plugins))
    for (const [id, plugin] of this.#plugins) {
      if (used.has(plugin)) continue
      this.#plugins.delete(id)
      this.#shared.delete(plugin)
    }
  }

  history(
    limit: number,
    { live, wayBack }: { readonly live: number | null; readonly wayBack: number | null },
    isStored: (record: StoredGeneration) => boolean,
  ): HistoryEntry[] {
    return this.#newestFirst()
      .slice(0, Math.max(0, limit))
      .map((record) => {
        const { number, at, cause, who, changes } = record
        const is = { isLive: number === live, isStored: isStored(record), isWayBack: number === wayBack }
        return { number, at, cause, who, changes, ...is }
      })
  }

  /**
   * The versions of a plugin that can be brought back, the one that ran last first. Of several builds of one content
   * (other comments, other source map) the last counts.
   */
  versionsOf(
    name: string,
    live: StoredGeneration | null,
    isStored: (plugin: StoredPlugin) => boolean,
  ): KnownVersion[] {
    const versions = new Map<string, { readonly plugin: StoredPlugin; readonly ranIn: StoredGeneration[] }>()
    for (const record of this.#newestFirst()) {
      for (const plugin of record.plugins) {
        if (plugin.name !== name || !isStored(plugin)) continue
        const known = versions.get(plugin.contentHash)
        if (known === undefined) versions.set(plugin.contentHash, { plugin, ranIn: [record] })
        else known.ranIn.push(record)
      }
    }
    const failed = this.failed(name)
    const before = contentsBefore(name, this.records)
    const known = Array.from(versions.values(), ({ plugin, ranIn }) => {
      const { version, contentHash } = plugin
      const generations = rangesOf(ranIn.map(({ number }) => number).reverse())
      const isLive = live?.plugins.some((other) => isSameVersion(other, plugin)) ?? false
      const at = ranIn.at(-1)?.at ?? 0
      const is = { isLive, hasFailed: failed.has(contentHash), isWayBack: false }
      const summary = { version, contentHash, generations, at, ...is }
      return { plugin, summary, before: before.indexOf(contentHash) }
    })
    const wayBack = nearestSound(known, quarantinedCode(live?.controls.quarantined ?? [], name))
    return known.map((one) =>
      one === wayBack ? { ...one, summary: { ...one.summary, isWayBack: true } } : one,
    )
  }

  /**
   * Content hashes of the versions of a plugin that were taken back on their probation or ran quarantined, and did not run
   * again by a `reload` or `enable` of it since: a rollback to one does not clear it.
   */
  failed(name: string): ReadonlySet<string> {
    const failed = new Set<string>()
    let previous: StoredGeneration | undefined
    for (const record of this.#records.values()) {
      for (const { plugin, contentHash, hasFailed } of verdictsOf(record, previous)) {
        if (plugin !== name) continue
        if (hasFailed) failed.add(contentHash)
        else failed.delete(contentHash)
      }
      previous = record
    }
    return failed
  }

  #newestFirst(): StoredGeneration[] {
    return [...this.#records.values()].reverse()
  }

  #take(read: RecordRead): void {
    if (read.kind === 'found') this.add(read.record)
    if (read.kind === 'damaged') this.damages.push(damageOf(read))
  }
}

/** @param numbers ascending */
function rangesOf(numbers: readonly number[]): GenerationRange[] {
  const ranges: GenerationRange[] = []
  for (const number of numbers) {
    const range = ranges.at(-1)
    if (range?.last === number - 1) ranges[ranges.length - 1] = { ...range, last: number }
    else ranges.push({ first: number, last: number })
  }
  return ranges
}

export interface KnownVersion {
  readonly plugin: StoredPlugin
  readonly summary: PluginVersion
  /** How far back it is from the one that runs, from 0; -1: it is not before that, but was gone back from, or is held back. */
  readonly before: number
}

/** The version to go back to: of those before the one that runs the nearest that did not fail, and whose code none of `badCode` is. */
export function nearestSound(
  versions: readonly KnownVersion[],
  badCode: ReadonlySet<string>,
): KnownVersion | undefined {
  return versions
    .filter((one) => one.before >= 0 && !isBad(one, badCode))
    .toSorted((one, other) => one.before - other.before)[0]
}

function isBad({ plugin, summary }: KnownVersion, badCode: ReadonlySet<string>): boolean {
  return summary.hasFailed || badCode.has(plugin.codeHash)
}

export function damageOf({ file, reason }: Extract<RecordRead, { kind: 'damaged' }>): StoreDamage {
  return { file, message: `Cannot use the record of a generation, ${file}: ${reason}.` }
}

function isSameVersion(one: StoredPlugin, other: StoredPlugin): boolean {
  return one.name === other.name && one.contentHash === other.contentHash
}

/**
 * The version that somebody means: by its number, or by the beginning of its hash (four digits at least). Throws
 * `PLUGIN_VERSION_UNKNOWN`.
 */
export function chooseVersion(name: string, wanted: string, versions: readonly KnownVersion[]): StoredPlugin {
  const matching = versions.filter(
    ({ plugin }) =>
      plugin.version === wanted || (HASH_PREFIX.test(wanted) && plugin.contentHash.startsWith(wanted)),
  )
  const [first] = matching
  if (first !== undefined && matching.length === 1) return first.plugin
  throw new GatewayError('PLUGIN_VERSION_UNKNOWN', refusal(name, wanted, versions, matching))
}

/** Why there is none to go back to. `badCode`: as for `nearestSound`. */
export function noVersionBefore(
  name: string,
  versions: readonly KnownVersion[],
  badCode: ReadonlySet<string>,
): GatewayError {
  const others = versions.filter(({ summary }) => !summary.isLive)
  if (versions.length === 0) return new GatewayError('PLUGIN_VERSION_UNKNOWN', noneStored(name))
  if (others.length === 0) {
    const message = `Plugin "${name}" has no other version than ${namesOf(versions)}.`
    return new GatewayError('PLUGIN_VERSION_UNKNOWN', message)
  }
  const left = others.filter((one) => !isBad(one, badCode))
  if (left.length > 0) {
    const passedOver = `Gone back from already, or held back: ${namesOf(left)}`
    const wayOut = `Mend it and save it; "cardea plugin rollback ${name} VERSION" brings one back all the same.`
    return new GatewayError(
      'ROLLBACK_EXHAUSTED',
      `There is no version of plugin "${name}" left to roll back to. ${passedOver}. ${wayOut}`,
    )
  }
  return new GatewayError(
    'PLUGIN_VERSIONS_FAILED',
    `Plugin "${name}" has no other version that did not fail: ${namesOf(others)} were taken back on their probation or ` +
      'quarantined. Mend it and save it, or name one of them to bring it back all the same.',
  )
}

function noneStored(name: string): string {
  return `Plugin "${name}" has no stored version.`
}

function refusal(
  name: string,
  wanted: string,
  versions: readonly KnownVersion[],
  matching: readonly KnownVersion[],
): string {
  if (versions.length === 0) return noneStored(name)
  if (matching.length === 0) {
    return `Plugin "${name}" has no stored version "${wanted}". There are ${namesOf(versions)}.`
  }
  return `Plugin "${name}" has several versions "${wanted}": ${namesOf(matching)}. Name one by its hash.`
}

function namesOf(versions: readonly KnownVersion[]): string {
  return versions
    .map(({ plugin, summary }) => `${versionLabel(plugin)} of generation ${summary.generations.at(-1)?.last}`)
    .join(', ')
}
