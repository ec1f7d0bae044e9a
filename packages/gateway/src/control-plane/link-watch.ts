import { type FSWatcher, lstatSync, readlinkSync, realpathSync, watch } from 'node:fs'
import { basename, dirname, isAbsolute, join, parse, sep } from 'node:path'

/** Links may lead in a circle. */
const LINKS_MAX = 40

export interface LinkWatchOptions {
  /** The path leads elsewhere now, or nowhere. */
  onMoved(isThere: boolean): void
  onError(thrown: unknown): void
}

/**
 * Tells when a symlink on the way to a path (absolute) is replaced, until it is disposed. A watcher of the path itself looks
 * at what the link led to when it began: `current -> releases/42` or a mounted ConfigMap would change and nobody know.
 */
export function watchLinks(path: string, { onMoved, onError }: LinkWatchOptions): Disposable {
  const before = realPathOf(path)
  const watchers: FSWatcher[] = []
  for (const [directory, names] of byDirectory(linksTo(path))) {
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name !== null && !names.has(name)) return
        const now = realPathOf(path)
        if (now !== before) onMoved(now !== null)
      })
      // Its directory is gone, and with it the path: that is for the watcher of the path to see.
      watcher.on('error', () => {})
      watchers.push(watcher)
    } catch (thrown) {
      onError(thrown)
    }
  }
  return {
    [Symbol.dispose]() {
      for (const watcher of watchers) watcher.close()
    },
  }
}

/** A link that leads somewhere. Editors mark files as theirs with one that does not. */
export function isLink(path: string): boolean {
  return targetOf(path) !== null && realPathOf(path) !== null
}

/** Every link that the system follows on its way to a path, those behind other links included. */
function linksTo(path: string): string[] {
  const links: string[] = []
  const { root } = parse(path)
  const ahead = path.slice(root.length).split(sep)
  let at = root
  for (let name = ahead.shift(); name !== undefined && links.length < LINKS_MAX; name = ahead.shift()) {
    const next = join(at, name)
    const target = targetOf(next)
    if (target === null) at = next
    else {
      links.push(next)
      ahead.unshift(...target.split(sep))
      if (isAbsolute(target)) at = root
    }
  }
  return links
}

function byDirectory(links: readonly string[]): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>()
  for (const link of links) {
    const directory = dirname(link)
    names.set(directory, (names.get(directory) ?? new Set()).add(basename(link)))
  }
  return names
}

function targetOf(path: string): string | null {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null
  } catch {
    return null
  }
}

function realPathOf(path: string): string | null {
  try {
    return realpathSync.native(path)
  } catch {
    return null
  }
}
