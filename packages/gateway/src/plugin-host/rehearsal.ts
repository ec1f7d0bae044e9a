import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { StagedInstances } from '../protocol/instance.ts'
import type { SupervisorToTrial } from '../protocol/supervisor-trial.ts'
import { SYSTEM } from './host.ts'
import { InstancePool, type InstancePoolOptions } from './instance-pool.ts'
import { Neighbours } from './neighbours.ts'
import { SCRATCH_NODE } from './scratch-node.ts'

export interface RehearsalOptions extends InstancePoolOptions {
  /** Default: no instance follows on a live one. */
  readonly formerConfigs?: SupervisorToTrial['formerConfigs']
  /** Default: the plan is the whole of what they stand in. */
  readonly neighbours?: SupervisorToTrial['neighbours']
}

/**
 * Brings the instances of a plan to life, has their states made, and ends them again in reverse: a generation's whole
 * life in a worker but for the exchanges. Instances that follow on another config are made by `updateConfig`, as they
 * will be in the workers.
 *
 * Throws what `InstancePool.stage` throws, or what the first failing `create` of a `host.state` threw; by then everything
 * is stopped.
 */
export async function rehearse(plan: GenerationPlan, options: RehearsalOptions): Promise<void> {
  const { formerConfigs = {}, neighbours, ...poolOptions } = options
  const surroundings = { ...(poolOptions.surroundings ?? SYSTEM), node: SCRATCH_NODE }
  const pool = new InstancePool({ ...poolOptions, surroundings })
  const former = await stageFormer(pool, formerPart(plan, formerConfigs))
  try {
    const place = neighbours === undefined ? undefined : new Neighbours(() => neighbours)
    const staged = await pool.stage(plan, null, place)
    const [failed] = staged.commit()
    await staged.release()
    if (failed !== undefined) throw failed
  } finally {
    await former?.release()
  }
}

/** Null when it does not start here: that it did in the workers counts, and the new one shall be judged by itself. */
async function stageFormer(pool: InstancePool, plan: GenerationPlan): Promise<StagedInstances | null> {
  if (plan.instances.length === 0) return null
  try {
    const staged = await pool.stage(plan, null, new Neighbours(() => []))
    staged.commit()
    return staged
  } catch {
    return null
  }
}

/** The instances with a former config, with that; and what they depend on, which is what it was. */
function formerPart(plan: GenerationPlan, configs: SupervisorToTrial['formerConfigs']): GenerationPlan {
  const byId = new Map(plan.instances.map((instance) => [instance.id, instance]))
  const wanted = new Set<number>()
  const want = (id: number): void => {
    wanted.add(id)
    for (const dependency of byId.get(id)?.dependencies ?? []) want(dependency)
  }
  for (const { id } of plan.instances) if (id in configs) want(id)
  const instances = plan.instances
    .filter(({ id }) => wanted.has(id))
    .map((instance): InstancePlan => {
      const config = configs[instance.id]
      return config === undefined ? instance : { ...instance, config, key: `former ${instance.key}` }
    })
  return { ...plan, instances }
}
