import type { BundlePlan, GenerationPlan } from './generation.ts'

/**
 * A generation for a process that has most of its code from the one before: of those bundles only the names travel. The
 * text is most of what a plan weighs, and nothing else goes on in a process that reads a message.
 */
export interface SlimPlan extends Omit<GenerationPlan, 'bundles'> {
  readonly bundles: readonly (BundlePlan | NamedBundle)[]
}

/** One that the receiver has. */
export interface NamedBundle {
  readonly codeHash: string
  readonly code: null
}

/**
 * Leaves out what the receiver has, because it runs or keeps `given`. Null: nothing is known of it, and all is sent. What
 * `given` has in quarantine may not be there.
 */
export function slimPlan(plan: GenerationPlan, given: GenerationPlan | null): SlimPlan {
  if (given === null) return plan
  const running = new Set(
    given.instances.flatMap(({ codeHash, quarantined }) => (quarantined ? [] : codeHash)),
  )
  const held = new Map(given.bundles.map((bundle) => [bundle.codeHash, bundle]))
  const bundles = plan.bundles.map((bundle) => {
    const { codeHash } = bundle
    return running.has(codeHash) && isSame(bundle, held.get(codeHash)) ? { codeHash, code: null } : bundle
  })
  return { ...plan, bundles }
}

/** Code that is the same can come from other files, or from other lines of them. */
function isSame(one: BundlePlan, other: BundlePlan | undefined): boolean {
  if (one === other) return true
  return one.code === other?.code && one.sourceMap === other.sourceMap && one.entryFile === other.entryFile
}

/** The generation as it was, with what it only names from `held`; null when something is not there. */
export function wholePlan(
  plan: SlimPlan,
  held: (codeHash: string) => BundlePlan | undefined,
): GenerationPlan | null {
  const bundles: BundlePlan[] = []
  for (const bundle of plan.bundles) {
    const found = bundle.code === null ? held(bundle.codeHash) : bundle
    if (found === undefined) return null
    bundles.push(found)
  }
  return { ...plan, bundles }
}
