import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { someOf } from '../../base/some-of.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { versionLabel } from '../../base/version-label.ts'
import type { HistoryEntry, PluginVersion } from '../../protocol/control.ts'
import { BlobStore } from './blobs.ts'
import {
  Catalog,
  chooseVersion,
  damageOf,
  type KnownVersion,
  nearestSound,
  noVersionBefore,
} from './catalog.ts'
import { makeFolder, syncFolder } from './durable-file.ts'
import { OutlineFile } from './outline-file.ts'
import { type KeepLimits, planPruning, type StoredThing } from './pruning.ts'
import { RecordStore } from './records.ts'
import { blobsOfConfig, blobsOfPlugin, bundleOf, type LoadedPlugin } from './stored-plugin.ts'
import type {
  Blob,
  GenerationOutline,
  LastDecided,
  StoreDamage,
  StoredGeneration,
  StoredPlugin,
} from './types.ts'
import { generationBefore } from './way-back.ts'

const DELETIONS_AT_ONCE_MAX = 64
const VERSIONS_TOLD_MAX = 3

/**
 * What outlives the gateway's processes, in `.cardea/`: every generation with its config and its plugins' code.
 *
 *   generations/N.record   one file for each generation; that it is there is the decision for N
 *   blobs/HASH             config texts, manifests and bundles by content
 *   outline.record         what was committed last in outline, should its record or its blobs be lost
 *
 * Only the holder of the folder's lock may open it.
 */
export class GenerationStore {
  readonly #records: RecordStore
  readonly #blobs: BlobStore
  readonly #outline: OutlineFile
  readonly #damages: StoreDamage[] = []
  #latest: StoredGeneration | null = null
  #countedFrom = 0
  #catalog: Promise<Catalog> | null = null
  /** Deciding and pruning take turns: what is pruned must not be what is being decided for. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(records: RecordStore, blobs: BlobStore, outline: OutlineFile) {
    this.#records = records
    this.#blobs = blobs
    this.#outline = outline
  }

  /**
   * @param directory the `.cardea` folder, absolute; made if it is not there. Throws `STORE_WRITE_FAILED` when it
   * cannot be.
   */
  static async open(directory: string): Promise<GenerationStore> {
    try {
      await makeFolder(directory)
      // Who made it may have been killed before its name was durable.
      await syncFolder(dirname(directory)).catch(ignoreUnreadable)
      await writeFile(join(directory, '.gitignore'), '*\n', { flag: 'wx', mode: 0o600 }).catch(ignoreExisting)
      const records = await RecordStore.open(join(directory, 'generations'))
      const blobs = await BlobStore.open(join(directory, 'blobs'))
      // The last: it makes the names of those two folders durable as well.
      const store = new GenerationStore(records, blobs, await OutlineFile.open(directory))
      await store.#findLatest()
      return store
    } catch (cause) {
      throw writeFailed(`Cannot use ${directory}`, cause)
    }
  }

  /** The newest generation that can be read, or null when there is none. Never changes but by `decide`. */
  latest(): StoredGeneration | null {
    return this.#latest
  }

  /** Higher than every number that was ever decided here, as far as it is known. */
  nextNumber(): number {
    return this.#newest + 1
  }

  /** That number was given, even if nothing here should know of it any more: somebody deleted what was decided. */
  countOnFrom(number: number): void {
    this.#countedFrom = Math.max(this.#countedFrom, number)
  }

  /** What a start is to be compared with; `latest()` may be an older one. */
  lastDecided(): LastDecided {
    const number = this.#newest
    const outline = this.#outline.outline?.number === number ? this.#outline.outline : null
    if (this.#latest !== null && this.#latest.number === number) {
      return { kind: 'record', record: this.#latest, outline }
    }
    if (outline !== null) return { kind: 'outline', outline }
    return number === 0 && this.#outline.damage === null ? { kind: 'none' } : { kind: 'lost', number }
  }

  /** To be called once a generation is committed. Throws `STORE_WRITE_FAILED`; an older outline is known for one. */
  async keepOutline(outline: GenerationOutline): Promise<void> {
    try {
      await this.#inTurn(() => this.#outline.write(outline))
    } catch (cause) {
      throw writeFailed(`Cannot store the outline of generation ${outline.number}`, cause)
    }
  }

  /** What could not be read when the store was opened, and was passed over. To be told to somebody. */
  damages(): readonly StoreDamage[] {
    const { damage } = this.#outline
    return damage === null ? this.#damages : [...this.#damages, damage]
  }

  /** Ascending. */
  numbers(): readonly number[] {
    return this.#records.numbers
  }

  /**
   * The durable decision for a generation: its blobs, then its record. Once it resolved, `latest()` is this one also
   * after a power failure; when it rejects nothing is decided. A crash in the middle leaves either.
   *
   * @param blobs all that the record refers to; those that are stored already cost nothing. Without one that is needed
   * it throws: that is our mistake. Throws `STORE_WRITE_FAILED`.
   */
  decide(record: StoredGeneration, blobs: readonly Blob[]): Promise<void> {
    return this.#inTurn(() => this.#decide(record, blobs))
  }

  /**
   * Has whole again what the latest generation is made of, of which something was found damaged: whoever serves it still has
   * the texts. Returns whether something was. Throws `STORE_WRITE_FAILED`.
   */
  async mendLatest(blobs: readonly Blob[]): Promise<boolean> {
    try {
      return await this.#inTurn(() => this.#blobs.mend(blobs))
    } catch (cause) {
      throw writeFailed('Cannot store anew what serves, of which a stored file is damaged', cause)
    }
  }

  /** The generation of that number, or null when it is not kept. Throws `STORE_DAMAGED`. */
  async get(number: number): Promise<StoredGeneration | null> {
    if (this.#latest?.number === number) return this.#latest
    if (!this.#records.numbers.includes(number)) return null
    const read = await this.#records.read(number)
    if (read.kind === 'found') return read.record
    const reason = read.kind === 'damaged' ? damageOf(read).message : 'Its file is gone.'
    throw new GatewayError('STORE_DAMAGED', `Cannot load generation ${number}: ${reason}`)
  }

  /**
   * The generation to roll back to; null: the one before the latest, see `generationBefore`. Throws `GENERATION_UNKNOWN`,
   * `ROLLBACK_EXHAUSTED` and `STORE_DAMAGED`.
   */
  async find(number: number | null): Promise<StoredGeneration> {
    const wanted = number ?? (await this.#before())
    const record = await this.get(wanted)
    const gone = record?.plugins.filter((plugin) => !this.#isStored(plugin)) ?? []
    if (record !== null && gone.length === 0) return record
    const why = record === null ? `Generation ${wanted} is not kept` : notWhole(wanted, gone)
    const nearest = wayOutOf(await this.#wholeNear(wanted))
    throw new GatewayError('GENERATION_UNKNOWN', `${why}. ${nearest}`)
  }

  /** Newest first. */
  async history(limit: number): Promise<readonly HistoryEntry[]> {
    const catalog = await this.#read()
    const live = this.#latest
    const wayBack = live === null ? null : this.#wayBack(live, catalog)
    return catalog.history(limit, { live: live?.number ?? null, wayBack }, (record) => this.#isWhole(record))
  }

  /** The versions that can be brought back, the one that ran last first. Empty for a plugin that is not known. */
  async versionsOf(plugin: string): Promise<readonly PluginVersion[]> {
    return (await this.#versionsOf(plugin)).map(({ summary }) => summary)
  }

  /**
   * The version of a plugin before the live one (see `contentsBefore`), of those that did not fail and whose code none of
   * `badCode` is (hashes); null when there is none.
   */
  async soundVersion(plugin: string, badCode: ReadonlySet<string>): Promise<StoredPlugin | null> {
    return nearestSound(await this.#versionsOf(plugin), badCode)?.plugin ?? null
  }

  /**
   * The same for somebody who wants to go back: throws `PLUGIN_VERSION_UNKNOWN`, `PLUGIN_VERSIONS_FAILED` and
   * `ROLLBACK_EXHAUSTED`.
   */
  async versionBefore(plugin: string, badCode: ReadonlySet<string>): Promise<StoredPlugin> {
    const versions = await this.#versionsOf(plugin)
    const sound = nearestSound(versions, badCode)
    if (sound !== undefined) return sound.plugin
    throw noVersionBefore(plugin, versions, badCode)
  }

  /**
   * A stored version of a plugin by its number or the beginning of its content hash. Throws `PLUGIN_VERSION_UNKNOWN`,
   * also when several match.
   */
  async findVersion(plugin: string, wanted: string): Promise<StoredPlugin> {
    return chooseVersion(plugin, wanted, await this.#versionsOf(plugin))
  }

  /** Throws `STORE_DAMAGED`. */
  async loadPlugin(plugin: StoredPlugin): Promise<LoadedPlugin> {
    const what = (part: string) => `${part} of plugin "${plugin.name}" ${plugin.version}`
    const [manifestText, bundleText] = await Promise.all([
      this.#blobs.read(plugin.manifestHash, what('plugin.json')),
      this.#blobs.read(plugin.bundleHash, what('the code')),
    ])
    return { plugin, manifestText, bundle: bundleOf(plugin, bundleText) }
  }

  /** Throws `STORE_DAMAGED`. */
  configText(hash: string): Promise<string> {
    return this.#blobs.read(hash, 'a stored config')
  }

  /**
   * Deletes what need not be kept; to be called after a commit. A crash in the middle leaves what the next call deletes.
   *
   * @param inUse what must stay whole besides the latest generation; asked for when it begins to delete
   */
  async prune(limits: KeepLimits, inUse: () => ReadonlySet<StoredThing>): Promise<void> {
    const catalog = await this.#read()
    await this.#inTurn(async () => {
      const latest = this.#latest
      if (latest !== null) catalog.add(latest)
      const whole = new Set(latest === null ? inUse() : [...inUse(), latest.number])
      const { records, blobs } = planPruning(catalog.records, whole, limits, this.#blobs.hashes)
      // Records first: one without its blobs would promise a rollback that is not there.
      await inGroups(records, (number) => this.#records.remove(number))
      if (records.length > 0) catalog.remove(records)
      await inGroups(blobs, (hash) => this.#blobs.remove(hash))
    })
  }

  get #newest(): number {
    const known = [this.#records.numbers.at(-1), this.#latest?.number, this.#outline.outline?.number]
    return Math.max(...known.map((number) => number ?? 0), this.#countedFrom)
  }

  /** Resolves when all that was begun is on disk. */
  async close(): Promise<void> {
    await this.#turn
  }

  async #decide(record: StoredGeneration, blobs: readonly Blob[]): Promise<void> {
    try {
      await this.#write(record, blobs).catch(async (error) => {
        if (systemErrorCode(error) !== 'ENOENT') throw error
        // Somebody deleted .cardea/ below us: that must not end all changes until the next start.
        this.#catalog = null
        await this.#blobs.recreate()
        await this.#records.recreate()
        await this.#write(record, blobs)
      })
    } catch (cause) {
      throw writeFailed(`Cannot store generation ${record.number}`, cause)
    }
    this.#latest = record
    // Not waited for: reading all records can take longer than a change may.
    void this.#catalog?.then((catalog) => catalog.add(record))
  }

  async #write(record: StoredGeneration, blobs: readonly Blob[]): Promise<void> {
    await this.#blobs.write(blobs)
    const missing = hashesOf(record).find((hash) => !this.#blobs.hashes.has(hash))
    if (missing !== undefined) {
      const message = `Cannot decide generation ${record.number}: its blob ${missing} is neither given nor stored`
      throw new GatewayError('INTERNAL_ERROR', message)
    }
    await this.#records.write(record)
  }

  async #findLatest(): Promise<void> {
    for (const number of this.#records.numbers.toReversed()) {
      const read = await this.#records.read(number)
      if (read.kind === 'damaged') this.#damages.push(damageOf(read))
      if (read.kind !== 'found') continue
      this.#latest = read.record
      return
    }
  }

  #read(): Promise<Catalog> {
    this.#catalog ??= Catalog.read(this.#records)
    return this.#catalog
  }

  async #versionsOf(plugin: string): Promise<KnownVersion[]> {
    const catalog = await this.#read()
    return catalog.versionsOf(plugin, this.#latest, (version) => this.#isStored(version))
  }

  async #before(): Promise<number> {
    const live = this.#latest
    if (live === null || this.#records.numbers.every((number) => number >= live.number)) {
      throw new GatewayError('GENERATION_UNKNOWN', 'There is no generation before this one to roll back to.')
    }
    const before = this.#wayBack(live, await this.#read())
    if (before !== null) return before
    const reason =
      'each one before it is the same, was gone back from already, runs code that failed, or is not whole any more'
    const wayOut = '"cardea history" lists them, and "cardea rollback NUMBER" brings one back all the same.'
    throw new GatewayError(
      'ROLLBACK_EXHAUSTED',
      `There is nothing left to roll back to from generation ${live.number}: ${reason}. ${wayOut}`,
    )
  }

  #wayBack(live: StoredGeneration, catalog: Catalog): number | null {
    const records = new Map(catalog.records.map((record) => [record.number, record]))
    return generationBefore(live, {
      numbers: this.#records.numbers,
      get: (number) => records.get(number),
      isWhole: (record) => this.#isWhole(record),
      failed: (plugin) => catalog.failed(plugin),
    })
  }

  /** The nearest before and after that number that can be brought back. */
  async #wholeNear(number: number): Promise<readonly number[]> {
    const { records } = await this.#read()
    const whole = records.filter((record) => record.number !== this.#latest?.number && this.#isWhole(record))
    const near = [
      whole.findLast((record) => record.number < number),
      whole.find((record) => record.number > number),
    ]
    return near.flatMap((record) => record?.number ?? [])
  }

  #isStored(plugin: StoredPlugin): boolean {
    return blobsOfPlugin(plugin).every((hash) => this.#blobs.hashes.has(hash))
  }

  #isWhole(record: StoredGeneration): boolean {
    return hashesOf(record).every((hash) => this.#blobs.hashes.has(hash))
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }
}

function hashesOf({ config, plugins }: StoredGeneration): readonly string[] {
  return [...blobsOfConfig(config), ...plugins.flatMap(blobsOfPlugin)]
}

function notWhole(number: number, gone: readonly StoredPlugin[]): string {
  const versions = gone.map((plugin) => `plugin "${plugin.name}", ${versionLabel(plugin)}`)
  const which = gone.length === 1 ? 'its version' : 'its versions'
  const are = gone.length === 1 ? 'is' : 'are'
  const what = `${which} of ${someOf(versions, VERSIONS_TOLD_MAX)}, ${are} not kept any more`
  return `Cannot bring back generation ${number}: ${what}`
}

/** @param near what can be brought back instead */
function wayOutOf(near: readonly number[]): string {
  if (near.length === 0) return 'There is no other one that can be brought back.'
  const nearest = near.length === 1 ? `is ${near[0]}` : `are ${near.join(' and ')}`
  return `The nearest that can be brought back ${nearest}; \`cardea history\` lists all.`
}

async function inGroups<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += DELETIONS_AT_ONCE_MAX) {
    await Promise.all(items.slice(start, start + DELETIONS_AT_ONCE_MAX).map(work))
  }
}

/** A folder that may be passed through, not read, cannot be synced. */
function ignoreUnreadable(error: unknown): void {
  if (systemErrorCode(error) !== 'EACCES') throw error
}

function ignoreExisting(error: unknown): void {
  if (systemErrorCode(error) !== 'EEXIST') throw error
}

function writeFailed(what: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  const message = `${what}: ${messageOf(cause)}. Make room or mend the permissions of that folder.`
  return new GatewayError('STORE_WRITE_FAILED', message, { cause })
}
