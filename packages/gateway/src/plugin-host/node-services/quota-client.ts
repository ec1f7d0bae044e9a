import type { QuotaDecision, QuotaRequest } from '@cardea/sdk'
import type { NodeClock } from '../../base/node-clock.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { NodeRequest, QuotaAsk, QuotaNote } from '../../protocol/node-services.ts'
import { QuotaLease } from './quota-lease.ts'
import { boundedKey, checked, isScarce, type QuotaShape, unshared } from './quota-shape.ts'
import { QuotaWaiting } from './quota-waiting.ts'
import { Rounds } from './rounds.ts'

export interface QuotaClientOptions {
  /** Workers of the node, this one included. */
  readonly workers: number
  readonly clock: NodeClock
  send(request: NodeRequest): void
}

/** A step of the sweep when a table is full: each new key pays for looking at so many old ones. */
const EVICTION_STEP = 64
/** Fractions that add up to a whole token are one. */
const EPSILON = 1e-9

/**
 * `host.quota` in a worker: takes tokens from what the worker holds of each bucket, and keeps in step with the supervisor.
 * Without a `hello` nothing is said, and the worker has its part of every bucket.
 */
export class QuotaClient {
  readonly #options: QuotaClientOptions
  readonly #tables = new Map<string, QuotaTable>()
  readonly #waiting: QuotaWaiting
  #queue: QuotaLease[] = []
  #session: number | null = null
  /** The first of the messages that have had no answer yet. */
  #unansweredSince: number | null = null
  #stopSweep: (() => void) | null = null

  constructor(options: QuotaClientOptions) {
    this.#options = options
    this.#waiting = new QuotaWaiting(options.clock)
  }

  /** The buckets of a plugin: all its instances, of all generations, share them. */
  tableOf(plugin: string): QuotaTable {
    let table = this.#tables.get(plugin)
    if (table === undefined) {
      table = new QuotaTable(plugin, this.#options.workers, this.#options.clock, this)
      this.#tables.set(plugin, table)
    }
    return table
  }

  /** Since when there is no supervisor, or since when it has not answered, once that is too long; else null. */
  silentSince(now: number): number | null {
    if (this.#session === null) return 0
    const since = this.#unansweredSince
    return since !== null && now - since > QUOTA_LIMITS.silentMs ? since : null
  }

  /** The lease says what it has to say at the end of this turn. */
  enqueue(lease: QuotaLease): void {
    if (this.#session === null) return
    lease.isQueued = true
    if (this.#queue.push(lease) === 1) this.#options.clock.atTurnEnd(() => this.#flush())
  }

  /** Resolves when it is worth asking again for tokens that are not here; null when that is now. */
  wait(lease: QuotaLease, cost: number, now: number): Promise<void> | null {
    if (!isScarce(cost, lease.burst, this.#options.workers)) return null
    const promise = this.#waiting.join(lease, cost, lease.requestsMax(cost, now))
    if (promise !== null && lease.canAsk && this.#waiting.isUnsaid(lease)) this.enqueue(lease)
    return promise
  }

  /** There is something that may become idle. */
  startSweep(): void {
    if (this.#stopSweep !== null) return
    this.#stopSweep = this.#options.clock.after(QUOTA_LIMITS.sweepPeriodMs, () => {
      this.#stopSweep = null
      let isEmpty = true
      for (const table of this.#tables.values()) {
        table.sweep(QUOTA_LIMITS.sweepKeysMax)
        isEmpty &&= table.size === 0
      }
      if (!isEmpty) this.startSweep()
    })
  }

  hello(session: number): void {
    this.#session = session
    // What has flowed in until now the supervisor gives: nobody draws it any more.
    this.#unansweredSince = null
    const now = this.#options.clock.nowMs()
    for (const lease of this.#queue) lease.isQueued = false
    this.#queue = []
    const asks: QuotaAsk[] = []
    for (const table of this.#tables.values()) {
      for (const lease of table.leases())
        if (lease.isLeased) asks.push(lease.reclaim(now, this.#waiting.say(lease)))
    }
    this.#say(asks, true)
  }

  receive(notes: readonly QuotaNote[]): void {
    this.#unansweredSince = null
    const now = this.#options.clock.nowMs()
    for (const note of notes) {
      const table = this.tableOf(note.plugin)
      const lease = note.kind === 'recall' ? table.find(note.key, note) : table.find(note.key, null)
      if (lease === null) continue
      switch (note.kind) {
        case 'grant':
          lease.grant(note, now)
          this.#waiting.answered(lease, note)
          if (lease.canAsk && this.#waiting.isUnsaid(lease)) this.enqueue(lease)
          break
        case 'recall':
          lease.recall(note.isUrgent)
          if (!lease.isQueued) this.enqueue(lease)
          break
        case 'forget':
          lease.forget(note.used, note.isRefused, now)
          this.#waiting.wake(lease)
      }
    }
  }

  close(): void {
    this.#stopSweep?.()
    this.#stopSweep = null
    this.#session = null
    this.#waiting.close()
  }

  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    if (this.#session === null) return
    const now = this.#options.clock.nowMs()
    const asks: QuotaAsk[] = []
    for (const lease of queue) {
      // A `hello` in the same turn has said it already.
      if (!lease.isQueued) continue
      lease.isQueued = false
      asks.push(lease.ask(now, this.#waiting.say(lease)))
    }
    if (asks.length > 0) this.#say(asks, false)
  }

  #say(asks: readonly QuotaAsk[], isComplete: boolean): void {
    const session = this.#session
    if (session === null) return
    if (asks.length > 0) this.#unansweredSince ??= this.#options.clock.nowMs()
    let from = 0
    do {
      const batch = asks.slice(from, from + QUOTA_LIMITS.batchMax)
      from += batch.length
      const isLast = isComplete && from >= asks.length
      this.#options.send({ kind: 'quota', session, asks: batch, isLast })
    } while (from < asks.length)
  }
}

/** The buckets of one plugin in this worker. */
export class QuotaTable {
  readonly #plugin: string
  readonly #workers: number
  readonly #keysMax: number
  readonly #clock: NodeClock
  readonly #client: QuotaClient
  readonly #leases = new Map<string, QuotaLease>()
  readonly #rounds = new Rounds(this.#leases)
  /** Of the leases, those of buckets that several keys share. */
  #sharedCount = 0
  /** How many leases were dropped so far. */
  #deletions = 0

  constructor(plugin: string, workers: number, clock: NodeClock, client: QuotaClient) {
    this.#plugin = plugin
    this.#workers = workers
    this.#keysMax = Math.floor(QUOTA_LIMITS.keysMax / workers)
    this.#clock = clock
    this.#client = client
  }

  get size(): number {
    return this.#leases.size
  }

  leases(): Iterable<QuotaLease> {
    return this.#leases.values()
  }

  /** `host.quota`. Throws TypeError or RangeError on a request that says nothing sensible. */
  take(request: QuotaRequest): QuotaDecision {
    const now = this.#clock.nowMs()
    const lease = this.#leaseOf(request, now)
    if (lease === null) return NO_ROOM
    const { cost = 1 } = request
    const silentSince = this.#client.silentSince(now)
    const isAllowed = lease.take(cost, now, silentSince)
    return this.#decide(lease, cost, isAllowed, now, silentSince)
  }

  /** As `take`, from all or from none. */
  takeAll(requests: readonly QuotaRequest[]): readonly QuotaDecision[] {
    const now = this.#clock.nowMs()
    const silentSince = this.#client.silentSince(now)
    const deletions = this.#deletions
    const leases = requests.map((request) => this.#leaseOf(request, now))
    // One of them may have made room for the next, before anything was taken from it.
    if (this.#deletions > deletions) for (const lease of leases) if (lease !== null) this.#keep(lease)
    const areAllowed = leases.map(
      (lease, index) => lease?.has(requests[index]?.cost ?? 1, now, silentSince) ?? false,
    )
    const isAllowed = !areAllowed.includes(false)
    return leases.map((lease, index) => {
      if (lease === null) return NO_ROOM
      const cost = requests[index]?.cost ?? 1
      // Those that had enough keep it; the others count what was asked for.
      if (isAllowed || areAllowed[index] === false) lease.take(cost, now, silentSince)
      return this.#decide(lease, cost, areAllowed[index] ?? false, now, silentSince)
    })
  }

  #leaseOf(request: QuotaRequest, now: number): QuotaLease | null {
    const { key, rate, burst, cost = 1, window = null } = request
    if (!(cost >= 0)) throw new RangeError(`A quota cannot be charged ${cost} tokens; use 0 or more`)
    const name = boundedKey(key)
    const lease = this.#leases.get(name)
    if (lease === undefined) return this.#newLease(name, request, now)
    if (lease.rate !== rate || lease.burst !== burst || lease.window !== window) {
      lease.reshape(checked(request), now)
    }
    return lease
  }

  #decide(
    lease: QuotaLease,
    cost: number,
    allowed: boolean,
    now: number,
    silentSince: number | null,
  ): QuotaDecision {
    if (cost <= lease.burst && lease.wantsToAsk(allowed, now)) this.#client.enqueue(lease)
    const remaining = Math.max(Math.floor(lease.estimate(now) + EPSILON), 0)
    const resetMs = lease.resetMs(now)
    if (allowed) return { allowed, remaining, retryAfterMs: 0, resetMs }
    const retryAfterMs = lease.retryAfterMs(cost, now)
    const pending = silentSince === null ? this.#client.wait(lease, cost, now) : null
    return { allowed, remaining, retryAfterMs, resetMs, ...(pending && { pending }) }
  }

  /** The lease of that key, made if `shape` is given and there is none; null when there is no room. */
  find(key: string, shape: QuotaShape | null): QuotaLease | null {
    const lease = this.#leases.get(key)
    if (lease !== undefined) return lease
    return shape === null ? null : this.#add(key, shape, this.#clock.nowMs())
  }

  /** Looks at the next so many keys: drops those that say nothing, and lets those speak that have long been silent. */
  sweep(keys: number): void {
    const now = this.#clock.nowMs()
    this.#rounds.go(keys, (lease) => {
      if (lease.isIdle(now)) this.#delete(lease.key)
      else if (lease.isOverdue(now)) this.#client.enqueue(lease)
    })
  }

  #add(name: string, shape: QuotaShape, now: number): QuotaLease | null {
    if (this.#leases.size - this.#sharedCount >= this.#keysMax) {
      this.sweep(EVICTION_STEP)
      if (this.#leases.size - this.#sharedCount >= this.#keysMax) return null
    }
    return this.#make(unshared(name), shape, now)
  }

  #keep(lease: QuotaLease): void {
    if (this.#leases.has(lease.key)) return
    this.#leases.set(lease.key, lease)
    if (lease.key.startsWith(SHARED_PREFIX)) this.#sharedCount += 1
  }

  #delete(key: string): void {
    this.#leases.delete(key)
    this.#deletions += 1
    if (key.startsWith(SHARED_PREFIX)) this.#sharedCount -= 1
  }

  #make(name: string, shape: QuotaShape, now: number): QuotaLease {
    const lease = new QuotaLease(this.#plugin, name, shape, this.#workers, now)
    this.#leases.set(lease.key, lease)
    this.#client.startSweep()
    return lease
  }

  /** Its own, if there is room; else, if it may share, the one of those keys of its shape that hash alike. */
  #newLease(name: string, request: QuotaRequest, now: number): QuotaLease | null {
    const shape = checked(request)
    if (request.onFull !== 'share') return this.#add(name, shape, now)
    const { rate, burst, window } = shape
    const shared = `${SHARED_PREFIX}${hashOf(name) % QUOTA_LIMITS.sharedBuckets}/${rate}/${burst}/${window}`
    const known = this.#sharedCount === 0 ? undefined : this.#leases.get(shared)
    // As long as it stands, what these keys used of it must not be forgotten.
    if (known !== undefined) return known
    const own = this.#add(name, shape, now)
    if (own !== null || this.#sharedCount >= QUOTA_LIMITS.sharedKeysMax) return own
    this.#sharedCount += 1
    return this.#make(shared, shape, now)
  }
}

/** Longer than any key of a plugin, so that none can be taken for one of these. */
const SHARED_PREFIX = `${'shared'.padEnd(QUOTA_LIMITS.keyUnitsMax, '-')}/`

/** FNV-1a of the key's UTF-16 units. */
function hashOf(text: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  return value >>> 0
}

const NO_ROOM: QuotaDecision = Object.freeze({
  allowed: false,
  remaining: 0,
  retryAfterMs: QUOTA_LIMITS.idleMs,
  resetMs: QUOTA_LIMITS.idleMs,
})
