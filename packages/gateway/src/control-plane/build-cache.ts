import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BUILD_IDLE_MS } from '../config/limits.ts'
import { type BuildOutcome, type BuiltPlugin, buildPlugins, stopBuildService } from './build.ts'
import { sha256 } from './store/blobs.ts'
import type { Fingerprints } from './store/fingerprint.ts'
import { contentHashOf } from './store/stored-plugin.ts'
import type { VerifiedPlugin } from './verify.ts'

interface Entry {
  readonly fingerprint: string
  readonly plugin: BuiltPlugin
  /** Of the library files: what npm does to them changes nothing in the plugin's own folder. */
  readonly libraries: string
}

/** By folder, from before its files were read: a file that changes meanwhile must not count as built. */
type FolderFingerprints = ReadonlyMap<string, string | null>

/**
 * Builds only what changed since it was built last: of twenty plugins one save touches one. What a folder holds counts,
 * not its dates.
 */
export class BuildCache {
  readonly #folders: Fingerprints
  readonly #entries = new Map<string, Entry>()
  #idleTimer: NodeJS.Timeout | undefined
  /** Of the last call that came to its end. */
  #fingerprints: FolderFingerprints = new Map()

  constructor(folders: Fingerprints) {
    this.#folders = folders
  }

  /** The fingerprint of a folder as of the last `build`; '' when it was not part of it. */
  fingerprintOf(folder: string): string {
    return this.#fingerprints.get(folder) ?? ''
  }

  /** `StoredPlugin.contentHash` of what such files gave when they were built last; null when they were not. */
  async contentOf(folder: string, fingerprint: string): Promise<string | null> {
    const entry = this.#entries.get(folder)
    if (entry?.fingerprint !== fingerprint) return null
    const { manifest, bundle, libraryFiles } = entry.plugin
    // What they use is another by now: they give something else.
    if (entry.libraries !== (await datesOf(libraryFiles))) return null
    return contentHashOf(sha256(manifest.text), bundle.codeHash)
  }

  /** All that there are: what is kept of others is forgotten. Throws the signal's reason once it is aborted. */
  async build(plugins: readonly VerifiedPlugin[], signal?: AbortSignal): Promise<BuildOutcome> {
    const outcome = await this.buildSome(plugins, signal)
    this.#forgetAllBut(new Set(plugins.map(folderOf)))
    return outcome
  }

  async buildSome(plugins: readonly VerifiedPlugin[], signal?: AbortSignal): Promise<BuildOutcome> {
    clearTimeout(this.#idleTimer)
    const folders = plugins.map(folderOf)
    const fingerprints = new Map(folders.map((folder) => [folder, this.#folders.ofFolder(folder)]))
    const known = await Promise.all(plugins.map((plugin) => this.#find(plugin, fingerprints)))
    const unknown = plugins.filter((_, index) => known[index] === null)
    const outcome = await buildPlugins(unknown, { signal })
    // Also of a build that was given up: whoever makes the change anew has that behind them.
    for (const plugin of outcome.built) await this.#keep(plugin, fingerprints)
    this.#idleTimer = setTimeout(() => void stopBuildService(), BUILD_IDLE_MS).unref()
    signal?.throwIfAborted()
    this.#fingerprints = fingerprints
    const fresh = new Map(outcome.built.map((plugin) => [plugin.entryFile, plugin]))
    const built = plugins.flatMap((plugin, index) => known[index] ?? fresh.get(plugin.entryFile) ?? [])
    return { built, problems: outcome.problems }
  }

  async #find(plugin: VerifiedPlugin, fingerprints: FolderFingerprints): Promise<BuiltPlugin | null> {
    const folder = folderOf(plugin)
    const entry = this.#entries.get(folder)
    const fingerprint = fingerprints.get(folder) ?? null
    if (entry === undefined || entry.fingerprint !== fingerprint) return null
    if (entry.plugin.entryFile !== plugin.entryFile) return null
    if (entry.libraries !== (await datesOf(entry.plugin.libraryFiles))) return null
    return { ...entry.plugin, ...plugin }
  }

  async #keep(plugin: BuiltPlugin, fingerprints: FolderFingerprints): Promise<void> {
    const folder = folderOf(plugin)
    const fingerprint = fingerprints.get(folder) ?? null
    if (fingerprint === null) return
    this.#entries.set(folder, { fingerprint, plugin, libraries: await datesOf(plugin.libraryFiles) })
  }

  #forgetAllBut(folders: ReadonlySet<string>): void {
    for (const folder of this.#entries.keys()) if (!folders.has(folder)) this.#entries.delete(folder)
  }
}

function folderOf({ entryFile }: VerifiedPlugin): string {
  return dirname(entryFile)
}

async function datesOf(files: readonly string[]): Promise<string> {
  const dates = await Promise.all(
    files.map(async (file) => {
      try {
        const { mtimeMs, size } = await stat(file)
        return `${mtimeMs} ${size}`
      } catch {
        return 'gone'
      }
    }),
  )
  return dates.join('\n')
}
