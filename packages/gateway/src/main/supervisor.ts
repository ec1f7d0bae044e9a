import type { Log } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { configForTarget, loadConfigFile } from '../config/load.ts'
import { renderProblems, wantsColor } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import type { ConfigProblem, LoadedConfig, LoadResult } from '../config/types.ts'
import { stopBuildService } from '../control-plane/build.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { logStep } from '../control-plane/lifecycle-log.ts'
import { type PrepareResult, prepareGeneration } from '../control-plane/prepare.ts'
import { summarise } from '../control-plane/summary.ts'
import { Workers } from '../control-plane/workers.ts'
import { createLog, LOG_SETTINGS_DEFAULT } from '../observe/log.ts'
import { errorOf } from '../protocol/failure.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import type {
  MasterToSupervisor,
  RunningGateway,
  ServeOptions,
  ServeSource,
  SupervisorToMaster,
} from '../protocol/master-supervisor.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { childOfMaster, type MasterChannel } from './child-of-master.ts'
import { endOrphans, identify, type ProcessIdentity } from './orphans.ts'

/**
 * The supervisor makes generations and brings them to the workers. It runs no plugin code, and no request waits for it:
 * when it dies, the workers go on and its successor adopts what they serve.
 */

type Answer = Extract<MasterToSupervisor, { kind: 'opened' | 'committed' }>
type Question = Extract<SupervisorToMaster, { kind: 'open' | 'commit' }>

const FIRST_GENERATION = 1

class Supervisor {
  readonly #master: MasterChannel<SupervisorToMaster>
  readonly #workers: Workers
  /** By worker number; kept apart from #workers, which forgets a worker before its process is surely gone. */
  readonly #processes = new Map<number, ProcessIdentity>()
  readonly #questions = new PendingRequests<Answer>()
  /** The plugins of the generation. */
  readonly #plugins = new PluginLifecycle((plugin) => logStep(this.#log, plugin))
  #log: Log = createLog({ settings: LOG_SETTINGS_DEFAULT, process: 'supervisor' })

  constructor() {
    this.#master = childOfMaster('supervisor', () => this.#endOrphans())
    this.#workers = new Workers((worker, message) => this.#master.send({ kind: 'relay', worker, message }))
  }

  onMessage(message: MasterToSupervisor): void {
    switch (message.kind) {
      case 'start':
        this.#start(message)
        break
      case 'opened':
      case 'committed':
        this.#questions.settle(message.id, message)
        break
      case 'worker-spawned':
        this.#spawned(message.worker, message.pid)
        break
      case 'worker-started':
        this.#workers.reached(message.worker, 'started')
        break
      case 'worker-listening':
        this.#workers.reached(message.worker, 'listening')
        break
      case 'worker-failed':
        this.#workers.failed(message.worker, message.failure)
        break
      case 'worker-ended':
        this.#workers.ended(message.worker, message.reason)
        this.#noteRetirement()
        break
      case 'relay':
        this.#relayed(message.worker, message.message)
        break
      case 'draining':
        this.#plugins.draining()
        break
      case 'stop':
        process.exit(0)
    }
  }

  report(message: string, thrown: unknown): void {
    this.#log.error(message, thrown instanceof Error ? { stack: thrown.stack } : { error: messageOf(thrown) })
  }

  #start(message: MasterToSupervisor & { kind: 'start' }): void {
    this.#master.send({ kind: 'started', id: message.id })
    if (message.running?.plan != null) this.#adopt(message.running, message.running.plan)
    else this.#firstStart(message.options).catch((thrown) => this.#giveUp(describeFailure(thrown)))
  }

  /** From the config to a gateway that serves. What it throws ends the gateway. */
  async #firstStart(options: ServeOptions): Promise<void> {
    const loaded = await loadConfig(options.source)
    if (!loaded.ok) return this.#giveUp(renderForPerson(loaded.problems))
    this.#useLog(loaded.config.value.log)
    const prepared = await prepareFirst(loaded.config, this.#plugins)
    if (!prepared.ok) return this.#giveUp(renderForPerson(prepared.problems))
    const { plan } = prepared
    await this.#open(plan.settings)
    await this.#workers.haveReached('started', plan.settings.workers)
    await this.#stage(plan)
    await this.#ask((id) => ({ kind: 'commit', id, plan }))
    await this.#workers.commit(plan.number)
    this.#plugins.committed(plan)
    await this.#workers.haveReached('listening', plan.settings.workers)
    this.#master.send({ kind: 'ready', summary: summarise(plan) })
  }

  /** Takes over from a supervisor that died: what the workers serve stays as it is. */
  #adopt(running: RunningGateway, plan: GenerationPlan): void {
    this.#useLog(plan.settings.log)
    this.#plugins.adopted(plan)
    for (const { worker, pid } of running.workers) this.#spawned(worker, pid)
    this.#log.info(`Adopted generation ${plan.number}`, { workers: running.workers })
  }

  async #open(settings: GatewaySettings): Promise<void> {
    const answer = await this.#ask((id) => ({ kind: 'open', id, settings }))
    if (answer.kind === 'opened' && !answer.result.ok) throw errorOf(answer.result.failure)
  }

  async #stage(plan: GenerationPlan): Promise<void> {
    try {
      await this.#workers.stage(plan)
    } catch (thrown) {
      this.#plugins.failedToStart(plan, thrown)
      throw thrown
    }
  }

  #relayed(worker: number, message: WorkerToSupervisor): void {
    if (message.kind === 'retired') {
      this.#workers.retired(worker)
      this.#noteRetirement()
    } else if ('id' in message) {
      this.#workers.answered(worker, message)
    }
  }

  /** Only a generation that drains can stop: a worker that merely died is followed by another. */
  #noteRetirement(): void {
    if (this.#workers.haveRetired) this.#plugins.stopped()
  }

  #ask(message: (id: number) => Question): Promise<Answer> {
    const { id, answer } = this.#questions.start('Cannot ask the master', PROCESS_LIMITS.answerTimeoutMs)
    this.#master.send(message(id))
    return answer
  }

  /** To a person, not to the log: there is no gateway that could have one. */
  #giveUp(text: string): void {
    process.stderr.write(text.endsWith('\n') ? text : `${text}\n`)
    this.#master.sendLast({ kind: 'give-up', exitCode: 1 }, 1)
  }

  #spawned(worker: number, pid: number): void {
    this.#workers.spawned(worker)
    this.#processes.set(worker, identify(pid))
  }

  #useLog(settings: GatewaySettings['log']): void {
    this.#log = createLog({ settings, process: 'supervisor' })
  }

  async #endOrphans(): Promise<void> {
    this.#log.error('The master is gone; the gateway ends')
    await endOrphans([...this.#processes.values()], PROCESS_LIMITS.orphanGraceMs)
  }
}

async function prepareFirst(config: LoadedConfig, lifecycle: PluginLifecycle): Promise<PrepareResult> {
  const directories = { user: config.pluginsDirectory, builtIn: builtInPluginsDirectory() }
  try {
    return await prepareGeneration({ config, number: FIRST_GENERATION, directories, lifecycle })
  } finally {
    // 10 MB that the next change gets back in 36 ms.
    await stopBuildService()
  }
}

async function loadConfig(source: ServeSource): Promise<LoadResult> {
  if (source.kind === 'file') return loadConfigFile(source.file, { env: process.env })
  const { url, port, directory } = source
  return configForTarget(url, { directory, ...(port === null ? {} : { port }) })
}

function renderForPerson(problems: readonly ConfigProblem[]): string {
  return renderProblems(problems, {
    color: wantsColor(process.stderr, process.env),
    directory: process.cwd(),
    textOf: sourceTextOf,
  })
}

function describeFailure(thrown: unknown): string {
  if (!(thrown instanceof GatewayError))
    return thrown instanceof Error ? `${thrown.stack}` : messageOf(thrown)
  const stack = thrown.cause instanceof Error ? `\n${thrown.cause.stack}` : ''
  return `${thrown.code}: ${thrown.message}${thrown.plugin === null ? '' : stack}`
}

process.title = 'cardea: supervisor'
const supervisor = new Supervisor()
process.on('message', (message: MasterToSupervisor) => supervisor.onMessage(message))
process.on('uncaughtException', (thrown) => {
  supervisor.report('An exception was not caught; the supervisor ends', thrown)
  process.exit(1)
})
