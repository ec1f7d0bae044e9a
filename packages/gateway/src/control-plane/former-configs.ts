import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { familyKey } from '../protocol/instance-family.ts'

/** By id of an instance. */
export type FormerConfigs = Readonly<Record<number, InstancePlan['config']>>

/**
 * Which instances of a plan can be made by `updateConfig` of a live one, and with which config that one lives: by the id
 * in the new plan. It pairs them as the plugin host does: in the order of the plans, one successor for each.
 */
export function formerConfigs(live: GenerationPlan, next: GenerationPlan): FormerConfigs {
  // Plans that differ only in how they are called are one instance.
  const living = new Map(live.instances.map((instance) => [instance.key, instance]))
  const wanted = new Map(next.instances.map((instance) => [instance.key, instance]))
  const ending = [...living.values()].filter(({ key }) => !wanted.has(key))
  const families = Map.groupBy(ending, familyKeysOf(live))
  const familyOf = familyKeysOf(next)
  const found: Record<number, InstancePlan['config']> = {}
  for (const instance of wanted.values()) {
    if (living.has(instance.key)) continue
    const former = families.get(familyOf(instance))?.shift()
    if (former !== undefined) found[instance.id] = former.config
  }
  return found
}

function familyKeysOf(plan: GenerationPlan): (instance: InstancePlan) => string {
  const keys = new Map(plan.instances.map(({ id, key }) => [id, key]))
  return (instance) => familyKey(instance, (id) => keys.get(id))
}
