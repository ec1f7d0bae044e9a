import type { Host, Log, QuotaDecision, QuotaRequest, Sink } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { machineClock, type NodeClock } from '../../base/node-clock.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { InstancePlan, StateSettings } from '../../protocol/generation.ts'
import type { NodeAnswer, NodeRequest } from '../../protocol/node-services.ts'
import type { NodeServices, Opened, ServiceSource } from '../services.ts'
import { KvClient } from './kv-client.ts'
import { filesOn, type LineFiles } from './line-file.ts'
import { OnceClient } from './once-client.ts'
import { OnceShare } from './once-share.ts'
import { QuotaClient, type QuotaTable } from './quota-client.ts'
import { SharedQuotas } from './shared-quota.ts'
import { SharedState } from './shared-state.ts'
import { SinkClient } from './sink-client.ts'

export interface NodeClientOptions {
  /** Workers of the node, this one included. */
  readonly workers: number
  /** Where sinks write, absolute; or what stands in for it. */
  readonly logs: string | LineFiles
  readonly log: Log
  readonly clock?: NodeClock
  /** To the supervisor. What is lost because there is none is sent again after its successor's `hello`. */
  send(request: NodeRequest): void
}

/** A worker's part of `host.kv`, `host.quota`, `host.sink` and `host.once`. One for each worker. */
export class NodeClient implements ServiceSource<NodeServices> {
  readonly #kv: KvClient
  readonly #quota: QuotaClient
  readonly #shared: SharedQuotas
  readonly #state: SharedState
  readonly #sinks: SinkClient
  readonly #once: OnceClient

  constructor(options: NodeClientOptions) {
    const { workers, log, clock = machineClock } = options
    const send = (request: NodeRequest): void => options.send(request)
    const files = typeof options.logs === 'string' ? filesOn(options.logs) : options.logs
    this.#kv = new KvClient({ clock, send })
    this.#quota = new QuotaClient({ workers, clock, send })
    this.#state = new SharedState({ log, onBack: () => this.#shared.back() })
    this.#shared = new SharedQuotas({
      workers,
      clock,
      ask: (asks) => this.#state.ask(asks),
      onSilent: () => this.#state.noteSilence(),
    })
    this.#sinks = new SinkClient({ files, clock, log, send })
    this.#once = new OnceClient({ clock, send })
  }

  open(plan: InstancePlan, log: Log): Opened<NodeServices> {
    const { plugin } = plan
    const buckets = this.#quota.tableOf(plugin)
    const sinks = this.#sinks.share(plan)
    const tasks = new OnceShare(this.#once, plan, log)
    let isReleased = false
    const services: NodeServices = {
      kv: permitted(plan, 'kv') ? this.#kv.storeOf(plugin, () => isReleased) : deniedKv(plan),
      quota: quotaOf(plugin, buckets, this.#shared),
      sink: (file, options): Sink => {
        if (!permitted(plan, 'sink')) throw denied(plan, 'sink')
        if (isReleased) throw stopped(plan)
        return sinks.open(file, options)
      },
      once: (name, task) => {
        if (tasks.isQuiet) throw stopped(plan)
        tasks.ask(name, task)
      },
    }
    return {
      services,
      beginUpdate({ plan: next }) {
        sinks.beginUpdate(next)
        tasks.beginUpdate(next)
      },
      endUpdate() {
        sinks.endUpdate()
        tasks.endUpdate()
      },
      goLive(live) {
        sinks.goLive(live)
        tasks.goLive(live)
      },
      retire() {
        sinks.retire()
        tasks.retire()
      },
      quiesce: () => tasks.quiesce(),
      release() {
        tasks.quiesce()
        isReleased = true
        sinks.release()
      },
    }
  }

  receive(answer: NodeAnswer): void {
    switch (answer.kind) {
      case 'hello':
        this.#kv.hello()
        this.#once.hello()
        this.#sinks.hello()
        // The last, since it says that all was said: until then the supervisor gives no task to another worker.
        this.#quota.hello(answer.session)
        break
      case 'kv':
        this.#kv.receive(answer.id, answer.result)
        break
      case 'quota':
        this.#quota.receive(answer.notes)
        break
      case 'once-granted':
        this.#once.granted(answer)
        break
      case 'once-denied':
        this.#once.denied(answer)
        break
      case 'sink-reopen':
        this.#sinks.reopen(answer.file)
    }
  }

  /** Connects to what a generation shares with other nodes. Waits a while for that, and never rejects. */
  prepare(state: StateSettings | undefined): Promise<void> {
    return this.#state.prepare(state)
  }

  /** The generation that was prepared is not to come. */
  discard(): void {
    this.#state.discard()
  }

  /** The generation is live. */
  commit(state: StateSettings | undefined): void {
    if (!this.#state.isLive(state)) this.#shared.leave()
    this.#state.commit(state)
    this.#shared.configure(state?.onLoss ?? null)
  }

  /** On SIGHUP to the gateway: somebody has moved the files of sinks away. */
  reopenSinks(): void {
    this.#sinks.reopenAll()
  }

  /** The process ends at once: lines that wait are written. Never throws. */
  flushSync(): void {
    this.#sinks.flushSync()
  }

  /** After `flushSync` or `close`: the process has to be killed, since Node waits for a file that does not answer. */
  get isStuck(): boolean {
    return this.#sinks.isStuck
  }

  /** When all instances have been released. Resolves when what they left is written, or that time is over. */
  async close(flushMs: number = SINK_LIMITS.endFlushMs): Promise<void> {
    this.#quota.close()
    this.#shared.close()
    this.#kv.close()
    await Promise.all([this.#state.close(), this.#sinks.end(flushMs)])
  }
}

function quotaOf(plugin: string, buckets: QuotaTable, shared: SharedQuotas): Host['quota'] {
  function quota(request: QuotaRequest): QuotaDecision
  function quota(requests: readonly QuotaRequest[]): readonly QuotaDecision[]
  function quota(given: QuotaRequest | readonly QuotaRequest[]): QuotaDecision | readonly QuotaDecision[] {
    if (isSeveral(given)) return shared.take(plugin, given) ?? buckets.takeAll(given)
    return shared.takeOne(plugin, given) ?? buckets.take(given)
  }
  return quota
}

function isSeveral(given: QuotaRequest | readonly QuotaRequest[]): given is readonly QuotaRequest[] {
  return Array.isArray(given)
}

export function permitted({ permissions }: InstancePlan, permission: string): boolean {
  return permissions.includes(permission)
}

export function denied({ name }: InstancePlan, permission: string): GatewayError {
  return new GatewayError(
    'PERMISSION_DENIED',
    `Plugin "${name}" may not use host.${permission}: the permission "${permission}" is not in its plugin.json`,
    { plugin: name },
  )
}

function stopped({ name }: InstancePlan): Error {
  return new Error(`The instance "${name}" has stopped`)
}

export function deniedKv(plan: InstancePlan): Host['kv'] {
  const refuse = async (): Promise<never> => {
    throw denied(plan, 'kv')
  }
  return { get: refuse, set: refuse, delete: refuse, list: refuse }
}
