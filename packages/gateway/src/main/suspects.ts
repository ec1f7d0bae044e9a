import { type GatewayError, stackOf } from '../base/errors.ts'
import { markOf, NOBODY, runningMark } from '../base/running-mark.ts'
import { type BundleMapper, bundleMapper } from '../plugin-host/load.ts'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'

/** An instance whose code may run in this process. */
export interface Suspect extends BundleMapper {
  readonly plan: InstancePlan
}

/** A generation that is being staged. */
export interface Staging {
  readonly plan: GenerationPlan
  readonly giveUp: AbortController
  /** Keys of the instances that lived here when it began. */
  readonly before: ReadonlySet<string>
  /** For when a plugin that it starts blocked and was ended, threw where nobody catches it, or wanted to end the process. */
  fail(error: GatewayError): void
}

/** Those that `live` here, then those that are started for `staging`. */
export function suspectsOf(live: readonly Suspect[], staging: Staging | null): readonly Suspect[] {
  if (staging === null) return live
  const staged = staging.plan
  const keys = new Set(live.map(({ plan }) => plan.key))
  const starting = staged.instances.filter(({ key }) => !keys.has(key))
  return [...live, ...starting.map((plan) => ({ plan, ...mapperOf(plan, staged) }))]
}

function mapperOf({ codeHash }: InstancePlan, { bundles }: GenerationPlan): BundleMapper {
  const bundle = bundles.find((bundle) => bundle.codeHash === codeHash)
  return bundle === undefined ? { mapStack: stackOf, frameOf: () => null } : bundleMapper(bundle)
}

/** Code of the instance of this name runs now, in one step of its life. */
export function markStep(name: string, live: readonly Suspect[], staging: Staging | null): void {
  const starting = staging?.plan.instances.find((plan) => plan.name === name)
  const plan = starting ?? live.findLast((suspect) => suspect.plan.name === name)?.plan
  runningMark[0] = plan === undefined ? NOBODY : markOf(plan.key)
}
