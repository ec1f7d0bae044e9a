import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join, parse, sep } from 'node:path'
import { WATCH_LIMITS } from '../config/watch-limits.ts'

/** Links may lead in a circle. */
const CHAIN_MAX = 40

export interface LinksFound {
  /** The path itself first, then the links below it, those in folders that links lead to included. */
  readonly paths: readonly string[]
  /** There is more than is looked through. */
  readonly isCut: boolean
}

/** What is behind a path. */
export interface Lead {
  readonly real: string
  /** Which folder it is, since one may be put into the place of another; null: it is none. */
  readonly folder: number | null
  readonly isFile: boolean
}

/** Looks through a folder, if it is one, for links. `isIgnored` says what is nobody's business. */
export function linksIn(root: string, isIgnored: (path: string) => boolean): LinksFound {
  const paths = [root]
  // Folders that were looked through: links may lead to one again, or in a circle.
  const seen = new Set<string>()
  const ahead = [root]
  for (let folder = ahead.pop(); folder !== undefined; folder = ahead.pop()) {
    const where = folderAt(folder)
    if (where === null || seen.has(where)) continue
    if (seen.size === WATCH_LIMITS.linkFoldersMax) return { paths, isCut: true }
    seen.add(where)
    for (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name)
      if (isIgnored(path)) continue
      if (entry.isSymbolicLink()) {
        if (paths.length > WATCH_LIMITS.linksMax) return { paths, isCut: true }
        paths.push(path)
      }
      if (entry.isSymbolicLink() || entry.isDirectory()) ahead.push(path)
    }
  }
  return { paths, isCut: false }
}

/**
 * What has to stay for a path (absolute) to lead where it does: every link that the system follows on its way, those behind
 * other links included, and last what is at the end of it all, or the first part of the way that is not there.
 */
export function stepsTo(path: string): string[] {
  const links: string[] = []
  const { root } = parse(path)
  const ahead = path.slice(root.length).split(sep)
  let at = root
  for (let name = ahead.shift(); name !== undefined && links.length < CHAIN_MAX; name = ahead.shift()) {
    const next = join(at, name)
    const target = targetOf(next)
    if (typeof target === 'string') {
      links.push(next)
      ahead.unshift(...target.split(sep))
      if (isAbsolute(target)) at = root
      continue
    }
    at = next
    if (target === undefined) break
  }
  return [...links, at]
}

/** Null: the path leads nowhere. */
export function leadOf(path: string): Lead | null {
  try {
    const real = realpathSync.native(path)
    const found = statSync(real)
    // A file that is saved by rename is no other.
    return { real, folder: found.isDirectory() ? found.ino : null, isFile: found.isFile() }
  } catch {
    return null
  }
}

export function isSameLead(one: Lead | null | undefined, other: Lead | null): boolean {
  return one?.real === other?.real && one?.folder === other?.folder
}

export function isLink(path: string): boolean {
  return typeof targetOf(path) === 'string'
}

/** Null: it is no link; undefined: it is not there, as far as can be seen. */
function targetOf(path: string): string | null | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null
  } catch {
    return undefined
  }
}

function folderAt(path: string): string | null {
  try {
    const found = statSync(path)
    return found.isDirectory() ? `${found.dev}:${found.ino}` : null
  } catch {
    return null
  }
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    // What cannot be read holds no links that anybody follows.
    return []
  }
}
