import { type ChangeCause, firstCause } from '../protocol/control.ts'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { ChangeGround, CommittedParts } from './change.ts'
import { describeAll, describeChanges } from './describe-changes.ts'
import type { Candidate, Overlay } from './gather.ts'
import { CONFIG_UNIT } from './store/pins.ts'
import type { Pin } from './store/types.ts'

/** What a report tells of a change. */

/** What workers serve, or at the start what served last, as far as it can be read. */
export function lastKnown({
  live,
  reference,
}: Pick<ChangeGround, 'live' | 'reference'>): GenerationPlan | null {
  return live ?? reference?.candidate.plan ?? null
}

export function changesOf({ plan, overlay }: Candidate, ground: ChangeGround): string[] {
  const { live, former, reference } = ground
  if (live === null && former !== null) return describeAll(former, plan)
  const before = lastKnown(ground)
  const from = reference?.candidate.overlay ?? null
  const changes = [...describeChanges(before, plan), ...describeFreed(before, from, overlay)]
  return changes.length === 0 ? describeHolds(from?.pins ?? [], overlay.pins) : changes
}

/** Of plugins whose quarantine ended while something else of them ran: no instance tells that. */
function describeFreed(before: GenerationPlan | null, from: Overlay | null, to: Overlay): string[] {
  const told = new Set(before?.instances.flatMap(({ plugin, quarantined }) => (quarantined ? plugin : [])))
  const left = new Set(to.controls.quarantined.map(({ plugin }) => plugin))
  const freed = new Set(from?.controls.quarantined.map(({ plugin }) => plugin))
  return [...freed]
    .filter((plugin) => !left.has(plugin) && !told.has(plugin))
    .map((plugin) => `plugin ${plugin}: no code of it is quarantined any more`)
}

/** Of a generation that runs as the one before it did: nothing but what is held back differs. */
function describeHolds(from: readonly Pin[], to: readonly Pin[]): string[] {
  const before = new Map(from.map(({ name, unit }) => [name, unit]))
  const names = new Set(to.map(({ name }) => name))
  const ended = [...before.keys()].filter((name) => !names.has(name))
  return [
    ...ended.map((name) => `${heldUnit(name)} is not held back any more`),
    ...to.flatMap(({ name, unit }) => {
      const place = before.get(name)
      if (place === unit) return []
      return `${heldUnit(name)} is held back ${place === undefined ? 'as it stands on disk' : `in ${unit}, where it stands now`}`
    }),
  ]
}

function heldUnit(name: string): string {
  return name === CONFIG_UNIT ? 'the config' : `plugin ${name}`
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
  { plan: { settings }, overlay }: Candidate,
  cause: ChangeCause,
  { workerCount, isServing }: Pick<ChangeGround, 'workerCount' | 'isServing'>,
): string[] {
  const notices: string[] = []
  const asked = firstCause(cause)
  if (asked.kind === 'plugin-rollback' && overlay.controls.disabled.includes(asked.plugin)) {
    const { plugin } = asked
    notices.push(
      `plugin ${plugin} is switched off and runs nowhere: "cardea plugin enable ${plugin}" ends that`,
    )
  }
  if (isServing && settings.workers !== workerCount) {
    const until = `${workerCount} run until then`
    notices.push(`workers: ${settings.workers} takes effect when the gateway is started again; ${until}`)
  }
  return notices
}
