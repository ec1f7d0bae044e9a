import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { isSameLead, type Lead, leadOf, linksIn, stepsTo } from './links.ts'

export interface LinkWatchOptions {
  /** Nobody's business: a link there is not followed. */
  isIgnored(path: string): boolean
  /** Something leads elsewhere now, or nowhere. `isThere`: whether the path itself leads anywhere. */
  onMoved(isThere: boolean): void
  onError(thrown: unknown): void
}

interface WatchedFolder {
  readonly watcher: FSWatcher
  /** What in it has a part in a chain of links. */
  names: ReadonlySet<string>
}

/**
 * Tells when a path (absolute), or a link below it, comes to lead elsewhere. A watcher of the path itself looks at what
 * links led to when it began: `current -> releases/42`, a plugin behind two links, or a mounted ConfigMap would change and
 * nobody know. Only the folders are watched in which a link of a chain lies, or the end of one, and nothing below them.
 */
export class LinkWatch implements Disposable {
  readonly #path: string
  readonly #options: LinkWatchOptions
  readonly #folders = new Map<string, WatchedFolder>()
  /** What is behind each link. */
  #leads = new Map<string, Lead | null>()
  #isCut = false
  #isClosed = false

  constructor(path: string, options: LinkWatchOptions) {
    this.#path = path
    this.#options = options
  }

  /** Those that are watched. */
  get folders(): string[] {
    return [...this.#folders.keys()]
  }

  /** Finds the links anew, and tells whether one that was known leads elsewhere. */
  look(): void {
    if (this.#isClosed) return
    const { paths, isCut } = linksIn(this.#path, this.#options.isIgnored)
    const before = this.#leads
    // Of a path without links the watcher of the path tells all, but for one that was removed and may come again.
    const steps = paths
      .map((path) => [path, stepsTo(path)] as const)
      .filter(([path, to]) => to.length > 1 || before.has(path))
    this.#watch(byFolder(steps.flatMap(([, to]) => to)))
    // After the folders are watched: what moves from now on is seen.
    this.#leads = new Map(steps.map(([path]) => [path, leadOf(path)]))
    if (isCut && !this.#isCut) this.#options.onError(tooMany(this.#path))
    this.#isCut = isCut
    const hasMoved = [...this.#leads].some(
      ([path, lead]) => before.has(path) && !isSameLead(before.get(path), lead),
    )
    if (hasMoved && !this.#isClosed) this.#options.onMoved(leadOf(this.#path) !== null)
  }

  /** A link that has come. Those that come along with it are for the caller to name too. */
  add(link: string): void {
    if (this.#isClosed || this.#leads.has(link) || this.#leads.size > WATCH_LIMITS.linksMax) return
    for (const [folder, names] of byFolder(stepsTo(link))) {
      this.#watchFolder(folder, names.union(this.#folders.get(folder)?.names ?? NO_NAMES))
    }
    this.#leads.set(link, leadOf(link))
  }

  leadsToFile(path: string): boolean {
    return this.#leads.get(path)?.isFile === true
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #watch(wanted: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [folder, { watcher }] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const [folder, names] of wanted) this.#watchFolder(folder, names)
  }

  #watchFolder(folder: string, names: ReadonlySet<string>): void {
    if (this.#isClosed) return
    const known = this.#folders.get(folder)
    if (known !== undefined) {
      known.names = names
      return
    }
    try {
      const watcher = watch(folder, { persistent: false }, (event, name) => {
        if (event === 'rename') this.#onRename(folder, name)
      })
      // It is gone, and with it what it held: that has been said as a rename.
      watcher.on('error', () => {})
      this.#folders.set(folder, { watcher, names })
    } catch (thrown) {
      this.#options.onError(thrown)
    }
  }

  /** `name`: of what came, went or was replaced in the folder; or of the folder itself, which is another one then. */
  #onRename(folder: string, name: string | null): void {
    const known = this.#folders.get(folder)
    if (known === undefined) return
    if (name === basename(folder)) {
      known.watcher.close()
      this.#folders.delete(folder)
    } else if (name !== null && !known.names.has(name)) return
    this.look()
  }
}

const NO_NAMES: ReadonlySet<string> = new Set()

function byFolder(steps: readonly string[]): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>()
  for (const step of steps) {
    const folder = dirname(step)
    names.set(folder, (names.get(folder) ?? new Set()).add(basename(step)))
  }
  return names
}

function tooMany(path: string): Error {
  const bounds = `${WATCH_LIMITS.linksMax} links and ${WATCH_LIMITS.linkFoldersMax} folders`
  return new Error(`"${path}" holds more than ${bounds}, and what links further on lead to is not looked at`)
}
