import type { Log } from '@cardea/sdk'
import type { NodeClock } from '../base/node-clock.ts'
import { NodeKeeper } from '../control-plane/node-services/node-keeper.ts'
import type { LineFiles } from '../plugin-host/node-services/line-file.ts'
import { NodeClient } from '../plugin-host/node-services/node-client.ts'
import type { NodeServices, Opened } from '../plugin-host/services.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { NodeAnswer, NodeRequest } from '../protocol/node-services.ts'
import { instancePlan } from '../protocol/test-plans.ts'

/**
 * A node in memory for tests: workers and a supervisor that know each other only by messages, which take as long as the
 * test says, and are lost when a process dies. Time stands still until `advance` moves it.
 */
export class SimulatedNode {
  readonly clock = new SimulatedClock()
  /** How long a message takes, in milliseconds; those of one worker stay in their order. */
  delayMs: (worker: number) => number = () => 1
  /** Everything that was said, newest last. */
  readonly said: { readonly worker: number; readonly message: NodeRequest | NodeAnswer }[] = []
  readonly logged: string[] = []
  readonly #options: SimulatedNodeOptions
  readonly #workers = new Map<number, SimulatedWorker>()
  #keeper: NodeKeeper | null = null
  #supervisor = 0

  constructor(options: SimulatedNodeOptions) {
    this.#options = options
    this.startSupervisor()
    for (let worker = 1; worker <= options.workers; worker += 1) this.spawnWorker(worker)
    this.advance(50)
  }

  get hasSupervisor(): boolean {
    return this.#keeper !== null
  }

  hasWorker(worker: number): boolean {
    return this.#workers.has(worker)
  }

  /** The services that an instance of `plugin` has in that worker. */
  services(worker: number, plugin = 'limiter'): NodeServices {
    return this.open(worker, plugin).services
  }

  /** A new instance in that worker, live. */
  open(worker: number, plugin = 'limiter'): Opened<NodeServices> {
    const plan = planOf(plugin)
    const opened = this.stage(worker, plan)
    opened.goLive?.(plan, null)
    return opened
  }

  /** A new instance in that worker that is not live yet. */
  stage(worker: number, plan: InstancePlan): Opened<NodeServices> {
    return this.client(worker).open(plan, this.#log)
  }

  client(worker: number): NodeClient {
    const found = this.#workers.get(worker)
    if (found === undefined) throw new Error(`Worker ${worker} does not live`)
    return found.client
  }

  get keeper(): NodeKeeper {
    if (this.#keeper === null) throw new Error('There is no supervisor')
    return this.#keeper
  }

  advance(durationMs: number): void {
    this.clock.advance(durationMs)
  }

  /** What is on its way from it still arrives; what is on its way to it does not. */
  killSupervisor(): void {
    void this.#keeper?.close()
    this.#keeper = null
    this.#supervisor += 1
  }

  startSupervisor(): void {
    if (this.#keeper !== null) return
    const supervisor = this.#supervisor
    const { workers, directory = null, logsDirectory = '/nowhere', unixMs } = this.#options
    this.#keeper = new NodeKeeper({
      directory,
      logsDirectory,
      workers,
      log: this.#log,
      clock: this.clock,
      ...(unixMs === undefined ? {} : { unixMs }),
      send: (worker, answer) => this.#toWorker(supervisor, worker, answer),
    })
    for (const worker of this.#workers.keys()) this.#keeper.workerSpawned(worker)
  }

  spawnWorker(worker: number): void {
    if (this.#workers.has(worker)) return
    const spawned: SimulatedWorker = {
      client: new NodeClient({
        workers: this.#options.workers,
        logs: this.#options.logs ?? NO_FILES,
        log: this.#log,
        clock: this.clock,
        send: (request) => this.#toSupervisor(worker, spawned, request),
      }),
      toSupervisorAt: 0,
      toWorkerAt: 0,
    }
    this.#workers.set(worker, spawned)
    this.#keeper?.workerSpawned(worker)
  }

  killWorker(worker: number): void {
    this.#workers.delete(worker)
    this.#keeper?.workerEnded(worker)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers.values()].map(({ client }) => client.close()))
    await this.#keeper?.close()
  }

  #toSupervisor(worker: number, from: SimulatedWorker, request: NodeRequest): void {
    const message = structuredClone(request)
    const supervisor = this.#supervisor
    this.said.push({ worker, message })
    from.toSupervisorAt = Math.max(from.toSupervisorAt, this.clock.nowMs() + this.delayMs(worker))
    this.clock.at(from.toSupervisorAt, () => {
      if (supervisor === this.#supervisor && this.#workers.get(worker) === from) {
        this.#keeper?.request(worker, message)
      }
    })
  }

  #toWorker(supervisor: number, worker: number, answer: NodeAnswer): void {
    const to = this.#workers.get(worker)
    if (to === undefined || supervisor !== this.#supervisor) return
    const message = structuredClone(answer)
    this.said.push({ worker, message })
    to.toWorkerAt = Math.max(to.toWorkerAt, this.clock.nowMs() + this.delayMs(worker))
    this.clock.at(to.toWorkerAt, () => {
      if (this.#workers.get(worker) === to) to.client.receive(message)
    })
  }

  readonly #log: Log = {
    debug: (message) => void this.logged.push(message),
    info: (message) => void this.logged.push(message),
    warn: (message) => void this.logged.push(message),
    error: (message) => void this.logged.push(message),
  }
}

export interface SimulatedNodeOptions {
  readonly workers: number
  readonly directory?: string
  readonly logsDirectory?: string
  readonly logs?: LineFiles | string
  readonly unixMs?: () => number
}

interface SimulatedWorker {
  readonly client: NodeClient
  toSupervisorAt: number
  toWorkerAt: number
}

interface Alarm {
  readonly dueMs: number
  /** Null: cancelled. It stays where it is until its time, since thousands may wait. */
  callback: (() => void) | null
}

export class SimulatedClock implements NodeClock {
  #nowMs = 1_000_000
  #alarms: Alarm[] = []
  #turnEnd: (() => void)[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.at(this.#nowMs + delayMs, callback)
  }

  at(dueMs: number, callback: () => void): () => void {
    const alarm: Alarm = { dueMs, callback }
    // Behind those of the same time.
    let index = this.#alarms.length
    while (index > 0 && (this.#alarms[index - 1]?.dueMs ?? 0) > dueMs) index -= 1
    this.#alarms.splice(index, 0, alarm)
    return () => {
      alarm.callback = null
    }
  }

  atTurnEnd(callback: () => void): void {
    this.#turnEnd.push(callback)
  }

  advance(durationMs: number): void {
    const endMs = this.#nowMs + durationMs
    this.#endTurn()
    for (;;) {
      const [next] = this.#alarms
      if (next === undefined || next.dueMs > endMs) break
      this.#alarms.shift()
      this.#nowMs = Math.max(next.dueMs, this.#nowMs)
      next.callback?.()
      this.#endTurn()
    }
    this.#nowMs = endMs
  }

  #endTurn(): void {
    for (let callback = this.#turnEnd.shift(); callback !== undefined; callback = this.#turnEnd.shift())
      callback()
  }
}

const NO_FILES: LineFiles = {
  open: async () => ({
    append: async (bytes) => bytes.length,
    appendSync: (bytes) => bytes.length,
    close: async () => {},
  }),
  openSync: () => ({
    append: async (bytes) => bytes.length,
    appendSync: (bytes) => bytes.length,
    close: async () => {},
  }),
}

export function planOf(plugin: string): InstancePlan {
  return instancePlan({ name: plugin, plugin, category: 'traffic', permissions: ['kv', 'sink'] })
}
