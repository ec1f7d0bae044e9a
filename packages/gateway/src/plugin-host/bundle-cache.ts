import type { BundlePlan } from '../protocol/generation.ts'
import { type LoadedBundle, loadBundle } from './load.ts'

/** One user's hold on a loaded bundle. `release` is to be called once. */
export interface BundleHold {
  readonly bundle: LoadedBundle
  release(): void
}

interface CachedBundle {
  /** Costs nothing: V8 keeps the code, and whoever maps stacks the rest. */
  readonly plan: BundlePlan
  readonly bundle: LoadedBundle
  users: number
}

/**
 * The bundles of the instances that live in this process, each run once. With its last user a bundle is forgotten: a
 * gateway that keeps what it has ever run grows with every save.
 */
export class BundleCache {
  readonly #bundles = new Map<string, CachedBundle>()
  readonly #load: (plan: BundlePlan, plugin: string) => LoadedBundle

  constructor(load: (plan: BundlePlan, plugin: string) => LoadedBundle = loadBundle) {
    this.#load = load
  }

  get size(): number {
    return this.#bundles.size
  }

  /** What a bundle that somebody holds was loaded from. */
  planOf(codeHash: string): BundlePlan | undefined {
    return this.#bundles.get(codeHash)?.plan
  }

  /** Throws what `loadBundle` throws; nothing is held then. */
  hold(plan: BundlePlan, plugin: string): BundleHold {
    const known = this.#bundles.get(plan.codeHash)
    const cached = known ?? { plan, bundle: this.#load(plan, plugin), users: 0 }
    this.#bundles.set(plan.codeHash, cached)
    cached.users++
    return {
      bundle: cached.bundle,
      release: () => {
        if (--cached.users === 0) this.#bundles.delete(plan.codeHash)
      },
    }
  }
}
