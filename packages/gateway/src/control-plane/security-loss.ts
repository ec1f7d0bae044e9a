import type { SettingsPlan } from '../config/types.ts'
import type { HeldLoss } from '../protocol/control.ts'
import type { GenerationPlan, RoutePlan } from '../protocol/generation.ts'
import type { IdlePlugin } from './resolve.ts'
import type { GenerationOutline, SecurityInstance } from './store/types.ts'

/**
 * Nothing fails open by accident: a change after which some request would meet fewer security plugins than before is
 * held, until the config says for that route that it is meant. A security plugin counts by its instance's name: it may
 * get another config, other code, other limits, and may be quarantined (then its requests are refused). Another plugin
 * under its name is not it, whatever its category: nothing tells that it keeps out the same requests.
 */

/** Route name to the names of the instances that the config takes off it on purpose. */
export type OptOuts = ReadonlyMap<string, ReadonlySet<string>>

/** Requests that route `from` took with the reference, and route `to` takes with the candidate. */
export interface RouteMove {
  readonly from: string
  readonly to: string
  /** One of them, for people; '' for none. */
  readonly example: string
}

/** What a generation is to be compared by. A `GenerationPlan` is one. */
export type SecurityOutline = Pick<GenerationOutline, 'number' | 'routes' | 'instances'>

export interface SecurityComparison {
  /** The committed generation, of which an outline is enough. */
  readonly reference: SecurityOutline
  readonly candidate: GenerationPlan
  /** Of the candidate's config. */
  readonly optOuts: OptOuts
  /** Where the requests of the reference's routes go. What goes nowhere (404) loses nothing, and is not in it. */
  readonly moves: readonly RouteMove[]
  /** The candidate's plugins that run nowhere: why a plugin is missing. */
  readonly idle: readonly IdlePlugin[]
}

/**
 * What the config says with `name: false`: for one route, or in its own `plugins:` for all that do not name it. Merely
 * `enabled: false` does not say it: that is how somebody tries something.
 */
export function optOutsOf(settings: Pick<SettingsPlan, 'routes' | 'globalPlugins'>): OptOuts {
  return new Map(
    settings.routes.map((route) => {
      const inherited = [...settings.globalPlugins.values()].filter(({ name }) => !route.plugins.has(name))
      const off = [...route.plugins.values(), ...inherited].filter(({ kind }) => kind === 'off')
      return [route.name, new Set(off.map(({ name }) => name))]
    }),
  )
}

type Loss = Extract<HeldLoss, { readonly kind: 'loss' }>

/** The security plugins that a route's requests would lose; each pair of route and plugin once. Empty: none. */
export function findSecurityLosses(comparison: SecurityComparison): Loss[] {
  const { reference, candidate, moves } = comparison
  const before = chainsOf(reference)
  const after = chainsOf(candidate)
  const losses = new Map<string, Loss>()
  const compare = (from: Chain, to: Chain, example: string): void => {
    for (const plugin of from.instances.filter(isSecurity)) {
      const id = JSON.stringify([from.route.name, plugin.name])
      if (losses.has(id) || isKept(plugin, to, comparison.optOuts)) continue
      const reason = reasonOf(plugin, from, to, example, comparison)
      losses.set(id, { kind: 'loss', route: from.route.name, plugin: plugin.name, reason })
    }
  }
  // The route itself first: its reason is the plainer one. It counts also when its requests now go elsewhere.
  for (const [name, from] of before) {
    const to = after.get(name)
    if (to !== undefined) compare(from, to, '')
  }
  for (const { from, to, example } of moves) {
    const source = before.get(from)
    const target = after.get(to)
    if (source !== undefined && target !== undefined) compare(source, target, example)
  }
  return [...losses.values()]
}

interface Chain {
  readonly route: RoutePlan
  readonly instances: readonly SecurityInstance[]
}

function chainsOf({ routes, instances }: SecurityOutline): Map<string, Chain> {
  const byId = new Map(instances.map((instance) => [instance.id, instance]))
  return new Map(
    routes.map((route) => [
      route.name,
      { route, instances: route.chain.flatMap((id) => byId.get(id) ?? []) },
    ]),
  )
}

function isSecurity({ category }: SecurityInstance): boolean {
  return category === 'security'
}

function isKept(plugin: SecurityInstance, to: Chain, optOuts: OptOuts): boolean {
  const isIt = (other: SecurityInstance): boolean =>
    other.name === plugin.name && other.plugin === plugin.plugin && isSecurity(other)
  if (to.instances.some(isIt)) return true
  return optOuts.get(to.route.name)?.has(plugin.name) === true || refusesAll(to)
}

/** A fixed error answer gives away as little as no route at all, unless a plugin may answer instead of it. */
function refusesAll({ route: { action }, instances }: Chain): boolean {
  if (action.kind !== 'respond' || action.status < 400) return false
  return instances.every(({ category }) => category === 'security' || category === 'observe')
}

function reasonOf(
  plugin: SecurityInstance,
  from: Chain,
  to: Chain,
  example: string,
  { candidate, idle }: SecurityComparison,
): string {
  const why = whyMissing(plugin, to, candidate, idle)
  if (from.route.name === to.route.name) return why
  const requests = example === '' ? 'its requests' : `its requests, such as ${example},`
  const wayOut = `"${plugin.name}: false" there says that it is meant`
  return `${requests} now go to route "${to.route.name}", and ${why}; ${wayOut}`
}

function whyMissing(
  plugin: SecurityInstance,
  to: Chain,
  candidate: GenerationPlan,
  idle: readonly IdlePlugin[],
): string {
  const { name } = plugin
  const other = to.instances.find((instance) => instance.name === name)
  if (other !== undefined && other.plugin !== plugin.plugin) {
    return `route "${to.route.name}" runs plugin "${other.plugin}" as "${name}", not plugin "${plugin.plugin}"`
  }
  if (other !== undefined) return `plugin "${other.plugin}" is now of category ${other.category}`
  if (candidate.instances.some((instance) => instance.name === name)) {
    return `route "${to.route.name}" does not run "${name}"`
  }
  const subject = `plugin "${plugin.plugin}"`
  const running = candidate.instances.find((instance) => instance.plugin === plugin.plugin)
  if (running !== undefined) return `${subject} runs as "${running.name}", and no longer as "${name}"`
  const reason = idle.find(({ plugin: { manifest } }) => manifest.name === plugin.plugin)?.reason
  if (reason === undefined) return `${subject} is gone from plugins/`
  return reason === 'named by no route' ? `no route names ${subject} any more` : `${subject} is ${reason}`
}
