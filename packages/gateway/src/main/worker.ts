import type { Log } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import { DataPlane, type StagedGeneration } from '../data-plane/data-plane.ts'
import { createLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { startInstances } from '../plugin-host/instance.ts'
import { type Failure, failureOf } from '../protocol/failure.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import type { MasterToWorker, WorkerToMaster } from '../protocol/master-worker.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { childOfMaster } from './child-of-master.ts'

/**
 * A worker carries the traffic: sockets, HTTP, chains, upstream connections. It does what master and supervisor ask and
 * decides nothing; when it is in doubt about itself it dies, and the master starts another on the committed generation.
 */

type Instances = ReadonlyMap<number, LiveInstance>

class Worker {
  readonly #dataPlane: DataPlane
  readonly #log: Log
  #staged: StagedGeneration | null = null
  #live: Instances = new Map()
  #generation = 0
  #isDraining = false

  constructor(number: number, settings: GatewaySettings) {
    this.#log = createLog({ settings: settings.log, process: 'worker', workerNumber: number })
    this.#dataPlane = new DataPlane({ settings, log: this.#log, workerNumber: number })
  }

  /** The number of the committed one; 0 before the first. */
  get generation(): number {
    return this.#generation
  }

  /** Makes everything of a generation that may fail. Throws what `startInstances` and `DataPlane.stage` throw. */
  async stage(plan: GenerationPlan): Promise<void> {
    this.#discardStaged()
    const instances = await startInstances(plan, this.#log)
    try {
      this.#staged = this.#dataPlane.stage(plan, instances)
    } catch (thrown) {
      await Promise.all([...instances.values()].map((instance) => instance.stop()))
      throw thrown
    }
  }

  /** From here on new exchanges run on the staged generation. */
  commit(generation: number): void {
    const staged = this.#staged
    if (staged?.generation.number !== generation) {
      throw new GatewayError('INTERNAL_ERROR', `Cannot commit generation ${generation}: it is not staged`)
    }
    this.#staged = null
    this.#live = staged.generation.instances
    this.#generation = generation
    this.#dataPlane.commit(staged)
  }

  listen(handle: ListenHandle): void {
    if (this.#isDraining) handle.close()
    else this.#dataPlane.accept(handle)
  }

  /** Returns the exchanges that the deadline cut. */
  async drain(deadlineMs: number): Promise<number> {
    this.#isDraining = true
    const { cutExchanges } = await this.#dataPlane.drain(deadlineMs)
    return cutExchanges
  }

  async stopInstances(): Promise<void> {
    this.#discardStaged()
    await Promise.all([...this.#live.values()].map((instance) => instance.stop()))
  }

  /** An exception that nobody caught, with its stack mapped if it came from a plugin. */
  report(message: string, thrown: unknown): void {
    if (!(thrown instanceof Error)) {
      this.#log.error(message, { error: messageOf(thrown) })
      return
    }
    for (const instance of [...this.#live.values(), ...(this.#staged?.generation.instances.values() ?? [])]) {
      const stack = instance.mapStack(thrown)
      if (stack === thrown.stack) continue
      this.#log.error(message, { plugin: instance.plan.name, stack })
      return
    }
    this.#log.error(message, { stack: thrown.stack })
  }

  reportFailure(failure: Failure): void {
    this.#log.error(failure.message, { code: failure.code, plugin: failure.plugin, stack: failure.stack })
  }

  #discardStaged(): void {
    const staged = this.#staged
    this.#staged = null
    if (staged !== null) this.#dataPlane.discard(staged)
  }
}

const master = childOfMaster<WorkerToMaster>('worker')
let worker: Worker | null = null

process.on('message', (message: MasterToWorker, handle: unknown) => {
  answer(message, handle).catch((thrown) => {
    die('Cannot answer the master', thrown)
  })
})

// What a hook left unawaited harms its own exchange only; ending the worker would cut everybody's.
process.on('unhandledRejection', (thrown) =>
  report('A promise was rejected and nobody waited for it', thrown),
)
process.on('uncaughtException', (thrown) => die('An exception was not caught; the worker ends', thrown))

async function answer(message: MasterToWorker, handle: unknown): Promise<void> {
  switch (message.kind) {
    case 'start':
      return start(message)
    case 'listen':
      return listen(message.id, handle as ListenHandle)
    case 'drain':
      return drain(message.id, message.deadlineMs)
    case 'relay':
      return answerSupervisor(message.message)
  }
}

async function start(message: MasterToWorker & { kind: 'start' }): Promise<void> {
  const { id, committed } = message
  process.title = `cardea: worker ${message.worker}`
  const started = new Worker(message.worker, message.settings)
  worker = started
  if (committed === null) return master.send({ kind: 'started', id, generation: 0 })
  try {
    await started.stage(committed)
  } catch (thrown) {
    const failure = failureOf(thrown)
    started.reportFailure(failure)
    master.sendLast({ kind: 'start-failed', id, failure }, 1)
    return
  }
  started.commit(committed.number)
  master.send({ kind: 'started', id, generation: committed.number })
}

async function answerSupervisor(message: SupervisorToWorker): Promise<void> {
  const relay = (answer: WorkerToSupervisor): void => master.send({ kind: 'relay', message: answer })
  switch (message.kind) {
    case 'commit':
      theWorker().commit(message.generation)
      relay({ kind: 'committed', id: message.id, at: performance.timeOrigin + performance.now() })
      master.send({ kind: 'serving', generation: message.generation })
      return
    case 'stage':
      try {
        await theWorker().stage(message.plan)
        relay({ kind: 'staged', id: message.id, carried: 0, started: message.plan.instances.length })
      } catch (thrown) {
        relay({ kind: 'stage-failed', id: message.id, failure: failureOf(thrown) })
      }
  }
}

function listen(id: number, handle: ListenHandle): void {
  try {
    theWorker().listen(handle)
    master.send({ kind: 'listening', id })
  } catch (thrown) {
    master.send({ kind: 'listen-failed', id, failure: failureOf(thrown) })
  }
}

async function drain(id: number, deadlineMs: number): Promise<void> {
  const cutExchanges = worker === null ? 0 : await worker.drain(deadlineMs)
  await worker?.stopInstances()
  const generation = worker?.generation ?? 0
  if (generation > 0) master.send({ kind: 'relay', message: { kind: 'retired', generation } })
  master.sendLast({ kind: 'drained', id, cutExchanges }, 0)
}

function theWorker(): Worker {
  if (worker === null) throw new GatewayError('INTERNAL_ERROR', 'A message came before the start')
  return worker
}

function report(message: string, thrown: unknown): void {
  if (worker !== null) worker.report(message, thrown)
  else {
    const log = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'worker' })
    log.error(message, { error: thrown })
  }
}

function die(message: string, thrown: unknown): void {
  report(message, thrown)
  process.exit(1)
}
