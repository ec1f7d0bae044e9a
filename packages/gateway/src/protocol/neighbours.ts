import type { GenerationPlan, InstancePlan } from './generation.ts'

/** An instance among all those of its plugin, as `validateConfig` is told of it. */
export interface NeighbourPlan {
  readonly key: string
  readonly plugin: string
  readonly name: string
  readonly config: InstancePlan['config']
  /** Names of the routes whose chains have it. */
  readonly routes: readonly string[]
}

/** All instances of a generation of those plugins. Plans that differ only in how they are called are one instance. */
export function neighboursIn(
  { instances, routes }: Pick<GenerationPlan, 'instances' | 'routes'>,
  plugins: ReadonlySet<string>,
): NeighbourPlan[] {
  const routesById = new Map<number, string[]>()
  for (const { name, chain } of routes) {
    for (const id of chain) routesById.set(id, [...(routesById.get(id) ?? []), name])
  }
  const byKey = Map.groupBy(
    instances.filter(({ plugin }) => plugins.has(plugin)),
    ({ key }) => key,
  )
  return [...byKey].flatMap(([key, [first, ...alike]]) => {
    if (first === undefined) return []
    const names = [first, ...alike].flatMap(({ id }) => routesById.get(id) ?? [])
    return [
      {
        key,
        plugin: first.plugin,
        name: first.name,
        config: first.config,
        routes: [...new Set(names)],
      },
    ]
  })
}
