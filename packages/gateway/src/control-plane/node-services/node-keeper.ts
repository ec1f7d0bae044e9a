import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import { machineClock, type NodeClock } from '../../base/node-clock.ts'
import { KV_LIMITS } from '../../config/limits.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { KvResult, NodeAnswer, NodeRequest } from '../../protocol/node-services.ts'
import { KvStore } from './kv-store.ts'
import { OnceKeeper } from './once-keeper.ts'
import { QuotaKeeper } from './quota-keeper.ts'
import { SinkRotation } from './sink-rotation.ts'

export interface NodeKeeperOptions {
  /** The `.cardea` folder, absolute. Null: nothing is kept on disk. */
  readonly directory: string | null
  /** Where sinks write, absolute. */
  readonly logsDirectory: string
  /** Workers of the node; they are numbered from 1. */
  readonly workers: number
  readonly log: Log
  readonly clock?: NodeClock
  /** Unix time in milliseconds, for what must outlive the machine. */
  readonly unixMs?: () => number
  send(worker: number, answer: NodeAnswer): void
}

/** After a failure to open the store it is not tried again sooner. */
const REOPEN_DELAY_MS = 1_000

/**
 * The supervisor's part of `host.kv`, `host.quota`, `host.sink` and `host.once`. What it must know it learns from the
 * workers again after a restart; only kv is on disk.
 */
export class NodeKeeper {
  readonly #options: NodeKeeperOptions
  readonly #clock: NodeClock
  readonly #quota: QuotaKeeper
  readonly #once: OnceKeeper
  readonly #sinks: SinkRotation
  /** By worker: the session of the process that is there now. */
  readonly #sessions = new Map<number, number>()
  /** Those that have not said all that they knew. */
  readonly #unheard = new Set<number>()
  /** By chance: what was said to the supervisor before this one must not be taken for said to it. */
  #lastSession = randomInt(2 ** 47)
  #isSettled = false
  readonly #cancelSettle: () => void
  #cancelSweep: (() => void) | null = null
  #store: Promise<KvStore> | null = null
  /** When opening it is worth another try. */
  #retryAt = Number.POSITIVE_INFINITY
  #isClosed = false

  constructor(options: NodeKeeperOptions) {
    const clock = options.clock ?? machineClock
    const { log, workers, logsDirectory } = options
    const send = (worker: number, answer: NodeAnswer): void => this.#send(worker, answer)
    this.#options = options
    this.#clock = clock
    this.#quota = new QuotaKeeper({ workers, clock, send })
    this.#once = new OnceKeeper(send)
    this.#sinks = new SinkRotation({
      directory: logsDirectory,
      log,
      clock,
      unixMs: options.unixMs ?? Date.now,
      reopen: (file) => {
        for (const worker of this.#sessions.keys()) send(worker, { kind: 'sink-reopen', file })
      },
    })
    this.#cancelSettle = clock.after(QUOTA_LIMITS.settleMs, () => this.#settle())
  }

  /** A process has taken the place `worker`, or was there before this supervisor. */
  workerSpawned(worker: number): void {
    if (this.#sessions.has(worker)) this.workerEnded(worker)
    this.#lastSession += 1
    this.#sessions.set(worker, this.#lastSession)
    if (!this.#isSettled) this.#unheard.add(worker)
    this.#send(worker, { kind: 'hello', session: this.#lastSession })
    this.#quota.workerSpawned(worker)
  }

  /** The process that had this number goes on under another one, and ends soon; a new one will take its place. */
  workerRetiring(worker: number, as: number): void {
    const session = this.#sessions.get(worker)
    if (session === undefined) return
    this.#sessions.delete(worker)
    this.#sessions.set(as, session)
    if (this.#unheard.delete(worker)) this.#unheard.add(as)
    this.#quota.workerRetiring(worker, as)
    this.#once.workerRetiring(worker, as)
    this.#sinks.workerRetiring(worker, as)
  }

  workerEnded(worker: number): void {
    if (!this.#sessions.delete(worker)) return
    this.#quota.workerEnded(worker)
    this.#once.workerEnded(worker)
    this.#sinks.workerEnded(worker)
    this.#heard(worker)
  }

  request(worker: number, request: NodeRequest): void {
    if (this.#isClosed || !this.#sessions.has(worker)) return
    switch (request.kind) {
      case 'kv':
        void this.#runKv(worker, request)
        break
      case 'quota':
        if (request.session !== this.#sessions.get(worker)) return
        this.#quota.request(request, worker)
        if (request.isLast) this.#heard(worker)
        break
      case 'once-claim':
        this.#once.claim(request, worker)
        break
      case 'once-release':
        this.#once.release(request, worker)
        break
      case 'sink-rotation':
        this.#sinks.hear(worker, request.file, request.wishes)
    }
  }

  /** Nothing is answered from now on. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelSettle()
    this.#cancelSweep?.()
    this.#quota.close()
    this.#sinks.close()
    const store = await this.#store?.catch(() => null)
    store?.close()
  }

  #send(worker: number, answer: NodeAnswer): void {
    if (!this.#isClosed && this.#sessions.has(worker)) this.#options.send(worker, answer)
  }

  #heard(worker: number): void {
    if (this.#unheard.delete(worker) && this.#unheard.size === 0) this.#settle()
  }

  /** From now on what no worker has spoken of is taken for unused. */
  #settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#cancelSettle()
    this.#unheard.clear()
    this.#once.settle()
    this.#quota.settle()
  }

  async #runKv(worker: number, { id, plugin, operation }: NodeRequest & { kind: 'kv' }): Promise<void> {
    let result: KvResult
    try {
      const store = await this.#openStore()
      if (this.#isClosed) return
      result = store.run(plugin, operation)
    } catch (thrown) {
      result = { kind: 'failed', message: messageOf(thrown), isFull: false }
    }
    this.#send(worker, { kind: 'kv', id, result })
  }

  #openStore(): Promise<KvStore> {
    if (this.#store !== null && this.#clock.nowMs() < this.#retryAt) return this.#store
    const { directory, unixMs } = this.#options
    const store = KvStore.open(directory === null ? null : join(directory, 'kv.db'), unixMs)
    this.#store = store
    this.#retryAt = Number.POSITIVE_INFINITY
    store.then(
      () => this.#startSweep(),
      (thrown) => {
        this.#retryAt = this.#clock.nowMs() + REOPEN_DELAY_MS
        this.#options.log.error(messageOf(thrown), { error: thrown })
      },
    )
    return store
  }

  #startSweep(): void {
    if (this.#isClosed) return
    this.#cancelSweep = this.#clock.after(KV_LIMITS.sweepPeriodMs, () => void this.#sweepStore())
  }

  async #sweepStore(): Promise<void> {
    const store = await this.#openStore()
    if (this.#isClosed) return
    try {
      // The rest has its turn right after what waits now.
      if (store.sweep() >= KV_LIMITS.sweepRowsMax) {
        this.#clock.atTurnEnd(() => void this.#sweepStore())
        return
      }
    } catch (thrown) {
      this.#options.log.error(`Cannot delete what has expired from host.kv: ${messageOf(thrown)}`)
    }
    this.#startSweep()
  }
}
