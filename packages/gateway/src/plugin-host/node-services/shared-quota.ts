import type { QuotaDecision, QuotaRequest } from '@cardea/sdk'
import type { NodeClock } from '../../base/node-clock.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { StateSettings } from '../../protocol/generation.ts'
import { boundedKey, checked, type QuotaShape, unshared } from './quota-shape.ts'
import { Rounds } from './rounds.ts'
import { SharedLease, type SharedQuotaAsk, type SharedQuotaNote } from './shared-lease.ts'

export interface SharedQuotaOptions {
  /** Workers of the node, this one included. */
  readonly workers: number
  readonly clock: NodeClock
  /** Answers each of them, in their order; rejects when the shared state cannot be reached. */
  ask(asks: readonly SharedQuotaAsk[]): Promise<readonly SharedQuotaNote[]>
  /** That takes too long. */
  onSilent(): void
}

/** After a loss the shared state is tried again no sooner. */
const RETRY_MS = 1_000
const EVICTION_STEP = 64

const UNKNOWN: QuotaDecision = Object.freeze({
  allowed: false,
  remaining: 0,
  retryAfterMs: RETRY_MS,
  resetMs: RETRY_MS,
  isUnknown: true,
})

/**
 * `host.quota` in a worker where limits hold for several nodes. A request that finds no tokens here may wait for the
 * answer (`pending`), which is one round trip to Redis.
 */
export class SharedQuotas {
  readonly #options: SharedQuotaOptions
  readonly #keysMax: number
  readonly #leases = new Map<string, SharedLease>()
  readonly #rounds = new Rounds(this.#leases)
  #onLoss: StateSettings['onLoss'] | null = null
  /** What was asked of the state before this one is of no use here. */
  #epoch = 0
  #awayUntil = 0
  /** How many leases were dropped so far. */
  #evictions = 0
  #queue: SharedLease[] = []
  /** Asked, in the order of the answers. */
  readonly #asked = new Set<SharedLease>()
  #askedAt = 0
  #cancelWatch: (() => void) | null = null
  #cancelSweep: (() => void) | null = null

  constructor(options: SharedQuotaOptions) {
    this.#options = options
    this.#keysMax = Math.floor(QUOTA_LIMITS.keysMax / options.workers)
  }

  /** Null: limits are the node's own. */
  configure(onLoss: StateSettings['onLoss'] | null): void {
    this.#onLoss = onLoss
    this.#awayUntil = 0
  }

  /** Gives back all that is held, and forgets what was known: from now on another state has it, or none. */
  leave(): void {
    const now = this.#options.clock.nowMs()
    this.#giveUp()
    const asks = [...this.#leases.values()].flatMap((lease) => lease.leave(now) ?? [])
    this.#leases.clear()
    this.#epoch += 1
    // Lost, it counts as used.
    if (asks.length > 0) this.#options.ask(asks).catch(() => {})
  }

  /** The decisions, all or none; null where the node's own limits hold. */
  take(plugin: string, requests: readonly QuotaRequest[]): QuotaDecision[] | null {
    if (this.#onLoss === null) return null
    const now = this.#options.clock.nowMs()
    if (now < this.#awayUntil) return this.#withoutState(plugin, requests, now)
    const evictions = this.#evictions
    const leases = requests.map((request) => this.#leaseOf(plugin, request, now))
    // One of them may have made room for the next.
    if (this.#evictions > evictions) for (const lease of leases) this.#leases.set(nameOf(lease), lease)
    const has = leases.map((lease, at) => lease.has(requests[at]?.cost ?? 1, now))
    const areAllowed = !has.includes(false)
    return leases.map((lease, at) => {
      const cost = requests[at]?.cost ?? 1
      if (areAllowed) lease.use(cost, now)
      const isAllowed = has[at] === true
      if (isAllowed ? lease.isLow(now) : lease.require(cost, now)) this.#enqueue(lease)
      return lease.decision(isAllowed, cost, now)
    })
  }

  takeOne(plugin: string, request: QuotaRequest): QuotaDecision | null {
    return this.#onLoss === null ? null : (this.take(plugin, [request])?.[0] ?? null)
  }

  /** The state can be reached again. */
  back(): void {
    this.#awayUntil = 0
  }

  /** `asked` and `notes` are in the same order. */
  #receive(asked: readonly SharedLease[], notes: readonly SharedQuotaNote[]): void {
    const now = this.#options.clock.nowMs()
    this.#askedAt = now
    for (const [at, lease] of asked.entries()) {
      const note = notes[at]
      this.#asked.delete(lease)
      // Also to one that had to make room meanwhile: requests wait for it.
      if (note !== undefined) lease.grant(note, now)
    }
  }

  /** Nothing is asked for a while, and who waits is told. */
  #away(): void {
    this.#awayUntil = this.#options.clock.nowMs() + RETRY_MS
    this.#giveUp()
  }

  close(): void {
    this.#cancelWatch?.()
    this.#cancelSweep?.()
    this.#cancelWatch = null
    this.#cancelSweep = null
    this.leave()
  }

  #giveUp(): void {
    for (const lease of [...this.#asked, ...this.#queue]) lease.giveUp()
    this.#asked.clear()
    this.#queue = []
  }

  #withoutState(plugin: string, requests: readonly QuotaRequest[], now: number): QuotaDecision[] | null {
    if (this.#onLoss === 'local') {
      const leases = requests.map(({ key }) => this.#leases.get(`${plugin} ${boundedKey(key)}`))
      // What is used up stays so, whoever has gone away.
      if (!leases.some((lease) => lease?.isUsedUp(now))) return null
      return leases.map((lease, at) => {
        const { cost = 1, burst = 1 } = requests[at] ?? {}
        const isThere = lease?.isUsedUp(now) !== true
        return (
          lease?.decision(isThere, cost, now) ?? {
            allowed: true,
            remaining: burst,
            retryAfterMs: 0,
            resetMs: 0,
          }
        )
      })
    }
    if (this.#onLoss === 'refuse') return requests.map(() => UNKNOWN)
    return requests.map(({ burst }) => {
      return { allowed: true, remaining: Math.floor(burst), retryAfterMs: 0, resetMs: 0 }
    })
  }

  #leaseOf(plugin: string, request: QuotaRequest, now: number): SharedLease {
    const { rate, burst, cost = 1, window = null } = request
    if (!(cost >= 0)) throw new RangeError(`A quota cannot be charged ${cost} tokens; use 0 or more`)
    const key = boundedKey(request.key)
    const lease = this.#leases.get(`${plugin} ${key}`)
    if (lease === undefined) {
      // First: what is no key has no text.
      const shape = checked(request)
      return this.#add(plugin, unshared(key), shape, now)
    }
    if (!lease.isShaped(rate, burst, window)) lease.shape = checked(request)
    return lease
  }

  #add(plugin: string, key: string, shape: QuotaShape, now: number): SharedLease {
    if (this.#leases.size >= this.#keysMax) {
      this.#sweep(EVICTION_STEP)
      // What it holds counts as used; what was used is known elsewhere.
      if (this.#leases.size >= this.#keysMax) this.#evict()
    }
    const lease = new SharedLease(plugin, key, shape, now)
    this.#leases.set(`${plugin} ${key}`, lease)
    this.#startSweep()
    return lease
  }

  /** Of some, the one that was used longest ago: the first of all may be the one that every request is counted in. */
  #evict(): void {
    const found: SharedLease[] = []
    this.#rounds.go(EVICTION_STEP, (lease) => {
      if (!lease.isAsked && !lease.isQueued) found.push(lease)
    })
    const [first] = found
    if (first !== undefined) {
      this.#delete(found.reduce((oldest, lease) => (lease.usedAt < oldest.usedAt ? lease : oldest), first))
    }
  }

  #delete(lease: SharedLease): void {
    this.#leases.delete(nameOf(lease))
    this.#evictions += 1
  }

  #enqueue(lease: SharedLease): void {
    if (lease.isQueued || lease.isAsked) return
    lease.isQueued = true
    if (this.#queue.push(lease) === 1) this.#options.clock.atTurnEnd(() => this.#flush())
  }

  #flush(): void {
    const { clock, ask } = this.#options
    const queue = this.#queue.splice(0)
    if (queue.length === 0) return
    const now = clock.nowMs()
    if (this.#asked.size === 0) this.#askedAt = now
    for (const lease of queue) this.#asked.add(lease)
    const epoch = this.#epoch
    ask(queue.map((lease) => lease.ask(now))).then(
      (notes) => epoch === this.#epoch && this.#receive(queue, notes),
      () => epoch === this.#epoch && this.#away(),
    )
    this.#startWatch()
  }

  /** Nobody waits longer than this for an answer. */
  #startWatch(): void {
    const { clock } = this.#options
    this.#cancelWatch ??= clock.after(QUOTA_LIMITS.silentMs, () => {
      // When it is this process that stood still, the answer is there, and is read before the next timer.
      this.#cancelWatch = clock.after(1, () => {
        this.#cancelWatch = null
        this.#lookForSilence()
      })
    })
  }

  #lookForSilence(): void {
    if (this.#asked.size === 0) return
    const { clock, onSilent } = this.#options
    if (clock.nowMs() - this.#askedAt < QUOTA_LIMITS.silentMs) {
      this.#startWatch()
      return
    }
    this.#away()
    onSilent()
  }

  #startSweep(): void {
    this.#cancelSweep ??= this.#options.clock.after(QUOTA_LIMITS.sweepPeriodMs, () => {
      this.#cancelSweep = null
      this.#sweep(QUOTA_LIMITS.sweepKeysMax)
      if (this.#leases.size > 0) this.#startSweep()
    })
  }

  #sweep(keys: number): void {
    const now = this.#options.clock.nowMs()
    const isAway = now < this.#awayUntil
    this.#rounds.go(keys, (lease) => {
      if (lease.isIdle(now)) this.#delete(lease)
      else if (!isAway && lease.isIdling(now)) this.#enqueue(lease)
    })
  }
}

/** No plugin's name has a blank. */
function nameOf({ plugin, key }: SharedLease): string {
  return `${plugin} ${key}`
}
