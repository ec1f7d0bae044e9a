import type { GenerationPlan } from '../protocol/generation.ts'
import { PlanPacker } from '../protocol/packed-plan.ts'
import type { SupervisorToWorker } from '../protocol/supervisor-worker.ts'
import { Workers } from './workers.ts'

/** All that is read of a plan here. */
export function planOf(number: number, parts: Partial<GenerationPlan> = {}): GenerationPlan {
  return {
    number,
    upstreams: [],
    routes: [],
    instances: [],
    bundles: [],
    ...parts,
  } as unknown as GenerationPlan
}

/** As the supervisor sees them, of which it knows that they were spawned. */
export function withWorkers(count: number) {
  const sent: { worker: number; message: SupervisorToWorker }[] = []
  const workers = new Workers((worker, message) => void sent.push({ worker, message }), new PlanPacker())
  for (let worker = 1; worker <= count; worker++) workers.spawned(worker)
  return {
    workers,
    sent,
    idFor: (worker: number) =>
      (sent.findLast((one) => one.worker === worker)?.message as { id: number } | undefined)?.id ?? 0,
  }
}
