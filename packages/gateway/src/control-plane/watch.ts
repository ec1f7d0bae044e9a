import { closeSync, constants, opendirSync, openSync, statSync } from 'node:fs'
import { basename, join, sep } from 'node:path'
import type { Log } from '@cardea/sdk'
import { type FSWatcher, watch } from 'chokidar'
import { messageOf } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { Burst, type OnQuiet } from './burst.ts'
import { LinkWatch } from './link-watch.ts'
import { isLink } from './links.ts'

export interface WatchOptions {
  readonly log: Log
  readonly onQuiet: OnQuiet
  /** Chokidar's unless told. */
  readonly open?: typeof watch
}

interface Watched {
  readonly watcher: FSWatcher
  /** Its files are looked at again and again, since the system does not tell of them. */
  readonly isPolled: boolean
  readonly links: LinkWatch
  /** What below it, or above, must not be read: looked at again and again, since nothing tells when it may be. */
  readonly unreadable: Set<string>
  /** Nobody need wait for it any more. */
  isReady(): void
}

/** The system's bounds of inotify watches and instances, which all programs of a user share. */
const NO_WATCHERS_LEFT: ReadonlySet<string> = new Set(['ENOSPC', 'EMFILE', 'ENFILE'])

const NOT_ALLOWED: ReadonlySet<string> = new Set(['EACCES', 'EPERM'])

/** Watches the config file and the plugins directories. What a burst of events is made into: see `Burst`. */
export class Watch {
  readonly #options: WatchOptions
  /** By path. Each has a watcher of its own, since only a new one says when it sees what is written. */
  readonly #watched = new Map<string, Watched>()
  readonly #burst: Burst
  #recheck: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: WatchOptions) {
    this.#options = options
    this.#burst = new Burst((files, firstSignAt) => options.onQuiet(files, firstSignAt))
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
      this.#burst.texts.forget(path)
      void this.#end(watched)
    }
    const fresh = [...wanted].filter((path) => !this.#watched.has(path))
    for (const path of fresh) this.#burst.texts.name(path)
    await Promise.all(fresh.map((path) => this.#add(path)))
    // Of a file, and of a folder further up, nobody tells.
    for (const [path, watched] of this.#watched) {
      const thrown = faultOfReading(path)
      if (thrown !== null) this.#onUnreadable(path, watched, path, thrown)
    }
    if (isFirst) return
    for (const path of fresh) if (this.#watched.has(path)) this.#touch(path)
  }

  /** All of it is looked at as after a save: not in the middle of a write. */
  look(): void {
    if (this.#isClosed) return
    for (const path of this.#watched.keys()) this.#burst.look(path)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#recheck)
    this.#burst.close()
    await Promise.all([...this.#watched.values()].map((watched) => this.#end(watched)))
  }

  async #add(path: string, isPolled = false): Promise<void> {
    const links = this.#linksOf(path)
    const { open = watch } = this.#options
    const watcher = open(path, {
      ignoreInitial: true,
      ignored: isIgnored,
      followSymlinks: true,
      // It would tell of a file that is gone later than of the folder around it: a rename would be two changes.
      atomic: false,
      usePolling: isPolled,
      interval: WATCH_LIMITS.pollMs,
      binaryInterval: WATCH_LIMITS.pollMs,
    })
    const { promise: ready, resolve: isReady } = Promise.withResolvers<void>()
    this.#watched.set(path, { watcher, isPolled, links, unreadable: new Set(), isReady })
    watcher.on('all', (event, touched) => {
      if (event === 'add' || event === 'addDir') onPlace(links, touched)
      this.#touch(touched, event === 'unlink' || event === 'unlinkDir')
    })
    watcher.on('raw', (event, name, details) => {
      const at = placeOf(details)
      // It compares such a link with itself: of two saves within 50 ms it would tell of one.
      if (links.leadsToFile(at)) this.#touch(at)
      // A link that leads nowhere yet is nothing to it.
      else if (event === 'rename' && name !== null) onPlace(links, join(at, name))
    })
    watcher.on('error', (thrown) => this.#onError(path, thrown))
    watcher.on('ready', () => {
      // Those that came before it looked.
      links.look()
      this.#takeAll(watcher)
      isReady()
    })
    // Who polls a path looks at what its links lead to each time.
    if (isPolled) links[Symbol.dispose]()
    else links.look()
    await ready
  }

  /** Before anybody writes them: half of what was never seen whole cannot be told from it. */
  #takeAll(watcher: FSWatcher): void {
    for (const [folder, names] of Object.entries(watcher.getWatched())) {
      for (const name of names) this.#burst.texts.take(join(folder, name))
    }
  }

  #linksOf(path: string): LinkWatch {
    return new LinkWatch(path, {
      isIgnored,
      onMoved: (isThere) => {
        // Who puts another file in the place of one has written it before.
        this.#burst.texts.take(path)
        if (isThere) void this.#again(path)
        else this.#touch(path)
      },
      onError: (thrown) => this.#onError(path, thrown, 'watch a link'),
    })
  }

  #onError(path: string, thrown: unknown, what = 'watch a file'): void {
    const watched = this.#watched.get(path)
    const code = systemErrorCode(thrown)
    if (watched !== undefined && NOT_ALLOWED.has(code)) {
      this.#onUnreadable(path, watched, pathOf(thrown) ?? path, thrown)
      return
    }
    if (watched?.isPolled !== false || !NO_WATCHERS_LEFT.has(code)) {
      this.#warn(what, thrown)
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

  #onUnreadable(path: string, watched: Watched, unreadable: string, thrown: unknown): void {
    if (faultOfReading(unreadable) === null) {
      // It was so for a moment, in which somebody may have tried to.
      this.#touch(path)
      return
    }
    // Each thing in a folder that must not be read is an error of its own.
    if (watched.unreadable.size === 0) {
      const every = `${WATCH_LIMITS.pollMs / 1000} s`
      this.#options.log.warn(`Cannot watch all of "${path}": ${messageOf(thrown)}`, {
        hint: `let the gateway's user read it; whether it may is looked at every ${every}`,
      })
    }
    if (watched.unreadable.size < WATCH_LIMITS.unreadableMax) watched.unreadable.add(unreadable)
    this.#recheck ??= setTimeout(() => this.#lookAgain(), WATCH_LIMITS.pollMs)
  }

  #lookAgain(): void {
    this.#recheck = undefined
    for (const [path, { unreadable }] of [...this.#watched]) {
      if (unreadable.values().some((at) => faultOfReading(at) === null)) void this.#again(path)
    }
    const isLeft = this.#watched.values().some(({ unreadable }) => unreadable.size > 0)
    if (isLeft) this.#recheck ??= setTimeout(() => this.#lookAgain(), WATCH_LIMITS.pollMs)
  }

  /** The path leads elsewhere, is to be polled, or may be read. */
  async #again(path: string, isPolled = false): Promise<void> {
    const watched = this.#watched.get(path)
    if (watched === undefined || this.#isClosed) return
    this.#watched.delete(path)
    await Promise.all([this.#end(watched), this.#add(path, isPolled || watched.isPolled)])
    if (this.#watched.has(path)) this.#touch(path)
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

  #touch(path: string, isGone = false): void {
    if (!this.#isClosed) this.#burst.touch(path, isGone)
  }
}

function onPlace(links: LinkWatch, path: string): void {
  if (!isIgnored(path) && isLink(path)) links.add(path)
}

/** The folder, or the link, that a raw event of the watcher is of; these have no type. */
function placeOf(details: unknown): string {
  const isKnown = typeof details === 'object' && details !== null && 'watchedPath' in details
  return isKnown ? String(details.watchedPath) : ''
}

/**
 * Hidden files and folders are nobody's plugin, nor is what an editor keeps of a file that it replaces; what npm installed
 * comes along with a change of the plugin's own.
 */
function isIgnored(path: string): boolean {
  const name = basename(path)
  if (name === 'node_modules' || name.endsWith('~')) return true
  return name.startsWith('.') && name.length > 1 && !path.endsWith(`${sep}.`)
}

/** Of an error of `node:fs`. */
function pathOf(thrown: unknown): string | null {
  const isKnown = thrown instanceof Error && 'path' in thrown && typeof thrown.path === 'string'
  return isKnown ? String(thrown.path) : null
}

/** Null: it may be read, or is not there. */
function faultOfReading(path: string): unknown {
  try {
    if (statSync(path).isDirectory()) {
      opendirSync(path).closeSync()
      // To name what is in it is another right than to list it.
      statSync(`${path}${sep}.`)
    } else closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
    return null
  } catch (thrown) {
    return NOT_ALLOWED.has(systemErrorCode(thrown)) ? thrown : null
  }
}
