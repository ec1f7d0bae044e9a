import type { GatewaySettings, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { ChangeGround, CommittedParts } from './change.ts'
import { describeAll, describeChanges } from './describe-changes.ts'
import type { Candidate } from './gather.ts'

/** What a report tells of a change. */

/** What workers serve, or at the start what served last, as far as it can be read. */
export function lastKnown({
  live,
  reference,
}: Pick<ChangeGround, 'live' | 'reference'>): GenerationPlan | null {
  return live ?? reference?.candidate.plan ?? null
}

export function changesOf({ plan }: Candidate, ground: ChangeGround): string[] {
  const { live, former } = ground
  if (live === null && former !== null) return describeAll(former, plan)
  return describeChanges(lastKnown(ground), plan)
}

/** By their keys, as every worker that runs `live` does it: so none of them has to say. */
export function startedAndCarried(
  { instances }: GenerationPlan,
  live: GenerationPlan | null,
): Pick<CommittedParts, 'started' | 'carried'> {
  const living = new Set(live?.instances.map(({ key }) => key))
  // What differs only in how it is called is one instance.
  const all = [...new Map(instances.map((instance) => [instance.key, instance])).values()]
  const namesOf = (some: readonly InstancePlan[]): string[] => some.map(({ name }) => name)
  return {
    // What is quarantined is not started.
    started: namesOf(all.filter(({ key, quarantined }) => !living.has(key) && !quarantined)),
    carried: namesOf(all.filter(({ key }) => living.has(key))),
  }
}

export function noticesOf(
  settings: GatewaySettings,
  { workerCount, isServing }: Pick<ChangeGround, 'workerCount' | 'isServing'>,
): string[] {
  if (!isServing || settings.workers === workerCount) return []
  return [
    `workers: ${settings.workers} takes effect when the gateway is started again; ${workerCount} run until then`,
  ]
}
