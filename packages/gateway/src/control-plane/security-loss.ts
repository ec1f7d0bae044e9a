import { createHash } from 'node:crypto'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { SettingsPlan } from '../config/types.ts'
import type { HeldLoss, LostPlugin } from '../protocol/control.ts'
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

/**
 * The security plugins that requests would lose, by the route they come from and the one they would go to; each such
 * pair and plugin once. Made one by one: routes that share all their requests lose as many as there are pairs of them.
 */
export function* findSecurityLosses(comparison: SecurityComparison): Generator<LostPlugin> {
  const before = chainsOf(comparison.reference)
  const after = chainsOf(comparison.candidate)
  const left = whatIsLeft(comparison)
  function* compare(from: Chain, to: Chain, example: string): Generator<LostPlugin> {
    for (const plugin of from.instances.filter(isSecurity)) {
      if (!isKept(plugin, to, comparison.optOuts)) yield lossOf(plugin, { from, to, example }, left)
    }
  }
  // A route that stays counts also when all its requests now go elsewhere.
  for (const [name, from] of before) {
    const to = after.get(name)
    if (to !== undefined) yield* compare(from, to, '')
  }
  for (const { from, to, example } of comparison.moves) {
    const source = before.get(from)
    const target = after.get(to)
    if (from !== to && source !== undefined && target !== undefined) yield* compare(source, target, example)
  }
}

/** As many as are shown, then how many more there are. The same for the same losses only. */
export function listedLosses(losses: Iterable<HeldLoss>): HeldLoss[] {
  const listed: HeldLoss[] = []
  const digest = createHash('sha256')
  let count = 0
  for (const loss of losses) {
    digest.update(`${JSON.stringify(loss)}\n`)
    if (listed.length < CHANGE_LIMITS.lossesShownMax) listed.push(loss)
    else count += 1
  }
  return count === 0 ? listed : [...listed, { kind: 'more', count, digest: digest.digest('hex') }]
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

interface Move {
  readonly from: Chain
  readonly to: Chain
  readonly example: string
}

function lossOf(plugin: SecurityInstance, { from, to, example }: Move, left: WhatIsLeft): LostPlugin {
  const why = whyMissing(plugin, to, left)
  const requests = example === '' ? 'its requests' : `its requests, such as ${example},`
  const isMoved = from.route.name !== to.route.name
  return {
    kind: 'loss',
    route: from.route.name,
    to: to.route.name,
    plugin: plugin.name,
    instead: to.instances.find(({ name }) => name === plugin.name)?.plugin ?? null,
    reason: isMoved ? `${requests} now go to route "${to.route.name}", and ${why}` : why,
  }
}

/** What tells why a plugin is missing. */
interface WhatIsLeft {
  /** Of all instances. */
  readonly names: ReadonlySet<string>
  /** A plugin's name to the name of an instance of it. */
  readonly nameOf: ReadonlyMap<string, string>
  /** A plugin's name to why it runs nowhere. */
  readonly idle: ReadonlyMap<string, IdlePlugin['reason']>
}

function whatIsLeft({ candidate: { instances }, idle }: SecurityComparison): WhatIsLeft {
  return {
    names: new Set(instances.map(({ name }) => name)),
    nameOf: new Map(instances.map(({ plugin, name }) => [plugin, name])),
    idle: new Map(idle.map(({ plugin: { manifest }, reason }) => [manifest.name, reason])),
  }
}

function whyMissing({ name, plugin }: SecurityInstance, to: Chain, left: WhatIsLeft): string {
  const other = to.instances.find((instance) => instance.name === name)
  const route = `route "${to.route.name}"`
  if (other !== undefined) {
    return other.plugin === plugin
      ? `plugin "${plugin}" is now of category ${other.category}`
      : `${route} runs plugin "${other.plugin}" as "${name}", not plugin "${plugin}"`
  }
  if (left.names.has(name)) return `${route} does not run "${name}"`
  const subject = `plugin "${plugin}"`
  const running = left.nameOf.get(plugin)
  if (running !== undefined) return `${subject} runs as "${running}", and no longer as "${name}"`
  const reason = left.idle.get(plugin)
  if (reason === undefined) return `${subject} is gone from plugins/`
  return reason === 'named by no route' ? `no route names ${subject} any more` : `${subject} is ${reason}`
}
