import type { GatewaySettings, Limits, TargetPlan, UpstreamPlan } from '../../protocol/generation.ts'
import type { UpstreamLimits } from '../http1/connection-keeper.ts'
import { TargetHealth } from './target-health.ts'
import { type PoolEnvironment, type PoolSettings, TargetPool } from './target-pool.ts'

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

  /** As `choose`, but none that is ejected. */
  chooseSound(tried: readonly TargetPool[]): TargetPool | null {
    return this.#chooseFrom(tried, false)
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

interface PoolEntry {
  readonly key: string
  readonly pool: TargetPool
  /** Generations that have opened it. */
  uses: number
  /** How many of them were replaced, and only finish what they have begun. */
  retired: number
}

/**
 * The target pools of a worker, shared by generations: what has the same target and settings keeps its connections when
 * a new generation comes, and what has the same target its health. For each upstream: `open` → `retire` → `release`, or `open` → `release`.
 */
export class UpstreamRegistry {
  readonly #environment: PoolEnvironment
  readonly #pools = new Map<string, PoolEntry>()
  readonly #entries = new WeakMap<Upstream, readonly PoolEntry[]>()

  constructor(environment: PoolEnvironment) {
    this.#environment = environment
  }

  open(plan: UpstreamPlan, { limits, timeouts }: GatewaySettings): Upstream {
    const settings = { plan, limits: upstreamLimits(limits), tunnelIdleMs: timeouts.tunnelIdleMs }
    const entries = plan.targets.map((target) => this.#use(settings, target))
    const upstream = new Upstream(
      plan,
      entries.map(({ pool }) => pool),
    )
    this.#entries.set(upstream, entries)
    return upstream
  }

  #use(settings: PoolSettings, target: TargetPlan): PoolEntry {
    const key = poolKey(settings, target.url)
    let entry = this.#pools.get(key)
    if (entry === undefined) {
      const health = this.#healthOf(settings.plan.name, target.url)
      const pool = new TargetPool(settings, target, this.#environment, health)
      entry = { key, pool, uses: 0, retired: 0 }
      this.#pools.set(key, entry)
    }
    if (entry.uses === entry.retired) entry.pool.keep()
    entry.uses++
    return entry
  }

  /** That of a pool which the new one takes the place of, if there is one. */
  #healthOf(upstream: string, url: string): TargetHealth {
    for (const { pool } of this.#pools.values()) {
      if (pool.plan.name === upstream && pool.target.url === url) return pool.health
    }
    return new TargetHealth()
  }

  /** The generation was replaced. What no other one needs keeps no connection beyond the exchanges that have it. */
  retire(upstream: Upstream): void {
    for (const entry of this.#entries.get(upstream) ?? []) {
      if (++entry.retired === entry.uses) entry.pool.shed()
    }
  }

  /** Nothing of the generation is left. `isRetired`: `retire` was called for it before. */
  release(upstream: Upstream, isRetired: boolean): void {
    for (const entry of this.#entries.get(upstream) ?? []) {
      entry.uses--
      if (isRetired) entry.retired--
      if (entry.uses === 0) {
        this.#pools.delete(entry.key)
        entry.pool.close()
      } else if (entry.uses === entry.retired) entry.pool.shed()
    }
  }
}

/** All that a pool's behaviour depends on. */
function poolKey({ plan, limits, tunnelIdleMs }: PoolSettings, url: string): string {
  // Tries are a request's, which goes by the plan of its own generation.
  const { triesMax: _, triesTimeoutMs: __, ...settings } = plan
  return JSON.stringify({ ...settings, targets: url, limits, tunnelIdleMs })
}

/** Without those of clients: when they change, connections to upstreams live on. */
function upstreamLimits(limits: Limits): UpstreamLimits {
  const { headBytesMax, requestLineBytesMax, headerCountMax } = limits
  const { trailerBytesMax, chunkExtensionBytesMax, relayBufferBytes } = limits
  return {
    headBytesMax,
    requestLineBytesMax,
    headerCountMax,
    trailerBytesMax,
    chunkExtensionBytesMax,
    relayBufferBytes,
  }
}
