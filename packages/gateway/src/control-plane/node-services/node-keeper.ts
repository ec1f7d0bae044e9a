import { randomInt } from 'node:crypto'
import type { Log } from '@cardea/sdk'
import { machineClock, type NodeClock } from '../../base/node-clock.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { NodeAnswer, NodeRequest } from '../../protocol/node-services.ts'
import { KvKeeper } from './kv-keeper.ts'
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

/**
 * The supervisor's part of `host.kv`, `host.quota`, `host.sink` and `host.once`. What it must know it learns from the
 * workers again after a restart; only kv is on disk.
 */
export class NodeKeeper {
  readonly #options: NodeKeeperOptions
  readonly #kv: KvKeeper
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
  #isClosed = false

  constructor(options: NodeKeeperOptions) {
    const clock = options.clock ?? machineClock
    const { log, workers, logsDirectory } = options
    const send = (worker: number, answer: NodeAnswer): void => this.#send(worker, answer)
    this.#options = options
    this.#kv = new KvKeeper({ directory: options.directory, log, clock, unixMs: options.unixMs })
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

  /** The folder was removed: what is kept there is put back. Never rejects. */
  async restore(): Promise<void> {
    await this.#kv.restore()
  }

  /** Nothing is answered from now on. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelSettle()
    this.#quota.close()
    this.#sinks.close()
    await this.#kv.close()
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
    const result = await this.#kv.run(plugin, operation)
    this.#send(worker, { kind: 'kv', id, result })
  }
}
