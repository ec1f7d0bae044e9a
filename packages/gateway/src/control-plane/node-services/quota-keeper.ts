import type { NodeClock } from '../../base/node-clock.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { NodeAnswer, NodeRequest, QuotaAsk, QuotaNote } from '../../protocol/node-services.ts'
import { QuotaBucket, type QuotaWorkers } from './quota-bucket.ts'

export interface QuotaKeeperOptions {
  /** Workers of the node. */
  readonly workers: number
  readonly clock: NodeClock
  send(worker: number, answer: NodeAnswer): void
}

/** The buckets of all plugins that are in use by more than what each worker has as its own part. */
export class QuotaKeeper implements QuotaWorkers {
  readonly count: number
  readonly #options: QuotaKeeperOptions
  readonly #plugins = new Map<string, Map<string, QuotaBucket>>()
  /** Somebody waits for tokens of them. */
  readonly #thirsty = new Set<QuotaBucket>()
  readonly #alive = new Set<number>()
  /** What workers are told at the end of this turn. */
  #notes = new Map<number, QuotaNote[]>()
  #cursor: Iterator<QuotaBucket> = this.#buckets()
  #isSettled = false
  #cancelPush: (() => void) | null = null
  #cancelSweep: (() => void) | null = null

  constructor(options: QuotaKeeperOptions) {
    this.#options = options
    this.count = options.workers
  }

  isAlive(worker: number): boolean {
    return this.#alive.has(worker)
  }

  tell(worker: number, note: QuotaNote): void {
    const notes = this.#notes.get(worker)
    if (notes !== undefined) {
      notes.push(note)
      return
    }
    if (this.#notes.size === 0) this.#options.clock.atTurnEnd(() => this.#flush())
    this.#notes.set(worker, [note])
  }

  request({ asks }: NodeRequest & { kind: 'quota' }, worker: number): void {
    const now = this.#options.clock.nowMs()
    for (const ask of asks) this.#hear(worker, ask, now)
  }

  workerSpawned(worker: number): void {
    this.#alive.add(worker)
    // Before all is known, what it holds is what its predecessor left, or nothing.
    if (!this.#isSettled) return
    for (const bucket of this.#buckets()) bucket.workerSpawned(worker)
  }

  workerEnded(worker: number): void {
    this.#alive.delete(worker)
    this.#notes.delete(worker)
    const now = this.#options.clock.nowMs()
    for (const bucket of this.#buckets()) bucket.workerEnded(worker, now)
  }

  workerRetiring(worker: number, as: number): void {
    if (this.#alive.delete(worker)) this.#alive.add(as)
    // What it was to be told at the end of this turn goes where it is called now.
    const notes = this.#notes.get(worker)
    if (this.#notes.delete(worker) && notes !== undefined) this.#notes.set(as, notes)
    const now = this.#options.clock.nowMs()
    for (const bucket of this.#buckets()) bucket.workerRetiring(worker, as, now)
  }

  /** All workers have said what they knew, or had time enough. */
  settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const now = this.#options.clock.nowMs()
    for (const bucket of this.#buckets()) {
      bucket.settle(now)
      this.#serve(bucket, now)
    }
  }

  close(): void {
    this.#cancelPush?.()
    this.#cancelSweep?.()
    this.#notes.clear()
    this.#plugins.clear()
    this.#thirsty.clear()
  }

  #hear(worker: number, ask: QuotaAsk, now: number): void {
    const bucket = this.#find(ask) ?? (ask.isClaim ? this.#add(ask, now) : undefined)
    if (bucket === undefined) return
    if (bucket === null) {
      const { plugin, key, used } = ask
      this.tell(worker, { kind: 'forget', plugin, key, used, isRefused: true })
      return
    }
    const isPressing = bucket.hear(worker, ask, now) || ask.isAwaited
    // Where tokens are scarce they are given out a few at a time: one by one, every token would cost two messages.
    if (isPressing || !this.#thirsty.has(bucket)) this.#serve(bucket, now)
  }

  #find({ plugin, key }: QuotaAsk): QuotaBucket | undefined {
    return this.#plugins.get(plugin)?.get(key)
  }

  /** Null when there is no room. */
  #add(ask: QuotaAsk, now: number): QuotaBucket | null {
    let buckets = this.#plugins.get(ask.plugin)
    if (buckets === undefined) {
      buckets = new Map()
      this.#plugins.set(ask.plugin, buckets)
    }
    if (buckets.size >= QUOTA_LIMITS.supervisorKeysMax) return null
    const bucket = new QuotaBucket(ask, this, this.#isSettled, now)
    buckets.set(ask.key, bucket)
    this.#startSweep()
    return bucket
  }

  #serve(bucket: QuotaBucket, now: number): void {
    bucket.serve(now)
    if (bucket.isThirsty) {
      this.#thirsty.add(bucket)
      this.#startPush()
    } else {
      this.#thirsty.delete(bucket)
    }
  }

  #startPush(): void {
    this.#cancelPush ??= this.#options.clock.after(QUOTA_LIMITS.pushPeriodMs, () => {
      this.#cancelPush = null
      const now = this.#options.clock.nowMs()
      for (const bucket of this.#thirsty) {
        if (bucket.wakeAt <= now || bucket.hasUnanswered) this.#serve(bucket, now)
      }
      if (this.#thirsty.size > 0) this.#startPush()
    })
  }

  #startSweep(): void {
    this.#cancelSweep ??= this.#options.clock.after(QUOTA_LIMITS.sweepPeriodMs, () => {
      this.#cancelSweep = null
      this.#sweep()
      for (const buckets of this.#plugins.values()) {
        if (buckets.size > 0) return this.#startSweep()
      }
    })
  }

  #sweep(): void {
    const now = this.#options.clock.nowMs()
    for (let looked = 0; looked < QUOTA_LIMITS.sweepKeysMax; looked += 1) {
      const next = this.#cursor.next()
      if (next.done) {
        this.#cursor = this.#buckets()
        return
      }
      const bucket = next.value
      if (bucket.rest(now)) this.#plugins.get(bucket.plugin)?.delete(bucket.key)
    }
  }

  *#buckets(): IterableIterator<QuotaBucket> {
    for (const buckets of this.#plugins.values()) yield* buckets.values()
  }

  #flush(): void {
    const all = this.#notes
    this.#notes = new Map()
    for (const [worker, notes] of all) {
      for (let from = 0; from < notes.length; from += QUOTA_LIMITS.batchMax) {
        this.#options.send(worker, { kind: 'quota', notes: notes.slice(from, from + QUOTA_LIMITS.batchMax) })
      }
    }
  }
}
