import type { UpstreamPlan } from '../../protocol/generation.ts'
import { type PoolEnvironment, TargetPool } from './target-pool.ts'

/** A named set of targets with round-robin balancing and passive ejection. */
export class Upstream {
  readonly plan: UpstreamPlan
  readonly pools: readonly TargetPool[]
  #next = 0

  constructor(plan: UpstreamPlan, pools: readonly TargetPool[]) {
    this.plan = plan
    this.pools = pools
  }

  /**
   * The next target in turn that is neither ejected nor in `tried`. When all are ejected the turn ignores that: a
   * target that may be down is better than a certain 503. Null when all have been tried.
   */
  choose(tried: readonly TargetPool[]): TargetPool | null {
    return this.#chooseFrom(tried, false) ?? this.#chooseFrom(tried, true)
  }

  #chooseFrom(tried: readonly TargetPool[], ejectedToo: boolean): TargetPool | null {
    const pools = this.pools
    for (let step = 0; step < pools.length; step++) {
      const at = this.#next
      this.#next = at + 1 === pools.length ? 0 : at + 1
      const pool = pools[at] as TargetPool
      if ((ejectedToo || !pool.ejected) && (tried.length === 0 || !tried.includes(pool))) return pool
    }
    return null
  }
}

/**
 * The target pools of a worker, shared by generations: what has the same target and settings keeps its connections and
 * its health when a new generation comes.
 */
export class UpstreamRegistry {
  readonly #environment: PoolEnvironment
  readonly #pools = new Map<string, { readonly pool: TargetPool; uses: number }>()

  constructor(environment: PoolEnvironment) {
    this.#environment = environment
  }

  /** Pairs with `release`. */
  open(plan: UpstreamPlan): Upstream {
    const pools = plan.targets.map((target) => {
      const key = poolKey(plan, target.url)
      let entry = this.#pools.get(key)
      if (entry === undefined) {
        entry = { pool: new TargetPool(plan, target, this.#environment), uses: 0 }
        this.#pools.set(key, entry)
      }
      entry.uses++
      return entry.pool
    })
    return new Upstream(plan, pools)
  }

  release(upstream: Upstream): void {
    for (const pool of upstream.pools) {
      const key = poolKey(upstream.plan, pool.target.url)
      const entry = this.#pools.get(key)
      if (entry === undefined || --entry.uses > 0) continue
      this.#pools.delete(key)
      pool.close()
    }
  }
}

/** All that a pool's behaviour depends on. */
function poolKey(plan: UpstreamPlan, url: string): string {
  return JSON.stringify({ ...plan, targets: url })
}
