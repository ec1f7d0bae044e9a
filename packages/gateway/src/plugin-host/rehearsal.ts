import type { GenerationPlan } from '../protocol/generation.ts'
import { InstancePool, type InstancePoolOptions } from './instance-pool.ts'

/**
 * Brings the instances of a plan to life, has their states made, and ends them again in reverse: a generation's whole
 * life in a worker but for the exchanges.
 *
 * Throws what `InstancePool.stage` throws, or what the first failing `create` of a `host.state` threw; by then everything
 * is stopped.
 */
export async function rehearse(plan: GenerationPlan, options: InstancePoolOptions): Promise<void> {
  const pool = new InstancePool(options)
  const staged = await pool.stage(plan)
  const [failed] = staged.commit()
  await staged.release()
  if (failed !== undefined) throw failed
}
