import { stackOf } from '../base/errors.ts'
import { markOf, NOBODY, runningMark } from '../base/running-mark.ts'
import { bundleMapper } from '../plugin-host/load.ts'

import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'

/** An instance whose code may run in this process. */
export interface Suspect {
  readonly plan: InstancePlan
  mapStack(error: Error): string
}

/** Those that `live` here, then those that are started for `staged`. */
export function suspectsOf(live: readonly Suspect[], staged: GenerationPlan | null): readonly Suspect[] {
  if (staged === null) return live
  const keys = new Set(live.map(({ plan }) => plan.key))
  const starting = staged.instances.filter(({ key }) => !keys.has(key))
  return [...live, ...starting.map((plan) => ({ plan, mapStack: stackMapperOf(plan, staged) }))]
}

function stackMapperOf({ codeHash }: InstancePlan, { bundles }: GenerationPlan): Suspect['mapStack'] {
  const bundle = bundles.find((bundle) => bundle.codeHash === codeHash)
  return bundle === undefined ? stackOf : bundleMapper(bundle)
}

/** Code of the instance of this name runs now, in one step of its life. */
export function markStep(name: string, suspects: readonly Suspect[]): void {
  const suspect = suspects.findLast(({ plan }) => plan.name === name)
  runningMark[0] = suspect === undefined ? NOBODY : markOf(suspect.plan.key)
}
