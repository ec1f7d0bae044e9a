import { createHash } from 'node:crypto'
import { type BigIntStats, type Dirent, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { FINGERPRINT_LIMITS } from '../../config/limits.ts'
import { sha256 } from './blobs.ts'
import type { StoredConfig } from './types.ts'

/**
 * A file whose time stamp is this young may be written again within the same tick of the file system's clock, and
 * have the same size; what was seen of it is not believed the next time.
 */
const SETTLED_AFTER_MS = 2_000

const UNREADABLE = 'unreadable: '

interface Seen {
  readonly stamp: string
  readonly hash: string
}

/**
 * Says what stands in plugin folders, as one hash each: equal exactly if the files are. It remembers files by their
 * time stamps, so that looking again at folders in which nothing changed reads none of them.
 */
export class Fingerprints {
  /** By folder, then by file; all paths absolute. */
  readonly #seen = new Map<string, ReadonlyMap<string, Seen>>()

  /**
   * SHA-256 (hex) over relative paths and contents of a plugin's own files; null when there is no such folder.
   *
   * Not looked at are node_modules, hidden files, and *.test.ts. Files beyond `FINGERPRINT_LIMITS` are not read: of
   * those with too many bytes size and time count instead, and a folder with too many files counts only as such.
   */
  ofFolder(folder: string): string | null {
    const files = filesOf(folder)
    if (files === null) {
      this.#seen.delete(folder)
      return null
    }
    const before = this.#seen.get(folder)
    const seen = new Map<string, Seen>()
    const hash = createHash('sha256')
    let bytes = 0
    for (const { path, file, stats } of files.found) {
      bytes += Number(stats.size)
      const stamp = stampOf(stats)
      const known = before?.get(file)
      let content = stamp
      if (bytes <= FINGERPRINT_LIMITS.bytesMax) {
        content = known?.stamp === stamp ? known.hash : hashOf(file)
        if (isSettled(stats) && !content.startsWith(UNREADABLE)) seen.set(file, { stamp, hash: content })
      }
      hash.update(`${JSON.stringify(path)} ${content}\n`)
    }
    if (files.isCut) hash.update('and more')
    this.#seen.set(folder, seen)
    return hash.digest('hex')
  }
}

function hashOf(file: string): string {
  try {
    return sha256(readFileSync(file))
  } catch (error) {
    // Building the plugin says so in a better place.
    return `${UNREADABLE}${systemErrorCode(error) || messageOf(error)}`
  }
}

/** As a pin on the config has it. */
export function fingerprintOfConfig(config: StoredConfig): string {
  if (config.kind === 'file') return config.textHash
  const { url, port, directory } = config
  return sha256(JSON.stringify([url, port, directory]))
}

interface FoundFile {
  /** Relative, with slashes. */
  readonly path: string
  readonly file: string
  readonly stats: BigIntStats
}

interface FoundFiles {
  readonly found: readonly FoundFile[]
  /** There are more than are looked at. */
  readonly isCut: boolean
}

/** Sorted by path; null when the folder is not there. */
function filesOf(folder: string): FoundFiles | null {
  const entries = entriesOf(folder)
  if (entries === null) return null
  const walk = new Walk()
  walk.into(folder, '', entries)
  return { found: walk.found, isCut: walk.isCut }
}

class Walk {
  readonly found: FoundFile[] = []
  isCut = false
  /** Real paths of the folders that links led to: a link may lead to a folder above itself. */
  readonly #linked = new Set<string>()

  into(folder: string, prefix: string, entries: readonly Dirent[]): void {
    const own = entries.filter(({ name }) => isOwn(name)).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of own) {
      if (this.isCut) return
      const file = join(folder, entry.name)
      const stats = statsOf(file)
      const path = `${prefix}${entry.name}`
      if (stats === null) continue
      if (stats.isDirectory()) this.#descend(file, path, entry)
      else if (stats.isFile()) this.#add({ path, file, stats })
    }
  }

  #descend(folder: string, path: string, entry: Dirent): void {
    if (entry.isSymbolicLink()) {
      const target = realPathOf(folder)
      if (this.#linked.has(target)) return
      this.#linked.add(target)
    }
    this.into(folder, `${path}/`, entriesOf(folder) ?? [])
  }

  #add(file: FoundFile): void {
    if (this.found.length < FINGERPRINT_LIMITS.filesMax) this.found.push(file)
    else this.isCut = true
  }
}

function isOwn(name: string): boolean {
  return !name.startsWith('.') && name !== 'node_modules' && !name.endsWith('.test.ts')
}

/** Null when there is no folder of that name (any more). */
function entriesOf(folder: string): Dirent[] | null {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return null
    // It is there, and discovery says why it cannot be read.
    return []
  }
}

/** Null for what is gone, or leads nowhere. */
function statsOf(file: string): BigIntStats | null {
  try {
    return statSync(file, { bigint: true, throwIfNoEntry: false }) ?? null
  } catch {
    return null
  }
}

function realPathOf(folder: string): string {
  try {
    return realpathSync.native(folder)
  } catch {
    return folder
  }
}

/** Changes when the file is written, replaced, or its times are set back. */
function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

function isSettled({ mtimeMs, ctimeMs }: BigIntStats): boolean {
  return Date.now() - Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs) > SETTLED_AFTER_MS
}
