import { stat } from 'node:fs/promises'
import { basename, sep } from 'node:path'
import type { Log } from '@cardea/sdk'
import { type FSWatcher, watch } from 'chokidar'
import { messageOf } from '../base/errors.ts'
import { WATCH_LIMITS } from '../config/limits.ts'

export interface WatchOptions {
  readonly log: Log
  /** Something changed and has been quiet since. `firstSignAt`: `performance.now()` of the first event. */
  onQuiet(files: readonly string[], firstSignAt: number): void
}

/**
 * Watches the config file and the plugins directories. An editor's or git's burst of events becomes one call: it comes
 * when nothing has happened for `WATCH_LIMITS.quietMs`, and later when a file that was touched is still empty, since
 * many editors truncate first and write then.
 */
export class Watch {
  readonly #options: WatchOptions
  readonly #watcher: FSWatcher
  readonly #ready = Promise.withResolvers<void>()
  readonly #touched = new Set<string>()
  #paths: ReadonlySet<string> = new Set()
  #firstSignAt = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: WatchOptions) {
    this.#options = options
    this.#watcher = watch([], { ignoreInitial: true, ignored: isIgnored, followSymlinks: true })
    this.#watcher.on('all', (_, path) => this.#onEvent(path))
    this.#watcher.on('ready', () => this.#ready.resolve())
    this.#watcher.on('error', (thrown) =>
      options.log.warn(`Cannot watch a file: ${messageOf(thrown)}`, {
        hint: 'run "cardea plugin reload NAME" after a change',
      }),
    )
  }

  /** Watches these files and folders, which need not exist, and no others. */
  setPaths(paths: Iterable<string>): void {
    if (this.#isClosed) return
    const wanted = new Set(paths)
    const gone = [...this.#paths].filter((path) => !wanted.has(path))
    const fresh = [...wanted].filter((path) => !this.#paths.has(path))
    this.#paths = wanted
    if (gone.length > 0) this.#watcher.unwatch(gone)
    if (fresh.length > 0) this.#watcher.add(fresh)
    else this.#ready.resolve()
  }

  /** Resolves when what `setPaths` named first is being watched. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#ready.resolve()
    clearTimeout(this.#timer)
    await this.#watcher.close()
  }

  #onEvent(path: string): void {
    if (this.#isClosed) return
    if (this.#touched.size === 0) this.#firstSignAt = performance.now()
    this.#touched.add(path)
    this.#wait(WATCH_LIMITS.quietMs)
  }

  #wait(delayMs: number): void {
    clearTimeout(this.#timer)
    // A source of events that never rests must not put a change off for ever.
    const leftMs = this.#firstSignAt + WATCH_LIMITS.burstMs - performance.now()
    this.#timer = setTimeout(
      () => void this.#settle(leftMs > delayMs),
      Math.max(0, Math.min(delayMs, leftMs)),
    )
  }

  async #settle(mayWait: boolean): Promise<void> {
    const files = [...this.#touched]
    if (mayWait && (await isAnyEmpty(files))) {
      if (!this.#isClosed) this.#wait(WATCH_LIMITS.emptyFileMs)
      return
    }
    if (this.#isClosed || this.#touched.size === 0) return
    for (const file of files) this.#touched.delete(file)
    const firstSignAt = this.#firstSignAt
    // What was touched while we looked is a burst of its own.
    if (this.#touched.size > 0) this.#wait(WATCH_LIMITS.quietMs)
    this.#firstSignAt = performance.now()
    this.#options.onQuiet(files, firstSignAt)
  }
}

/** Hidden files and folders are nobody's plugin; what npm installed comes along with a change of the plugin's own. */
function isIgnored(path: string): boolean {
  const name = basename(path)
  return name === 'node_modules' || (name.startsWith('.') && name.length > 1 && !path.endsWith(`${sep}.`))
}

async function isAnyEmpty(files: readonly string[]): Promise<boolean> {
  const sizes = await Promise.all(
    files.map(async (file) => {
      try {
        const found = await stat(file)
        return found.isFile() ? found.size : 1
      } catch {
        return 1
      }
    }),
  )
  return sizes.includes(0)
}
