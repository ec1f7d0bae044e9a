import type { PlacedInstance, Placement } from '@cardea/sdk'
import type { InstancePlan } from '../protocol/generation.ts'
import type { NeighbourPlan } from '../protocol/neighbours.ts'
import { deepFreeze } from './deep-freeze.ts'

/** Where the instances of one generation stand. What plugins are shown is copied and frozen once for all of them. */
export class Neighbours {
  readonly #plans: () => readonly NeighbourPlan[]
  #placed: ReadonlyMap<string, readonly { readonly key: string; readonly shown: PlacedInstance }[]> | null =
    null

  /** `plans` is called when an instance first asks. */
  constructor(plans: () => readonly NeighbourPlan[]) {
    this.#plans = plans
  }

  placementOf({ key, plugin }: InstancePlan): Placement {
    this.#placed ??= placed(this.#plans())
    const all = this.#placed.get(plugin) ?? []
    const routes = all.find((one) => one.key === key)?.shown.routes ?? []
    const others = all.filter((one) => one.key !== key).map(({ shown }) => shown)
    return Object.freeze({ routes, others: Object.freeze(others) })
  }
}

function placed(plans: readonly NeighbourPlan[]) {
  return Map.groupBy(
    plans.map(({ key, plugin, name, config, routes }) => ({
      key,
      plugin,
      shown: deepFreeze(structuredClone({ name, config, routes })),
    })),
    ({ plugin }) => plugin,
  )
}
