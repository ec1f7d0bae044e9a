import { statSync } from 'node:fs'
import { basename, join, sep } from 'node:path'
import type { Log } from '@cardea/sdk'
import { type FSWatcher, watch } from 'chokidar'
import { messageOf } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { WATCH_LIMITS } from '../config/limits.ts'
import { isLink, watchLinks } from './link-watch.ts'

export interface WatchOptions {
  readonly log: Log
  /** Something changed and has been quiet since. `firstSignAt`: `performance.now()` of the first event. */
  onQuiet(files: readonly string[], firstSignAt: number): void
  /** Chokidar's unless told. */
  readonly open?: typeof watch
}

interface Watched {
  readonly watcher: FSWatcher
  /** Its files are looked at again and again, since the system does not tell of them. */
  readonly isPolled: boolean
  readonly links: Disposable
  /** Nobody need wait for it any more. */
  isReady(): void
}

/** The system's bounds of inotify watches and instances, which all programs of a user share. */
const NO_WATCHERS_LEFT: ReadonlySet<string> = new Set(['ENOSPC', 'EMFILE', 'ENFILE'])

/**
 * Watches the config file and the plugins directories. An editor's or git's burst of events becomes one call: it comes
 * when nothing has happened for `WATCH_LIMITS.quietMs`, and later when a file that was touched is still empty, since
 * many editors truncate first and write then.
 */
export class Watch {
  readonly #options: WatchOptions
  /** By path. Each has a watcher of its own, since only a new one says when it sees what is written. */
  readonly #watched = new Map<string, Watched>()
  readonly #touched = new Set<string>()
  #firstSignAt = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: WatchOptions) {
    this.#options = options
  }

  /**
   * Watches these files and folders, which need not exist, and no others. Resolves when whatever is written from then on
   * is seen. What was written before is for the caller to look at after the first call; a path that comes in a later one
   * counts as touched.
   */
  async setPaths(paths: Iterable<string>): Promise<void> {
    if (this.#isClosed) return
    const isFirst = this.#watched.size === 0
    const wanted = new Set(paths)
    for (const [path, watched] of this.#watched) {
      if (wanted.has(path)) continue
      this.#watched.delete(path)
      void this.#end(watched)
    }
    const fresh = [...wanted].filter((path) => !this.#watched.has(path))
    await Promise.all(fresh.map((path) => this.#add(path)))
    if (isFirst) return
    for (const path of fresh) if (this.#watched.has(path)) this.#onEvent(path)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await Promise.all([...this.#watched.values()].map((watched) => this.#end(watched)))
  }

  async #add(path: string, isPolled = false): Promise<void> {
    const links = isPolled ? NO_LINKS : this.#watchLinks(path)
    const { open = watch } = this.#options
    const watcher = open(path, {
      ignoreInitial: true,
      ignored: isIgnored,
      followSymlinks: true,
      usePolling: isPolled,
      interval: WATCH_LIMITS.pollMs,
      binaryInterval: WATCH_LIMITS.pollMs,
    })
    const { promise: ready, resolve: isReady } = Promise.withResolvers<void>()
    this.#watched.set(path, { watcher, isPolled, links, isReady })
    watcher.on('all', (_, touched) => this.#onEvent(touched))
    // A link in a folder: it does not watch what that leads to now.
    watcher.on('raw', (event, name, details) => {
      if (event === 'rename' && name !== null && isLink(join(folderOf(details), name))) void this.#again(path)
    })
    watcher.on('error', (thrown) => this.#onError(path, thrown))
    watcher.on('ready', isReady)
    await ready
  }

  #watchLinks(path: string): Disposable {
    return watchLinks(path, {
      onMoved: (isThere) => (isThere ? void this.#again(path) : this.#onEvent(path)),
      onError: (thrown) => this.#warn('watch a link', thrown),
    })
  }

  #onError(path: string, thrown: unknown): void {
    const isPollable = this.#watched.get(path)?.isPolled === false
    if (!isPollable || !NO_WATCHERS_LEFT.has(systemErrorCode(thrown))) {
      this.#warn('watch a file', thrown)
      return
    }
    const every = `${WATCH_LIMITS.pollMs / 1000} s`
    this.#options.log.warn(
      `The system has no file watchers left: "${path}" is looked at every ${every}, and changes go live that much later`,
      { hint: 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances' },
    )
    // What else it has to say is of its other folders, and nobody hears it.
    void this.#again(path, true)
  }

  /** The path leads elsewhere, or is to be polled. */
  async #again(path: string, isPolled = false): Promise<void> {
    const watched = this.#watched.get(path)
    if (watched === undefined || this.#isClosed) return
    this.#watched.delete(path)
    await Promise.all([this.#end(watched), this.#add(path, isPolled || watched.isPolled)])
    if (this.#watched.has(path)) this.#onEvent(path)
  }

  async #end({ watcher, links, isReady }: Watched): Promise<void> {
    links[Symbol.dispose]()
    // It will not say so any more, and others are waited for along with it.
    isReady()
    try {
      const closed = watcher.close()
      // It has just let go of ours, and what it is still about may fail: an error that nobody hears ends the process.
      watcher.on('error', () => {})
      await closed
    } catch (thrown) {
      this.#warn('stop watching a file', thrown)
    }
  }

  #warn(what: string, thrown: unknown): void {
    this.#options.log.warn(`Cannot ${what}: ${messageOf(thrown)}`, {
      hint: 'run "cardea plugin reload NAME" after a change',
    })
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
    this.#timer = setTimeout(() => this.#settle(leftMs > delayMs), Math.max(0, Math.min(delayMs, leftMs)))
  }

  #settle(mayWait: boolean): void {
    const files = [...this.#touched]
    if (mayWait && files.some(isEmptyFile)) {
      this.#wait(WATCH_LIMITS.emptyFileMs)
      return
    }
    this.#touched.clear()
    this.#options.onQuiet(files, this.#firstSignAt)
  }
}

/** Who polls a path looks at what its links lead to each time. */
const NO_LINKS: Disposable = { [Symbol.dispose]() {} }

/** Of a raw event of the watcher, which has no type. */
function folderOf(details: unknown): string {
  const isKnown = typeof details === 'object' && details !== null && 'watchedPath' in details
  return isKnown ? String(details.watchedPath) : ''
}

/** Hidden files and folders are nobody's plugin; what npm installed comes along with a change of the plugin's own. */
function isIgnored(path: string): boolean {
  const name = basename(path)
  return name === 'node_modules' || (name.startsWith('.') && name.length > 1 && !path.endsWith(`${sep}.`))
}

function isEmptyFile(path: string): boolean {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    return found?.isFile() === true && found.size === 0
  } catch {
    return false
  }
}
