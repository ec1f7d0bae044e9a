import type { InstancePlan } from './generation.ts'

/**
 * Equal for instances that differ in nothing but the config: `updateConfig` of the one can make the other. `keyOf` gives
 * the key of what an instance depends on, by id.
 */
export function familyKey(plan: InstancePlan, keyOf: (id: number) => string | undefined): string {
  const { name, codeHash, entryPoint, permissions, incarnation } = plan
  return JSON.stringify([name, codeHash, entryPoint, permissions, incarnation, plan.dependencies.map(keyOf)])
}
