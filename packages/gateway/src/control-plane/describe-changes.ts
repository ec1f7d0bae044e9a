import { isDeepStrictEqual } from 'node:util'
import type { GatewaySettings, GenerationPlan, InstancePlan } from '../protocol/generation.ts'

/** More are counted instead of listed: nobody reads a thousand lines of a log entry. */
const SENTENCES_MAX = 20

/** What is different in `next`, in short sentences for the log and the history; of nothing, everything is new. */
export function describeChanges(previous: GenerationPlan | null, next: GenerationPlan): string[] {
  if (previous === null) return [`first generation: ${routesOf(next)}`]
  const changes = [
    ...describeReplacements(previous, next),
    ...describePlugins(previous, next),
    ...describeInstances(previous, next),
    ...describeNamed('route', previous.routes, next.routes, ({ chain: _, ...route }) => route),
    ...describeChains(previous, next),
    ...describeNamed('upstream', previous.upstreams, next.upstreams, (upstream) => upstream),
    ...describeSettings(previous.settings, next.settings),
  ]
  if (changes.length <= SENTENCES_MAX) return changes
  const rest = changes.length - SENTENCES_MAX
  return [...changes.slice(0, SENTENCES_MAX), `and ${rest} more`]
}

/** The same where what was committed last cannot be read any more, or is of another config. */
export function describeAll({ number, madeOf }: LastUnread, next: GenerationPlan): string[] {
  const last =
    number === 0
      ? 'the generation that was committed last'
      : `generation ${number}, which was committed last,`
  const why = madeOf === null ? 'cannot be read any more' : `is of ${madeOf}`
  return [`${routesOf(next)}, compared with nothing: ${last} ${why}`]
}

interface LastUnread {
  /** 0: nobody knows. */
  readonly number: number
  /** See `Former`. */
  readonly madeOf: string | null
}

function routesOf({ routes: { length } }: GenerationPlan): string {
  return `${length} ${length === 1 ? 'route' : 'routes'}`
}

/** Instances that kept their name, and run another plugin: no list of names tells that. */
function describeReplacements(previous: GenerationPlan, next: GenerationPlan): string[] {
  const before = pluginsByRoute(previous)
  const routes = new Map<string, string[]>()
  for (const [route, plugins] of pluginsByRoute(next)) {
    for (const [name, plugin] of plugins) {
      const old = before.get(route)?.get(name)
      if (old === undefined || old === plugin) continue
      const change = `${name} runs plugin ${plugin} instead of ${old}`
      routes.set(change, [...(routes.get(change) ?? []), route])
    }
  }
  return Array.from(
    routes,
    ([change, on]) => `${change} on ${on.length === 1 ? `route ${on[0]}` : `${on.length} routes`}`,
  )
}

/** Route name to instance name to the plugin that it is of. */
function pluginsByRoute({ routes, instances }: GenerationPlan): Map<string, ReadonlyMap<string, string>> {
  const byId = new Map(instances.map((instance) => [instance.id, instance]))
  return new Map(
    routes.map((route) => {
      const run = route.chain.flatMap((id) => byId.get(id) ?? [])
      return [route.name, new Map(run.map(({ name, plugin }) => [name, plugin]))]
    }),
  )
}

function describePlugins(previous: GenerationPlan, next: GenerationPlan): string[] {
  const before = versionsOf(previous)
  const after = versionsOf(next)
  const changes: string[] = []
  for (const [name, { version, codeHash }] of after) {
    const old = before.get(name)
    if (old === undefined) changes.push(`plugin ${name} ${version} added`)
    else if (old.version !== version) changes.push(`plugin ${name} ${old.version} → ${version}`)
    else if (old.codeHash !== codeHash) changes.push(`plugin ${name} ${version}: new code`)
  }
  for (const [name, { version }] of before) {
    if (!after.has(name)) changes.push(`plugin ${name} ${version} removed`)
  }
  return changes
}

function versionsOf({ instances }: GenerationPlan): Map<string, { version: string; codeHash: string }> {
  return new Map(instances.map(({ plugin, version, codeHash }) => [plugin, { version, codeHash }]))
}

/** Of instances whose code stayed: their config and how they are called. Of all: whether they are called at all. */
function describeInstances(previous: GenerationPlan, next: GenerationPlan): string[] {
  const before = Map.groupBy(previous.instances, ({ name }) => name)
  const changes: string[] = []
  for (const [name, instances] of Map.groupBy(next.instances, (instance) => instance.name)) {
    const old = before.get(name)
    if (old !== undefined && old[0]?.codeHash === instances[0]?.codeHash) {
      changes.push(...describeInstance(name, old, instances))
    } else if (instances.some(({ quarantined }) => quarantined)) changes.push(backInQuarantine(name))
  }
  return changes
}

function describeInstance(
  name: string,
  old: readonly InstancePlan[],
  instances: readonly InstancePlan[],
): string[] {
  const changes: string[] = []
  const differing = MADE_OF.filter(([, of]) => !isDeepStrictEqual(of(old), of(instances))).map(
    ([word]) => word,
  )
  const isSameConfig = differing.length === 0
  if (!isSameConfig) changes.push(`${name}: new ${differing.join(', ')}`)
  else if (!isDeepStrictEqual(old.map(callsOf), instances.map(callsOf))) changes.push(`${name}: new settings`)
  const wasQuarantined = old.some(({ quarantined }) => quarantined)
  const isQuarantined = instances.some(({ quarantined }) => quarantined)
  if (isQuarantined && !isSameConfig) changes.push(backInQuarantine(name))
  else if (isQuarantined && !wasQuarantined) changes.push(`${name} quarantined`)
  if (!isQuarantined && wasQuarantined) changes.push(`${name} no longer quarantined`)
  if (old[0]?.incarnation !== instances[0]?.incarnation) changes.push(`${name} made anew`)
  return changes
}

/** Nothing befell it now: whoever saved it, or went back to it, has to learn that no hook of it is called. */
function backInQuarantine(name: string): string {
  return `${name} quarantined as before: this code and config harmed a worker`
}

/** What an instance is made of, beside its code. */
const MADE_OF = [
  ['config', (instances: readonly InstancePlan[]) => instances.map(({ config }) => config)],
  // Of the manifest, and so the same for all of them: there may be more or fewer than before.
  ['permissions', ([first]: readonly InstancePlan[]) => first?.permissions],
  ['entry point', ([first]: readonly InstancePlan[]) => first?.entryPoint],
] as const

const callsOf = ({ category, priority, timeoutMs, onFailure }: InstancePlan): unknown => [
  category,
  priority,
  timeoutMs,
  onFailure,
]

/** Which instances a route runs, by name. */
function describeChains(previous: GenerationPlan, next: GenerationPlan): string[] {
  const before = chainsOf(previous)
  const changes: string[] = []
  for (const [route, names] of chainsOf(next)) {
    const old = before.get(route)
    if (old === undefined || isDeepStrictEqual(old, names)) continue
    const added = names.filter((name) => !old.includes(name)).map((name) => `+${name}`)
    const removed = old.filter((name) => !names.includes(name)).map((name) => `−${name}`)
    const what = added.length + removed.length === 0 ? 'new order' : [...added, ...removed].join(' ')
    changes.push(`route ${route}: ${what}`)
  }
  return changes
}

function chainsOf({ routes, instances }: GenerationPlan): Map<string, readonly string[]> {
  const names = new Map(instances.map(({ id, name }) => [id, name]))
  return new Map(routes.map(({ name, chain }) => [name, chain.map((id) => names.get(id) ?? '')]))
}

function describeNamed<Entry extends { readonly name: string }>(
  kind: string,
  previous: readonly Entry[],
  next: readonly Entry[],
  compared: (entry: Entry) => unknown,
): string[] {
  const before = new Map(previous.map((entry) => [entry.name, entry]))
  const after = new Map(next.map((entry) => [entry.name, entry]))
  const changes: string[] = []
  for (const [name, entry] of after) {
    const old = before.get(name)
    if (old === undefined) changes.push(`${kind} ${name} added`)
    else if (!isDeepStrictEqual(compared(old), compared(entry))) changes.push(`${kind} ${name} changed`)
  }
  for (const name of before.keys()) if (!after.has(name)) changes.push(`${kind} ${name} removed`)
  return changes
}

const SETTING_NAMES = {
  listeners: 'listen',
  workers: 'workers',
  trustedProxies: 'trusted_proxies',
  viaName: 'via',
  halfClose: 'half_close',
  limits: 'limits',
  timeouts: 'timeouts',
  log: 'log',
  debug: 'debug',
  changes: 'changes',
  faults: 'faults',
  state: 'state',
} as const satisfies Record<keyof GatewaySettings, string>

function describeSettings(previous: GatewaySettings, next: GatewaySettings): string[] {
  const keys = Object.keys(SETTING_NAMES) as (keyof GatewaySettings)[]
  return keys
    .filter((key) => !isDeepStrictEqual(previous[key], next[key]))
    .map((key) => `${SETTING_NAMES[key]} changed`)
}
