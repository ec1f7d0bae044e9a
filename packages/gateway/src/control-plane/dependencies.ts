import satisfies from 'semver/functions/satisfies.js'
import { nearestOf } from '../config/nearest.ts'
import type { PluginOverrides } from '../config/types.ts'
import { type PluginProblem, problemAt } from './problem.ts'
import type { ReadPlugin } from './verify.ts'

export interface DependencyOptions<Link> {
  readonly plugins: ReadonlyMap<string, ReadPlugin>
  /** The config's `plugins:`. */
  readonly overrides: PluginOverrides
  readonly problems: PluginProblem[]
  /** Names of plugins that a command has switched off. */
  readonly switchedOff: readonly string[]
  /** Names that a plugin may have which could not be read. */
  readonly unread: Pick<ReadonlySet<string>, 'has'>
  /** The instance of a plugin that others use: plugin.json and the config's `plugins:`. Null when that does not hold. */
  linkBase(plugin: ReadPlugin): Link | null
}

/**
 * Follows `dependencies` of plugin.json from plugin to plugin. What a plugin needs is looked at when an instance of it is
 * made: one that runs nowhere needs nothing. Each problem is noted once, whoever comes upon it.
 */
export class Dependencies<Link> {
  readonly #options: DependencyOptions<Link>
  /** By plugin; null: some of them cannot be had. */
  readonly #known = new Map<string, readonly Link[] | null>()
  /** The plugins whose dependencies are being followed, each needed by the one before it. */
  readonly #path: ReadPlugin[] = []

  constructor(options: DependencyOptions<Link>) {
    this.#options = options
  }

  /** The instances that a plugin's own use, or null when it cannot have them all. */
  of(plugin: ReadPlugin): readonly Link[] | null {
    const { name } = plugin.manifest
    const known = this.#known.get(name)
    if (known !== undefined) return known
    this.#path.push(plugin)
    const links = Object.entries(plugin.manifest.dependencies).map(([needed, range]) =>
      this.#link(plugin, needed, range),
    )
    this.#path.pop()
    const all = links.every((link) => link !== null) ? links : null
    this.#known.set(name, all)
    return all
  }

  #link(plugin: ReadPlugin, needed: string, range: string): Link | null {
    const other = this.#options.plugins.get(needed)
    if (other === undefined) {
      if (!this.#options.unread.has(needed)) this.#refuseMissing(plugin, needed, range)
      return null
    }
    const by = this.#disabledBy(other)
    if (by !== null) {
      const reason = `needs "${needed}", which is ${by}. Enable it, or disable "${plugin.manifest.name}" too.`
      this.#refuse(plugin, needed, 'PLUGIN_DEPENDENCY_MISSING', reason)
      return null
    }
    const { version, folder } = other.manifest
    // Whoever put a pre-release there wants it used; a range that excludes all of them is for choosing among many.
    if (!satisfies(version, range, { includePrerelease: true })) {
      const reason = `needs "${needed}" ${range}, but ${folder} holds version ${version}. Put a version within the range there, or widen it.`
      this.#refuse(plugin, needed, 'PLUGIN_DEPENDENCY_CONFLICT', reason)
      return null
    }
    const start = this.#path.indexOf(other)
    if (start >= 0) {
      this.#refuseCycle(this.#path.slice(start))
      return null
    }
    return this.#options.linkBase(other)
  }

  /** What keeps the instance from living that others would use; null when nothing does. */
  #disabledBy({ manifest }: ReadPlugin): string | null {
    const { name, enabled, file } = manifest
    if (this.#options.switchedOff.includes(name)) return 'switched off by "cardea plugin disable"'
    const override = this.#options.overrides.get(name)
    if (override?.kind === 'off') return `switched off by ${override.key} of the config`
    if (override?.enabled === false) return `disabled by ${override.key} of the config`
    return enabled || override?.enabled === true ? null : `disabled by ${file}`
  }

  #refuseMissing(plugin: ReadPlugin, needed: string, range: string): void {
    const nearest = nearestOf(needed, [...this.#options.plugins.keys()])
    const hint =
      nearest === null
        ? `Add the plugin, or take it out of "dependencies".`
        : `Did you mean ${JSON.stringify(nearest)}?`
    const reason = `needs "${needed}" ${range}, but there is no plugin of that name. ${hint}`
    this.#refuse(plugin, needed, 'PLUGIN_DEPENDENCY_MISSING', reason, nearest)
  }

  /** At the plugin whose name comes first, so that the same circle is told in the same way from wherever it is entered. */
  #refuseCycle(circle: readonly ReadPlugin[]): void {
    const names = circle.map(({ manifest }) => manifest.name)
    const start = names.indexOf(names.toSorted()[0] ?? '')
    const [first, second = first] = [...circle.slice(start), ...circle.slice(0, start)]
    if (first === undefined || second === undefined) return
    const path = [...names.slice(start), ...names.slice(0, start), first.manifest.name].join(' → ')
    const reason = `needs itself: ${path}. None of them could start first; take one out of the "dependencies" of another.`
    this.#refuse(first, second.manifest.name, 'PLUGIN_DEPENDENCY_CYCLE', reason)
  }

  #refuse(
    { manifest }: ReadPlugin,
    needed: string,
    code: 'PLUGIN_DEPENDENCY_MISSING' | 'PLUGIN_DEPENDENCY_CONFLICT' | 'PLUGIN_DEPENDENCY_CYCLE',
    reason: string,
    nearest: string | null = null,
  ): void {
    const given = JSON.stringify(manifest.dependencies[needed])
    const parts = { key: `dependencies.${needed}`, given, nearest, folder: manifest.folder }
    const place = manifest.source.locate(`/dependencies/${needed}`)
    this.#options.problems.push(problemAt(place, code, `Plugin "${manifest.name}" ${reason}`, parts))
  }
}
