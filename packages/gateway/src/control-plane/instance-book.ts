import { createHash } from 'node:crypto'
import { GatewayError } from '../base/errors.ts'
import { oneOf } from '../config/describe.ts'
import { nearestOf } from '../config/nearest.ts'
import { shorten, shownValue } from '../config/problem.ts'
import type { PluginOverrides, PluginSettings } from '../config/types.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { BuiltPlugin } from './build.ts'
import { canonicalJson } from './canonical-json.ts'
import { Dependencies } from './dependencies.ts'
import type { PluginOrigin } from './discover.ts'
import type { Gaps } from './gaps.ts'
import { type PluginProblem, problemAt, problemsOf } from './problem.ts'
import { quarantineKey } from './quarantine.ts'
import { type SettledInstance, settle } from './settle.ts'
import type { PluginControls } from './store/types.ts'
import type { ReadPlugin } from './verify.ts'

/** One place in a chain, as people want to see it. */
export interface ChainLink {
  readonly instance: InstancePlan
  readonly origin: PluginOrigin
  readonly folder: string
  /** JSON Pointer of each config value to where it comes from. */
  readonly sources: ReadonlyMap<string, string>
}

export interface BookOptions {
  readonly plugins: readonly ReadPlugin[]
  readonly built: readonly BuiltPlugin[]
  /** The config's `plugins:`. */
  readonly overrides: PluginOverrides
  readonly controls: PluginControls
  readonly gaps: Gaps
}

/** The plugins of a generation and the instances made of them so far: what is equal is one instance. */
export class InstanceBook {
  readonly problems: PluginProblem[] = []
  readonly #plugins: ReadonlyMap<string, ReadPlugin>
  readonly #built: ReadonlyMap<string, BuiltPlugin>
  /** Instance name to plugin name: one name never means two plugins, wherever it stands. */
  readonly #claims: Map<string, string>
  readonly #links = new Map<string, ChainLink>()
  readonly #controls: PluginControls
  readonly #gaps: Gaps
  /** By id of the instance; empty when nothing is quarantined. */
  readonly #quarantineKeys: string[] = []
  readonly #dependencies: Dependencies<ChainLink>
  /** Names with layers, and messages: routes and dependents ask for the same ones, and their problems are noted. */
  readonly #refused = new Set<string>()

  constructor({ plugins, built, overrides, controls, gaps }: BookOptions) {
    this.#controls = controls
    this.#gaps = gaps
    this.#plugins = new Map(plugins.map((plugin) => [plugin.manifest.name, plugin]))
    this.#built = new Map(built.map((plugin) => [plugin.manifest.name, plugin]))
    this.#claims = new Map(plugins.map(({ manifest }) => [manifest.name, manifest.name]))
    this.#dependencies = new Dependencies({
      plugins: this.#plugins,
      overrides,
      problems: this.problems,
      switchedOff: controls.disabled,
      unread: gaps.plugins,
      linkBase: (plugin) => {
        const { name } = plugin.manifest
        const override = overrides.get(name)
        return this.link(name, plugin, override?.kind === 'settings' ? [override] : [])
      },
    })
  }

  /** The folders of the plugins of which there are instances. */
  get folders(): ReadonlySet<string> {
    return new Set([...this.#links.values()].map(({ folder }) => folder))
  }

  /** Whether a plugin has that name. */
  has(name: string): boolean {
    return this.#plugins.has(name)
  }

  /** `asked`: what the config says; `cardea plugin disable` wins over it. */
  isEnabled({ manifest }: ReadPlugin, asked: boolean | undefined): boolean {
    return !this.#controls.disabled.includes(manifest.name) && (asked ?? manifest.enabled)
  }

  /**
   * The plugin that an entry of the config means, or null, which is noted as a problem of the entry that says so unless it
   * may mean one that could not be read.
   *
   * @param below the entry of that name under the config's `plugins:`, if this one is a route's.
   */
  find(entry: PluginSettings, below: PluginSettings | null): ReadPlugin | null {
    const namer = entry.plugin === undefined && below?.plugin !== undefined ? below : entry
    const pluginName = namer.plugin ?? namer.name
    const plugin = this.#plugins.get(pluginName)
    if (plugin === undefined) {
      const isUnread = [entry, below].some((layer) => this.#gaps.entries.get(layer?.key ?? '') === 'name')
      const mayMeanOther = namer.plugin === undefined && isUnread
      if (!mayMeanOther && !this.#gaps.plugins.has(pluginName)) this.#refuseAbsent(namer)
      return null
    }
    const claimed = this.#claims.get(entry.name) ?? pluginName
    if (claimed !== pluginName) {
      const whose =
        claimed === entry.name ? 'is the name of a plugin' : `is already an instance of plugin "${claimed}"`
      const reason = `"${entry.name}" ${whose} and cannot be an instance of "${pluginName}" too. Give it another name.`
      this.#refuse(namer, 'PLUGIN_DUPLICATE', reason, 'a name that no other plugin or instance has')
      return null
    }
    this.#claims.set(entry.name, pluginName)
    return plugin
  }

  /** Notes that a route names what `by` (a key of the config, or a plugin.json) has disabled. */
  refuseDisabled(entry: PluginSettings, { manifest }: ReadPlugin, by: string): void {
    if (this.#gaps.entries.has(entry.key)) return
    const reason = this.#controls.disabled.includes(manifest.name)
      ? `plugin "${manifest.name}" was switched off by "cardea plugin disable". Enable it, or say ` +
        `"${entry.name}: false" here if the route shall do without it.`
      : `"${entry.name}" is disabled by ${by}. Enable it there, say "enabled: true" here, or ` +
        `"${entry.name}: false" if the route shall do without it.`
    this.#refuse(entry, 'PLUGIN_NOT_FOUND', reason, 'a plugin that is enabled')
  }

  /** These and all that they depend on, directly or not; what others depend on stands before them. */
  withDependencies(instances: Iterable<InstancePlan>): InstancePlan[] {
    const byId = new Map([...this.#links.values()].map(({ instance }) => [instance.id, instance]))
    const wanted = new Set<InstancePlan>()
    const add = (instance: InstancePlan): void => {
      if (wanted.has(instance)) return
      wanted.add(instance)
      for (const id of instance.dependencies) {
        const dependency = byId.get(id)
        if (dependency !== undefined) add(dependency)
      }
    }
    for (const instance of instances) add(instance)
    // An instance gets its id when those that it depends on have theirs.
    return [...wanted].sort((a, b) => a.id - b.id)
  }

  /**
   * The instance of that name, plugin and layers, or null when the layers do not hold or the plugin lacks another, which
   * is noted, or when not all of the layers could be read, or the plugin has no code.
   */
  link(name: string, plugin: ReadPlugin, layers: readonly PluginSettings[]): ChainLink | null {
    const built = this.#built.get(plugin.manifest.name)
    if (built === undefined && !this.#gaps.code.has(plugin.manifest.name)) {
      throw new GatewayError('INTERNAL_ERROR', `Plugin "${plugin.manifest.name}" is used but was not built`)
    }
    const dependencies = this.#dependencies.of(plugin)
    const isWhole = !layers.some(({ key }) => this.#gaps.entries.has(key))
    const { manifest } = plugin
    const settled = settle(name, manifest, layers, this.#controls.incarnations[name] ?? 0, isWhole)
    if (settled.ok) {
      if (dependencies === null || !isWhole || built === undefined) return null
      return this.#intern(settled.instance, built, dependencies)
    }
    const asked = [name, ...layers.map(({ key }) => key)].join(' ')
    if (!this.#refused.has(asked)) this.problems.push(...problemsOf(manifest.folder, settled.problems))
    this.#refused.add(asked)
    return null
  }

  #intern(
    { plan: settled, sources }: SettledInstance,
    { manifest, origin, bundle }: BuiltPlugin,
    uses: readonly ChainLink[],
  ): ChainLink {
    const plan = { ...settled, codeHash: bundle.codeHash }
    const dependencies = uses.map(({ instance }) => instance.id)
    const key = canonicalJson([plan, dependencies])
    const known = this.#links.get(key)
    if (known !== undefined) return known
    const carryOver = carryOverKey(
      plan,
      uses.map(({ instance }) => instance.key),
    )
    const id = this.#links.size
    const quarantined = this.#isQuarantined(id, plan, dependencies)
    const instance = { id, ...plan, dependencies, key: carryOver, quarantined }
    const link = { instance, origin, folder: manifest.folder, sources }
    this.#links.set(key, link)
    return link
  }

  /** At the value of `plugin:`, or at the entry's own name where that is the plugin's. */
  #refuseAbsent({ plugin, name, key, map, pointer, position }: PluginSettings): void {
    const at = `${pointer}/plugin`
    // What is near to a variable's text would tell of it.
    const isVariable = plugin !== undefined && map.isExpanded(at)
    const nearest = isVariable ? null : nearestOf(plugin ?? name, [...this.#plugins.keys()])
    const given = plugin === undefined ? shorten(name) : shownValue(map, at)
    const hint =
      nearest === null ? 'Check the name, or add the folder.' : `Did you mean ${JSON.stringify(nearest)}?`
    const message = `Cannot use ${key}: there is no plugin ${given}. ${hint}`
    const parts = { given, nearest, expected: this.#expectedNames() }
    this.#note(
      plugin === undefined
        ? problemAt(position, 'PLUGIN_NOT_FOUND', message, { ...parts, key })
        : problemAt(map.locate(at), 'PLUGIN_NOT_FOUND', message, { ...parts, key: `${key}.plugin` }),
    )
  }

  /** The user's own come first: a long list is cut off. */
  #expectedNames(): string {
    const plugins = [...this.#plugins.values()]
    const own = plugins.filter(({ origin }) => origin === 'user')
    const names = [...new Set([...own, ...plugins])].map(({ manifest }) => manifest.name)
    return names.length === 0 ? 'the name of a plugin' : oneOf(names)
  }

  /** Whatever becomes of it: others may depend on the instance. */
  #isQuarantined(id: number, plan: CodedPlan, dependencies: readonly number[]): boolean {
    const { quarantined } = this.#controls
    if (quarantined.length === 0) return false
    const uses = dependencies.map((dependency) => this.#quarantineKeys[dependency] ?? '')
    const own = quarantineKey(plan, uses)
    this.#quarantineKeys[id] = own
    return quarantined.some(({ key }) => key === own)
  }

  #refuse(
    { key, name, position }: PluginSettings,
    code: 'PLUGIN_NOT_FOUND' | 'PLUGIN_DUPLICATE',
    reason: string,
    expected: string,
  ): void {
    const message = `Cannot use ${key}: ${reason}`
    this.#note(problemAt(position, code, message, { key, given: shorten(name), expected }))
  }

  /** Once: all routes that lay something over an entry come upon what is wrong with it. */
  #note(problem: PluginProblem): void {
    if (!this.#refused.has(problem.message)) this.problems.push(problem)
    this.#refused.add(problem.message)
  }
}

type CodedPlan = SettledInstance['plan'] & Pick<InstancePlan, 'codeHash'>

/** See `InstancePlan.key`. */
function carryOverKey(plan: CodedPlan, dependencies: readonly string[]): string {
  const { name, codeHash, entryPoint, config, permissions, incarnation } = plan
  const made = canonicalJson({ name, codeHash, entryPoint, config, permissions, incarnation, dependencies })
  return createHash('sha256').update(made).digest('hex')
}
