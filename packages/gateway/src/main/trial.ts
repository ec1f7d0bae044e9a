import { once } from 'node:events'
import { flushCompileCache } from 'node:module'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Log } from '@cardea/sdk'
import { GatewayError, messageOf, stackOf } from '../base/errors.ts'
import { TRIAL_LIMITS } from '../config/limits.ts'
import { createLog } from '../observe/log.ts'
import { SYSTEM } from '../plugin-host/host.ts'
import { bundleMapper, withMappedStack } from '../plugin-host/load.ts'
import { rehearse } from '../plugin-host/rehearsal.ts'
import { type Failure, failureOf } from '../protocol/failure.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import type { SupervisorToTrial, TrialToSupervisor } from '../protocol/supervisor-trial.ts'
import { childOfMaster } from './child-of-master.ts'
import { childEntryFile } from './child-slot.ts'
import { endProcessGroup } from './process-group.ts'
import { processTraces, remainsSince } from './trial-remains.ts'
import type { TrialWatchData, TrialWatchOrder } from './trial-watch.ts'

/**
 * The trial process runs a plugin's code first, where it can hurt nobody. Its parent is the supervisor, which watches its
 * event loop and its memory from outside (control-plane/trial-process.ts) and ends it when it is in doubt.
 */

interface Running {
  readonly id: number
  readonly plan: GenerationPlan
}

/** What is released by a `stop` needs a few turns to be gone: sockets, watchers. */
const REST_MS = 50

const supervisor = childOfMaster<TrialToSupervisor>('trial', async () => endProcessGroup())
const beats = new Int32Array(new SharedArrayBuffer(4))
let running: Running | null = null
let logOf = { settings: '', log: null as Log | null }

async function answer(request: SupervisorToTrial): Promise<void> {
  const { id, plan, deadlines } = request
  const before = processTraces()
  const beat = setInterval(() => {
    Atomics.add(beats, 0, 1)
    supervisor.send({ kind: 'alive', id })
  }, deadlines.beatMs)
  beat.unref()
  running = { id, plan }
  order({ id, beatMs: deadlines.beatMs, silenceMs: deadlines.tellStallMs })
  const failure = await attempt(request)
  // What the last step left to the microtasks is still this trial's matter.
  await turn()
  supervisor.send({ kind: 'tried', id, failure })
  const remains = await rest(before)
  running = null
  order(null)
  clearInterval(beat)
  supervisor.send({ kind: 'rested', id, remains })
}

async function attempt(request: SupervisorToTrial): Promise<Failure | null> {
  const { id, plan, states, formerConfigs, neighbours, deadlines } = request
  try {
    await rehearse(plan, {
      ...deadlines,
      formerConfigs,
      neighbours,
      log: theLog(plan.settings.log),
      states,
      surroundings: SYSTEM,
      onStep(instance, step) {
        supervisor.send({ kind: 'trying', id, instance, step })
      },
    })
    return null
  } catch (thrown) {
    return failureOf(thrown)
  }
}

async function rest(before: readonly string[]): Promise<readonly string[]> {
  const remains = remainsSince(before)
  if (remains.length === 0) return remains
  await sleep(REST_MS)
  return remainsSince(before)
}

function theLog(settings: GatewaySettings['log']): Log {
  const text = JSON.stringify(settings)
  if (logOf.log !== null && logOf.settings === text) return logOf.log
  const log = createLog({ settings, process: 'trial' }).plugins
  logOf = { settings: text, log }
  return log
}

/** Nothing that happens in this process afterwards can be trusted; the supervisor ends it. */
function reportUncaught(thrown: unknown, what: string): void {
  const plugin = running === null ? null : ownerOf(thrown, running.plan)
  const message = `${what}: ${messageOf(thrown)}`
  const failure = failureOf(
    new GatewayError('PLUGIN_START_FAILED', message, {
      cause: thrown,
      ...(plugin === null ? {} : { plugin }),
    }),
  )
  supervisor.send({ kind: 'uncaught', id: running?.id ?? null, failure })
}

/** The instance of the plan whose code the stack names; the stack is mapped by then. */
function ownerOf(thrown: unknown, plan: GenerationPlan): string | null {
  if (!(thrown instanceof Error)) return null
  for (const bundle of plan.bundles) {
    const { mapStack } = bundleMapper(bundle)
    if (mapStack(thrown) === stackOf(thrown)) continue
    withMappedStack(thrown, mapStack)
    return plan.instances.find(({ codeHash }) => codeHash === bundle.codeHash)?.name ?? null
  }
  return null
}

/** Returns what tells the thread of the trials. */
async function startWatch(): Promise<(order: TrialWatchOrder) => void> {
  const data: TrialWatchData = {
    parentPid: Number(process.argv[2]),
    pollMs: TRIAL_LIMITS.parentPollMs,
    idlePollMs: TRIAL_LIMITS.idleParentPollMs,
    beats: beats.buffer,
  }
  const watch = new Worker(childEntryFile('trial-watch.ts'), {
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
  })
  // Not merely 'online': what it still has to load could wait for a main thread that is blocked by then.
  await once(watch, 'message')
  watch.unref()
  return (order) => watch.postMessage(order)
}

process.title = 'cardea: trial'
process.on('uncaughtException', (thrown) => reportUncaught(thrown, 'An exception was not caught'))
process.on('unhandledRejection', (thrown) =>
  reportUncaught(thrown, 'A promise was rejected and nobody waited for it'),
)
process.on('message', (request: SupervisorToTrial) => {
  answer(request).catch((thrown) => reportUncaught(thrown, 'The trial failed'))
})
const order = await startWatch()
supervisor.send({ kind: 'ready' })
// Node writes what it compiled when a process exits, and this one is always killed.
flushCompileCache()
