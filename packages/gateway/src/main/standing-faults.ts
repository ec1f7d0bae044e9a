import { type FaultEvent, isHarm } from '../protocol/faults.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { StandingFault } from '../protocol/master-supervisor.ts'

/**
 * What workers said of instances that holds still. The supervisor decides about it, and may die first or never hear of
 * it: its successor is told, and workers that start before anything is decided are spared what harmed another.
 */
export class StandingFaults {
  /** By key of the instance, until what is committed says that it is quarantined, or has it no more. */
  readonly #harm = new Map<string, StandingFault>()
  /** Keys that what is committed says are quarantined: nothing more follows from what they do. */
  #quarantined: ReadonlySet<string> = new Set()
  /** By worker and key of the instance; those that are closed are not here. */
  readonly #breakers = new Map<number, Map<string, StandingFault>>()

  note(worker: number, event: FaultEvent): void {
    if (isHarm(event)) {
      if (!this.#quarantined.has(event.key)) this.#harm.set(event.key, { worker, event })
    } else if (event.kind === 'breaker') this.#noteBreaker({ worker, event })
  }

  #noteBreaker({ worker, event }: StandingFault): void {
    const ofWorker = this.#breakers.get(worker) ?? new Map<string, StandingFault>()
    this.#breakers.set(worker, ofWorker)
    if (event.kind === 'breaker' && event.state === 'closed') ofWorker.delete(event.key)
    else ofWorker.set(event.key, { worker, event })
  }

  /** It ended, or leaves its number to its successor, which has guards of its own. */
  workerEnded(worker: number): void {
    this.#breakers.delete(worker)
  }

  committed({ instances }: GenerationPlan): void {
    this.#quarantined = new Set(instances.filter(({ quarantined }) => quarantined).map(({ key }) => key))
    const open = new Set(instances.filter(({ quarantined }) => !quarantined).map(({ key }) => key))
    for (const faults of [this.#harm, ...this.#breakers.values()]) {
      for (const key of faults.keys()) if (!open.has(key)) faults.delete(key)
    }
  }

  get all(): StandingFault[] {
    return [this.#harm, ...this.#breakers.values()].flatMap((faults) => [...faults.values()])
  }

  /** The plan as a worker starts on it: what harmed another one is quarantined. */
  spared(plan: GenerationPlan): GenerationPlan {
    if (this.#harm.size === 0) return plan
    const instances = plan.instances.map((one) =>
      this.#harm.has(one.key) ? { ...one, quarantined: true } : one,
    )
    return { ...plan, instances }
  }
}
