import {
  accessSync,
  constants,
  type Dirent,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import { type PluginProblem, problemAt } from './problem.ts'

export type PluginOrigin = 'user' | 'built-in'

export interface PluginDirectories {
  /** The user's `plugins/`, absolute. It need not exist. */
  readonly user: string
  /** The built-in plugins, absolute. It need not exist. */
  readonly builtIn: string
}

/** A folder that claims to be a plugin: it holds a plugin.json. */
export interface FoundPlugin {
  /** Absolute, as found; a symlink is not resolved, so that messages name what the user sees. */
  readonly folder: string
  readonly origin: PluginOrigin
}

export interface Discovery {
  /** Built-ins first, then the user's, each by folder name. */
  readonly found: readonly FoundPlugin[]
  readonly problems: readonly PluginProblem[]
}

/** As the kernel follows at most. */
const LINKS_MAX = 40

/** The names of entry files, the first that is there counts. */
export const ENTRY_FILES = ['plugin.ts', 'plugin.js', 'plugin.mjs'] as const

/**
 * Finds the plugin folders of both directories: their direct children that hold a plugin.json. Hidden folders,
 * node_modules, files, and folders without plugin.json and entry file are somebody else's.
 *
 * What looks like a plugin but cannot be read is a problem and never skipped: skipping it could take a security
 * plugin off its routes.
 *
 * It waits for the disk, as whoever else looks at all plugins' files in every change: to ask another thread for each of
 * them costs many times as much, of the cores that requests need too. *Measured* with twenty plugins: a change is prepared
 * in 10 ms instead of 14.
 */
export function discover(directories: PluginDirectories): Discovery {
  const found: FoundPlugin[] = []
  const problems: PluginProblem[] = []
  const origins = isSameFolder(directories) ? (['built-in'] as const) : (['built-in', 'user'] as const)
  for (const origin of origins) {
    const directory = origin === 'user' ? directories.user : directories.builtIn
    if (origin === 'user') problems.push(...looseManifest(directory))
    for (const entry of listDirectory(directory, problems)) {
      const { folder, problem } = look(join(directory, entry.name), entry)
      if (folder !== undefined) found.push({ folder, origin })
      if (problem !== undefined) problems.push(problem)
    }
  }
  return { found, problems }
}

/** A plugin beside the others' folders instead of in one of its own would otherwise be nothing at all. */
function looseManifest(directory: string): PluginProblem[] {
  const file = join(directory, 'plugin.json')
  try {
    if (!isFile(file)) return []
  } catch {
    // Somebody else's, which must not be read.
    return []
  }
  const message = `${directory} itself holds a plugin.json, but a plugin is a folder in it: move its files into ${join(directory, 'NAME')}.`
  return [problemAt(file, 'PLUGIN_MANIFEST_INVALID', message)]
}

/** Run in Cardea's own folder, `./plugins` is the built-ins' directory: its plugins do not shadow themselves. */
function isSameFolder({ user, builtIn }: PluginDirectories): boolean {
  try {
    return realpathSync.native(user) === realpathSync.native(builtIn)
  } catch {
    // One of them is not there; reading it says what is wrong, if anything is.
    return false
  }
}

function listDirectory(directory: string, problems: PluginProblem[]): Dirent[] {
  let entries: Dirent[]
  try {
    entries = readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') {
      problems.push(
        problemAt(
          directory,
          'CONFIG_NOT_FOUND',
          `Cannot read the plugins directory ${directory}: ${messageOf(error)}`,
        ),
      )
    }
    return []
  }
  const candidates = entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .filter((entry) => !entry.name.startsWith('.') && entry.name !== 'node_modules')
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  if (candidates.length <= PLUGIN_LIMITS.foldersMax) return candidates
  problems.push(
    problemAt(
      directory,
      'CONFIG_INVALID',
      `The plugins directory ${directory} holds ${candidates.length} folders, more than ${PLUGIN_LIMITS.foldersMax}; ` +
        'is it the right one?',
    ),
  )
  return []
}

/** What one child of a plugins directory is: a plugin's folder, a problem, or somebody else's. */
interface Look {
  readonly folder?: string
  readonly problem?: PluginProblem
}

function look(folder: string, entry: Dirent): Look {
  try {
    if (entry.isSymbolicLink() && !statSync(realpathSync.native(folder)).isDirectory()) return {}
    if (isFile(join(folder, 'plugin.json'))) return { folder }
    const entryFile = findEntryFile(folder)
    if (entryFile === null) return {}
    const message = `${folder} holds ${entryFile} but no plugin.json; add one with name and version, or move the folder away.`
    return { problem: problemAt(join(folder, 'plugin.json'), 'PLUGIN_MANIFEST_INVALID', message, { folder }) }
  } catch (error) {
    const lost = entry.isSymbolicLink() && systemErrorCode(error) === 'ENOENT' ? lostEndOf(folder) : null
    const message =
      lost === null
        ? `Cannot read the plugin folder ${folder}: ${messageOf(error)}`
        : `${folder} is a link that points to nothing: ${lost} is not there. Bring that back, let the link point to a plugin's folder, or remove the link.`
    return { problem: problemAt(folder, 'PLUGIN_MANIFEST_INVALID', message, { folder }) }
  }
}

/** Where a link leads to, over others if need be, that is not there; null where that cannot be told. */
function lostEndOf(link: string): string | null {
  let end = link
  try {
    for (let links = 0; links < LINKS_MAX; links++) {
      const stats = lstatSync(end, { throwIfNoEntry: false })
      if (stats === undefined) return end
      end = resolve(dirname(end), readlinkSync(end))
    }
  } catch {
    // It is there by now, or may not be looked at.
  }
  return null
}

/** The name of the folder's entry file, or null when there is none. Throws when the folder cannot be read. */
export function findEntryFile(folder: string): string | null {
  for (const name of ENTRY_FILES) if (isFile(join(folder, name))) return name
  return null
}

function isFile(path: string): boolean {
  try {
    // A pipe or a device with this name would never end when read.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false
    accessSync(path, constants.R_OK)
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return false
    throw error
  }
}
