import { type ChildProcess, fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import type { Log } from '@cardea/sdk'
import { type ErrorCode, GatewayError } from '../base/errors.ts'
import { keepOutputsFromBlocking } from '../base/own-outputs.ts'
import { PLUGIN_LIMITS, PROCESS_LIMITS, TRIAL_LIMITS } from '../config/limits.ts'
import { errorOf, type Failure } from '../protocol/failure.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import {
  STALL_DESCRIPTOR,
  type SupervisorToTrial,
  type TrialToSupervisor,
} from '../protocol/supervisor-trial.ts'
import type { PluginStateCopy } from '../protocol/supervisor-worker.ts'
import { mainThreadCpuMs, residentBytes } from './process-meter.ts'
import { type StackMapper, StallStacks } from './stall-stacks.ts'
import { StallWatch } from './stall-watch.ts'

export interface TrialRequest {
  /** Only the instances to be tried and those they depend on. */
  readonly plan: GenerationPlan
  /** What migrations are tried on. */
  readonly states: readonly PluginStateCopy[]
  /** See `formerConfigs`. Default: no instance follows on a live one. */
  readonly formerConfigs?: SupervisorToTrial['formerConfigs']
  /** See `neighbours`. Default: none. */
  readonly neighbours?: SupervisorToTrial['neighbours']
}

export interface TrialLimits {
  readonly stallMs: number
  readonly stallTellShare: number
  readonly waitingFactor: number
  readonly beatMs: number
  readonly pollMs: number
  readonly memoryBytesMax: number
  readonly heapBytesMax: number
  readonly startTimeoutMs: number
  readonly stopTimeoutMs: number
  readonly stepMarginMs: number
  readonly trialsMax: number
  readonly growthBytesMax: number
  readonly idleMs: number
  readonly killTimeoutMs: number
}

export const TRIAL_LIMITS_DEFAULT: TrialLimits = {
  ...TRIAL_LIMITS,
  startTimeoutMs: PLUGIN_LIMITS.startTimeoutMs,
  stopTimeoutMs: PLUGIN_LIMITS.stopTimeoutMs,
}

export interface TrialProcessOptions {
  /** main/trial.ts. */
  readonly entryFile: string
  /** Node's, as the workers have them. */
  readonly flags: readonly string[]
  readonly log: Log
  readonly mapStack: StackMapper
  readonly limits: TrialLimits
}

export type Verdict =
  | { readonly kind: 'passed' }
  | {
      readonly kind: 'failed'
      readonly error: GatewayError
      /** False: what an earlier trial left in the process may be to blame. */
      readonly isCertain: boolean
    }

/** `name`: of what is called of the instance. */
export interface TrialStep {
  readonly instance: string
  readonly name: string
}

interface Running {
  readonly id: number
  readonly plan: GenerationPlan
  readonly watch: StallWatch
  readonly timer: NodeJS.Timeout
  readonly verdict: PromiseWithResolvers<Verdict>
  readonly rested: PromiseWithResolvers<void>
  /** What was announced last. */
  step: (TrialStep & { readonly since: number }) | null
}

/**
 * One trial process, watched from outside: silence, memory, the deadline of each step. It is killed as soon as anything
 * of it is in doubt, and then never used again.
 */
export class TrialProcess {
  /** Resolves when it takes a trial. Rejects with TRIAL_FAILED when it ends before. */
  readonly ready: Promise<void>
  /** Resolves when the process is gone, with what ended it: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>
  readonly #options: TrialProcessOptions
  readonly #child: ChildProcess
  readonly #stacks: StallStacks
  readonly #ready = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<string>()
  #running: Running | null = null
  #trials = 0
  #bytesAtStart: number | null = null
  /** The most that was seen of its growth. */
  #grownBytesMax = 0
  #isBroken = false
  #hasEnded = false

  constructor(options: TrialProcessOptions) {
    this.#options = options
    this.ready = this.#ready.promise
    this.ended = this.#ended.promise
    // Whoever waits hears of it; before that nobody may.
    this.ready.catch(() => {})
    const heapMebibytes = Math.ceil(options.limits.heapBytesMax / 2 ** 20)
    this.#child = fork(options.entryFile, [String(process.pid)], {
      serialization: 'advanced',
      execArgv: [...options.flags, `--max-old-space-size=${heapMebibytes}`],
      // A process group of its own: what plugin code starts is ended with it. Where Linux shares out the cores by session
      // (autogroup) it has the share of one, whatever its priority. With that lowered too, a trial took seconds to start
      // beside requests that wanted all cores, and changes failed.
      detached: true,
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'],
    })
    keepOutputsFromBlocking()
    const startTimer = setTimeout(
      () => this.#giveUp('is not ready in time'),
      PROCESS_LIMITS.childStartTimeoutMs,
    )
    this.ready.then(
      () => clearTimeout(startTimer),
      () => clearTimeout(startTimer),
    )
    this.#stacks = new StallStacks(this.#child.stdio[STALL_DESCRIPTOR] ?? null)
    this.#child.on('message', (message) => this.#onMessage(message as TrialToSupervisor))
    this.#child.on('exit', (code, signal) => {
      const reason = signal ?? `exit code ${code}`
      this.#signalGroup()
      // What it said last may still be in the channel.
      if (this.#child.connected) this.#child.once('disconnect', () => this.#onEnd(reason))
      else this.#onEnd(reason)
    })
    this.#child.on('error', (error) => {
      if (this.#child.pid === undefined) this.#onEnd(error.message)
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** The step that its trial has come to. */
  get at(): TrialStep | null {
    return this.#running?.step ?? null
  }

  /** It can have another trial. */
  get isFit(): boolean {
    return !this.#isBroken
  }

  /** It has done its share; another one should take its place when there is time. */
  get isWorn(): boolean {
    const { trialsMax, growthBytesMax } = this.#options.limits
    return this.#trials >= trialsMax || (this.#grownBytes() ?? 0) > growthBytesMax
  }

  /** Runs one trial; the next may start when `rested` has resolved. Never rejects. After a failure the process is gone. */
  async run({ plan, states, formerConfigs = {}, neighbours = [] }: TrialRequest): Promise<Verdict> {
    if (this.#hasEnded) return { kind: 'failed', error: this.#ending('it was gone before'), isCertain: false }
    const { limits } = this.#options
    const { startTimeoutMs, stopTimeoutMs, beatMs, stallMs, stallTellShare } = limits
    // By chance: a late message of an earlier trial must not be taken for one of this.
    const id = randomInt(2 ** 47)
    const timer = setInterval(() => this.#poll(), limits.pollMs)
    const verdict = Promise.withResolvers<Verdict>()
    const rested = Promise.withResolvers<void>()
    this.#trials += 1
    this.#running = {
      id,
      plan,
      timer,
      verdict,
      rested,
      watch: new StallWatch(limits, performance.now()),
      step: null,
    }
    const tellStallMs = stallMs * stallTellShare
    const deadlines = { startTimeoutMs, stopTimeoutMs, beatMs, tellStallMs }
    this.#send({ kind: 'try', id, plan, states, formerConfigs, neighbours, deadlines })
    const found = await verdict.promise
    if (found.kind === 'failed') await this.kill()
    return found
  }

  /** Resolves when what the last trial left behind is known. */
  get rested(): Promise<void> {
    return this.#running?.rested.promise ?? Promise.resolve()
  }

  /** Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#isBroken = true
    this.#signalGroup()
    const { log, limits } = this.#options
    const timer = setTimeout(() => {
      log.error('A trial process does not end although it was killed', { trial: this.pid })
      this.#onEnd('killed, and still there')
    }, limits.killTimeoutMs)
    await this.ended
    clearTimeout(timer)
  }

  #onMessage(message: TrialToSupervisor): void {
    const running = this.#running
    if (message.kind === 'ready') {
      this.#bytesAtStart = this.pid === undefined ? null : residentBytes(this.pid)
      this.#ready.resolve()
      return
    }
    if (message.kind === 'uncaught') {
      this.#onUncaught(message.id, message.failure)
      return
    }
    if (running === null || message.id !== running.id) return
    running.watch.beat()
    if (message.kind === 'trying') {
      running.step = { instance: message.instance, name: message.step, since: performance.now() }
    } else if (message.kind === 'tried') {
      if (message.failure === null) running.verdict.resolve({ kind: 'passed' })
      else this.#fail(errorOf(message.failure), true)
    } else if (message.kind === 'rested') {
      this.#onRested(message.remains)
    }
  }

  #onRested(remains: readonly string[]): void {
    if (remains.length > 0) {
      this.#isBroken = true
      this.#options.log.debug('A trial left something behind; its process is not used again', { remains })
    }
    this.#endRunning()
  }

  #onUncaught(id: number | null, failure: Failure): void {
    const running = this.#running
    if (running === null || id !== running.id) {
      this.#isBroken = true
      this.#options.log.debug(`After its trial: ${failure.message}`, { stack: failure.stack })
      return
    }
    const plugin = failure.plugin ?? running.step?.instance ?? null
    const message = plugin === null ? failure.message : `Cannot start plugin "${plugin}": ${failure.message}`
    this.#fail(errorOf({ ...failure, plugin, message }), failure.plugin !== null || this.#isFirstTrial)
  }

  #onEnd(reason: string): void {
    this.#isBroken = true
    this.#hasEnded = true
    this.#ready.reject(
      new GatewayError('TRIAL_FAILED', `The trial process ended before it was ready (${reason})`),
    )
    this.#ended.resolve(reason)
    if (this.#running !== null) this.#failByEnd(reason)
    this.#endRunning()
  }

  /** Looks at what the process itself cannot be asked. */
  #poll(): void {
    const running = this.#running
    const pid = this.pid
    if (running === null || pid === undefined) return
    const { limits } = this.#options
    const grownBytes = this.#grownBytes()
    this.#grownBytesMax = Math.max(this.#grownBytesMax, grownBytes ?? 0)
    const now = performance.now()
    const silenceMs = running.watch.exceededMs(now, mainThreadCpuMs(pid))
    if (grownBytes !== null && grownBytes > limits.memoryBytesMax) {
      const error = this.#memoryExceeded(`grew by ${mebibytes(grownBytes)}`, limits.memoryBytesMax)
      this.#fail(error, this.#isFirstTrial)
    } else if (silenceMs !== null) {
      const held = `kept the event loop for ${silenceMs.toLocaleString('en')} ms without giving way`
      const stack = this.#stacks.of(running.id, running.plan, this.#options.mapStack)
      // A stack tells whose code it is that blocks.
      this.#fail(this.#stepError('PLUGIN_STALLED', held, stack), this.#isFirstTrial || stack !== null)
    } else if (running.step !== null && now - running.step.since > this.#stepDeadlineMs(running.step.name)) {
      this.#fail(this.#stepError('PLUGIN_START_FAILED', 'did not end in time'), this.#isFirstTrial)
    }
  }

  #stepDeadlineMs(step: string): number {
    const { startTimeoutMs, stopTimeoutMs, stepMarginMs } = this.#options.limits
    return (step === 'stop' ? stopTimeoutMs : startTimeoutMs) + stepMarginMs
  }

  /** A signal from outside is nobody's leftover; everything else may be an earlier trial's doing. */
  #failByEnd(reason: string): void {
    if (ABORTS.has(reason) && this.#seemsOutOfMemory()) {
      const { heapBytesMax } = this.#options.limits
      const error = this.#memoryExceeded('filled its heap and was ended by V8', heapBytesMax)
      this.#fail(error, this.#isFirstTrial)
      return
    }
    const isAnInstance = this.#running?.step !== null
    this.#fail(this.#ending(reason), isAnInstance && (this.#isFirstTrial || reason.startsWith('SIG')))
  }

  #seemsOutOfMemory(): boolean {
    const isKnown = this.#bytesAtStart !== null
    return !isKnown || this.#grownBytesMax > this.#options.limits.heapBytesMax / 2
  }

  #memoryExceeded(how: string, limitBytes: number): GatewayError {
    const what = `took too much memory: the process ${how}, limit ${mebibytes(limitBytes)}`
    return this.#stepError('PLUGIN_MEMORY_EXCEEDED', what)
  }

  #ending(reason: string): GatewayError {
    return this.#stepError('PLUGIN_START_FAILED', `ended the trial process, or somebody else did (${reason})`)
  }

  #stepError(code: ErrorCode, what: string, cause?: Error | null): GatewayError {
    const step = this.#running?.step ?? null
    if (step === null) {
      return new GatewayError('TRIAL_FAILED', `The trial failed before it reached a plugin: it ${what}`)
    }
    const { instance, name } = step
    const message = `Cannot start plugin "${instance}": ${name} ${what}`
    return new GatewayError(code, message, { plugin: instance, cause: cause ?? undefined })
  }

  get #isFirstTrial(): boolean {
    return this.#trials <= 1
  }

  #grownBytes(): number | null {
    const bytes = this.pid === undefined ? null : residentBytes(this.pid)
    return bytes === null || this.#bytesAtStart === null ? null : bytes - this.#bytesAtStart
  }

  #fail(error: GatewayError, isCertain: boolean): void {
    this.#isBroken = true
    this.#running?.verdict.resolve({ kind: 'failed', error, isCertain })
    this.#signalGroup()
  }

  #endRunning(): void {
    const running = this.#running
    this.#running = null
    clearInterval(running?.timer)
    running?.rested.resolve()
  }

  #giveUp(reason: string): void {
    this.#ready.reject(new GatewayError('TRIAL_FAILED', `The trial process ${reason}`))
    this.#isBroken = true
    this.#signalGroup()
  }

  #send(message: SupervisorToTrial): void {
    // An error means that it is ending; its exit says the rest.
    this.#child.send(message, () => {})
  }

  /** To the whole group, which outlives its first process when plugin code started others. */
  #signalGroup(): void {
    // Once it has ended, the number can be somebody else's.
    if (this.pid === undefined || this.#hasEnded) return
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // All have ended.
    }
  }
}

/** What V8 ends a process with; which of them depends on the place and the build. */
const ABORTS: ReadonlySet<string> = new Set(['SIGABRT', 'SIGTRAP', 'SIGILL', 'exit code 134'])

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
