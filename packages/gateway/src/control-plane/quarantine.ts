import { createHash } from 'node:crypto'
import { FAULT_LIMITS } from '../config/limits.ts'
import type { HarmKind } from '../protocol/faults.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Quarantine } from './store/types.ts'

/**
 * A quarantine holds until code or config of the instance changes, or somebody says so: also while it is not there, and
 * when it comes back by a rollback, or because its files are saved as they were.
 */

type CodeAndConfig = Pick<InstancePlan, 'name' | 'codeHash' | 'entryPoint' | 'config' | 'permissions'>

/**
 * What a quarantine is of: equal for equal code and config, whether the instance was made anew in between or not, which
 * `InstancePlan.key` is not. `dependencies`: the same of those that it depends on.
 */
export function quarantineKey(instance: CodeAndConfig, dependencies: readonly string[]): string {
  const { name, codeHash, entryPoint, config, permissions } = instance
  const made = canonicalJson({ name, codeHash, entryPoint, config, permissions, dependencies })
  return createHash('sha256').update(made).digest('hex')
}

/** By id of the instance. Those that others depend on stand before them, as in a plan. */
export function quarantineKeys(instances: readonly InstancePlan[]): ReadonlyMap<number, string> {
  const keys = new Map<number, string>()
  for (const instance of instances) {
    const uses = instance.dependencies.map((id) => keys.get(id) ?? '')
    keys.set(instance.id, quarantineKey(instance, uses))
  }
  return keys
}

/** One of an instance of these. `harm`: null when nobody knows any more. */
export function quarantineOf(
  { id, plugin, codeHash }: InstancePlan,
  instances: readonly InstancePlan[],
  harm: HarmKind | null,
): Quarantine {
  return { plugin, codeHash, key: quarantineKeys(instances).get(id) ?? '', harm }
}

/** The hashes of the code of that plugin that is quarantined. */
export function quarantinedCode(quarantined: readonly Quarantine[], plugin: string): ReadonlySet<string> {
  return new Set(quarantined.flatMap((one) => (one.plugin === plugin ? one.codeHash : [])))
}

/** Without the oldest of what is not there: each of them may come back, but would otherwise pile up. */
export function remembered(
  quarantined: readonly Quarantine[],
  instances: readonly InstancePlan[],
): readonly Quarantine[] {
  if (quarantined.length <= FAULT_LIMITS.quarantinesKeptMax) return quarantined
  const there = new Set(quarantineKeys(instances).values())
  const absent = quarantined.filter(({ key }) => !there.has(key))
  const kept = new Set(absent.slice(-FAULT_LIMITS.quarantinesKeptMax))
  return quarantined.filter((one) => there.has(one.key) || kept.has(one))
}
