import { GatewayError } from '../base/errors.ts'
import { systemCodeOf } from '../base/listen-error.ts'
import { inSlices } from '../base/steps.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { createLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { failureOf } from '../protocol/failure.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import type { MasterToWorker, WorkerToMaster } from '../protocol/master-worker.ts'
import { type PackedPlan, unpackInSteps } from '../protocol/packed-plan.ts'
import type { SlimPlan } from '../protocol/slim-plan.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { childOfMaster } from './child-of-master.ts'
import { endProcess, exitRefused, guardExits } from './exit-guard.ts'
import { WorkerEngine } from './worker-engine.ts'

/**
 * A worker carries the traffic: sockets, HTTP, chains, upstream connections. It does what master and supervisor ask and
 * decides nothing; when it is in doubt about itself it dies, and the master starts another on the committed generation.
 * This file is its way to the other processes; its parts stand in worker-engine.ts.
 */

const NEVER = new AbortController().signal
const master = childOfMaster<WorkerToMaster>('worker')
/** For traces, so that a master which is busy costs no memory here. */
const traces = master.lossy(tellSkipped)
let skippedTraces = 0
let worker: WorkerEngine | null = null
/** Until then what concerns changes is meant for the process that this one replaces. */
let hasStarted = false
/** A plan that is to be staged, which may take many turns: what concerns changes and comes after it waits. */
let reading: Promise<SlimPlan> | null = null

process.on('message', (message: MasterToWorker, handle: unknown) => {
  answer(message, handle).catch((thrown) => {
    die('Cannot answer the master', thrown)
  })
})

// What a hook left unawaited harms its own exchange only; ending the worker would cut everybody's.
process.on('unhandledRejection', (thrown) => {
  if (worker !== null) worker.onRejected(thrown)
  else report('A promise was rejected and nobody waited for it', thrown)
})
process.on('uncaughtException', onUncaught)
guardExits((call) => {
  const refused = exitRefused(call)
  worker?.onExitRefused(refused)
  return refused
})

async function answer(message: MasterToWorker, handle: unknown): Promise<void> {
  switch (message.kind) {
    case 'start':
      return start(message)
    case 'listen':
      return listen(message.id, message.address, handle as ListenHandle)
    case 'unlisten':
      return worker?.unlisten(message.address)
    case 'drain':
      return drain(message)
    case 'reopen-logs':
      return worker?.reopenLogs()
    case 'relay':
      return answerSupervisor(message.message)
  }
}

async function start(message: MasterToWorker & { kind: 'start' }): Promise<void> {
  const { id, committed } = message
  process.title = `cardea: worker ${message.worker}`
  const { promise: harmed, reject: onHarmedAtStart } = Promise.withResolvers<never>()
  harmed.catch(() => {})
  const started = new WorkerEngine({
    start: message,
    tell: relay,
    onRetired: (generation) => relay({ kind: 'retired', generation }),
    onHarmed(error) {
      // What ran then was left half done: it is mended as far as anybody knows, and not to be kept.
      if (committed !== null && started.generation === 0) onHarmedAtStart(error)
      else master.send({ kind: 'replace-me', reason: error.message })
    },
  })
  worker = started
  if (committed === null) return begin(id, 0)
  try {
    const committing = started.stage(committed).then(() => started.commit(committed.number))
    await Promise.race([committing, harmed])
  } catch (thrown) {
    const failure = failureOf(thrown)
    started.reportFailure(failure)
    master.sendLast({ kind: 'start-failed', id, failure }, 1)
    return
  }
  begin(id, committed.number)
}

function begin(id: number, generation: number): void {
  hasStarted = true
  master.send({ kind: 'started', id, generation })
}

async function answerSupervisor(message: SupervisorToWorker): Promise<void> {
  if (['stage', 'commit', 'discard'].includes(message.kind)) {
    if (!hasStarted) return
    while (reading !== null) await reading
  }
  switch (message.kind) {
    case 'stage':
      return stage(message.id, message.plan)
    case 'commit':
      return commit(message.id, message.generation)
    case 'discard':
      return theWorker().discard(message.generation)
    case 'census':
      return relay({ kind: 'census', id: message.id, census: theWorker().census() })
    case 'tracing':
      skippedTraces = 0
      return theWorker().trace(message.on)
    case 'node':
      return theWorker().onNodeAnswer(message.answer)
    case 'quarantine':
      return theWorker().quarantine(message.key)
    case 'states':
      relay({ kind: 'states', id: message.id, states: theWorker().states(message.plugins) })
  }
}

async function stage(id: number, packed: PackedPlan): Promise<void> {
  reading = inSlices(unpackInSteps(packed), PROCESS_LIMITS.stageSliceMs, NEVER)
  let slim: SlimPlan
  try {
    slim = await reading
  } finally {
    // Whatever came meanwhile waits for it.
    reading = null
  }
  const plan = theWorker().whole(slim)
  if (plan === null) return relay({ kind: 'bundles-missing', id })
  try {
    await theWorker().stage(plan)
    relay({ kind: 'staged', id })
  } catch (thrown) {
    relay({ kind: 'stage-failed', id, failure: failureOf(thrown) })
  }
}

async function commit(id: number, generation: number): Promise<void> {
  const spoiled = await theWorker().spoiledBy(generation)
  // It goes on with what it serves until its successor is there.
  if (spoiled !== null) relay({ kind: 'stage-failed', id, failure: failureOf(spoiled) })
  else {
    relay({ kind: 'committed', id, at: theWorker().commit(generation) })
    master.send({ kind: 'serving', generation })
  }
}

function relay(message: WorkerToSupervisor): void {
  if (message.kind !== 'trace') master.send({ kind: 'relay', message })
  else if (!traces.offer({ kind: 'relay', message })) skippedTraces++
}

function tellSkipped(): void {
  if (skippedTraces > 0) relay({ kind: 'skipped', traces: skippedTraces })
  skippedTraces = 0
}

function listen(id: number, address: ListenAddress, handle: ListenHandle): void {
  try {
    theWorker().listen(handle, address)
    master.send({ kind: 'listening', id })
  } catch (thrown) {
    const systemCode = systemCodeOf(thrown)
    master.send({ kind: 'listen-failed', id, failure: failureOf(thrown), systemCode })
  }
}

async function drain({ id, bounds }: MasterToWorker & { kind: 'drain' }): Promise<void> {
  const cutExchanges = worker === null ? 0 : await worker.drain(bounds)
  await worker?.stopInstances(bounds.flushMs)
  master.sendLast({ kind: 'drained', id, cutExchanges }, 0, worker?.isStuck)
}

function theWorker(): WorkerEngine {
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

function onUncaught(thrown: unknown): void {
  if (worker?.onUncaught(thrown) !== true) die('An exception was not caught; the worker ends', thrown)
}

function die(message: string, thrown: unknown): void {
  report(message, thrown)
  worker?.flushSync()
  endProcess(1, worker?.isStuck === true)
}
