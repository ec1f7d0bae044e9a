import { pluginSettingNames } from '#own-schemas'
import { nearestOf } from './nearest.ts'
import { describePointer, isObject, joinPointer } from './pointer.ts'
import type { ConfigProblem, UnreadEntries } from './types.ts'

/**
 * What can be read of a config with problems, so that those of its plugins and routes show together with them. Nothing
 * is in it that only seems wrong because something else is.
 */

/** In the file's form, before defaults: places are those of the file, parts that no plugin and no router looks at are left out. */
export interface ReadableFile {
  readonly value: { readonly plugins_dir?: unknown; readonly plugins: Entries; readonly routes: unknown[] }
  /** Null: what is wrong may have any effect on any plugin. */
  readonly unreadEntries: UnreadEntries | null
  /** By index. */
  readonly unreadRoutes: ReadonlySet<number>
}

type Entries = Record<string, unknown>

export function readablePart(value: unknown, problems: readonly ConfigProblem[]): ReadableFile {
  const file = isObject(value) ? value : {}
  const reader = new EntryReader(problems)
  const unreadRoutes = new Set<number>()
  const written: readonly unknown[] = Array.isArray(file.routes) ? file.routes : []
  const broken = brokenRoutes(problems.filter(({ conflict }) => conflict !== true))
  const routes = written.map((route, index) => {
    const plugins = reader.read(isObject(route) ? route.plugins : undefined, `/routes/${index}/plugins`)
    if (isObject(route) && !broken.has(index)) return { ...withUpstream(route), plugins }
    unreadRoutes.add(index)
    return { name: '', respond: {}, plugins }
  })
  const { plugins_dir } = file
  const plugins = reader.read(file.plugins, '/plugins')
  return {
    value: { ...(typeof plugins_dir === 'string' ? { plugins_dir } : {}), plugins, routes },
    unreadEntries: arePluginsUnread(file, problems) ? null : reader.unread,
    unreadRoutes,
  }
}

/** Reads what the sections `plugins:` say, and notes what it cannot read. */
class EntryReader {
  readonly unread = new Map<string, 'name' | 'settings'>()
  readonly #keys: ReadonlySet<string>
  /** The keys of all problems and of what they are in. */
  readonly #around: ReadonlySet<string>

  constructor(problems: readonly ConfigProblem[]) {
    this.#keys = new Set(problems.map(({ key }) => key))
    this.#around = new Set(problems.flatMap(({ key }) => [key, ...containersOf(key)]))
  }

  read(section: unknown, pointer: string): Entries {
    const entries = isObject(section) ? Object.entries(section) : []
    return Object.fromEntries(
      entries.map(([name, entry]) => [name, this.#entry(entry, describePointer(joinPointer(pointer, name)))]),
    )
  }

  #entry(entry: unknown, key: string): unknown {
    if (this.#keys.has(key) || !(entry === false || isObject(entry))) {
      this.unread.set(key, 'name')
      return {}
    }
    if (entry === false) return false
    const isBroken = (member: string): boolean => this.#around.has(`${key}.${member}`)
    const strange = Object.keys(entry).filter((member) => !pluginSettingNames.includes(member))
    const isMisspelt = strange.some((member) => nearestOf(member, pluginSettingNames) === 'plugin')
    if (isBroken('plugin') || (entry.plugin === undefined && isMisspelt)) this.unread.set(key, 'name')
    else if (strange.length > 0 || isBroken('config') || isBroken('enabled')) this.unread.set(key, 'settings')
    const kept = Object.entries(entry).filter(([member, value]) => {
      // Of a variable in it without a value the text is left, of which no more is said.
      if (member === 'config') return isObject(value)
      return pluginSettingNames.includes(member) && !isBroken(member)
    })
    return Object.fromEntries(kept)
  }
}

/** `routes[0]` and `routes` of `routes[0].path`. */
function containersOf(key: string): string[] {
  return [...key.matchAll(/[.[]/g)].map(({ index }) => key.slice(0, index))
}

/** Those of which something is wrong that the router looks at. */
function brokenRoutes(problems: readonly ConfigProblem[]): ReadonlySet<number> {
  const indexes = problems.map(
    ({ key }) => /^routes\[(\d+)\](?!\.plugins([.[]|$)|\.upstream$)/.exec(key)?.[1],
  )
  return new Set(indexes.filter((index) => index !== undefined).map(Number))
}

/** Where requests go is none of the router's business. */
function withUpstream(route: Entries): Entries {
  return 'upstream' in route && typeof route.upstream !== 'string' ? { ...route, upstream: '' } : route
}

/** Without the folder no plugin is known, without the section `plugins:` none that a route names by its instance. */
function arePluginsUnread(file: Entries, problems: readonly ConfigProblem[]): boolean {
  const isTopLevel = (key: string): boolean => /^([\w$-]+|\["[^"\]]*"\])$/.test(key)
  return (
    (file.plugins !== undefined && !isObject(file.plugins)) ||
    problems.some(({ key, nearest }) => {
      const parts = ['plugins_dir', 'plugins']
      return key === 'plugins_dir' || (isTopLevel(key) && nearest !== null && parts.includes(nearest))
    })
  )
}
