import type { Log } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import type { StackMapper } from './stall-stacks.ts'
import {
  TRIAL_LIMITS_DEFAULT,
  type TrialLimits,
  TrialProcess,
  type TrialRequest,
  type TrialStep,
  type Verdict,
} from './trial-process.ts'

export interface TrialRunnerOptions {
  /** main/trial.ts: this folder does not know where the processes stand. */
  readonly entryFile: string
  /** Node's, as the workers have them. */
  readonly flags: readonly string[]
  readonly log: Log
  /** Rewrites what a stack says of this bundle so that it points into the plugin's files. */
  readonly mapStack: StackMapper
  readonly limits?: Partial<TrialLimits>
}

/**
 * Tries plans in a trial process before any worker sees them.
 *
 * One process is kept warm, so that a trial costs no start of a process. It has trials one after another, as changes come
 * one after another; a call that comes meanwhile waits. A process is used again only after a trial that ended well and
 * left nothing behind, and its successor is started in the background.
 */
export class TrialRunner {
  readonly #options: TrialRunnerOptions
  readonly #limits: TrialLimits
  /** What is to be done with processes, in turn. Never rejects. */
  #turns: Promise<unknown> = Promise.resolve()
  /** The one that has the next trial, when it is fit. */
  #process: TrialProcess | null = null
  /** All that have not ended. */
  readonly #living = new Set<TrialProcess>()
  #idleTimer: NodeJS.Timeout | undefined
  #isReplacing = false
  #isClosed = false

  constructor(options: TrialRunnerOptions) {
    this.#options = options
    this.#limits = { ...TRIAL_LIMITS_DEFAULT, ...options.limits }
  }

  /**
   * Starts the plan's instances, checks them and stops them again.
   *
   * Rejects with a GatewayError that names the instance at fault, its cause with the stack mapped to the plugin's files:
   * what the start of an instance throws, PLUGIN_STALLED, PLUGIN_MEMORY_EXCEEDED, or PLUGIN_START_FAILED for one that
   * ended the process. TRIAL_FAILED when there is no trial process to be had, or after `close`. Once the signal is aborted
   * its reason, at once: whatever the instances are at ends with their process.
   */
  async try(request: TrialRequest, signal: AbortSignal = NEVER): Promise<void> {
    if (request.plan.instances.length === 0) return
    const verdict = await this.#inTurn(() => this.#judge(request, signal))
    signal.throwIfAborted()
    if (verdict.kind === 'failed') throw verdict.error
  }

  /** The step that the trial under way has come to. */
  get at(): TrialStep | null {
    return this.#process?.at ?? null
  }

  /** Starts a process for the next trial if there is none. */
  warm(): void {
    if (this.#isClosed || this.#process?.isFit === true) return
    this.#process = this.#start()
    this.#restartIdleTimer()
  }

  /** Ends all processes; a trial under way fails with TRIAL_FAILED. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idleTimer)
    await Promise.all([...this.#living].map((living) => living.kill()))
    await this.#turns
  }

  async #judge(request: TrialRequest, signal: AbortSignal): Promise<Verdict> {
    const verdict = await this.#runIn(await this.#fitProcess(), request, signal)
    const isGivenUp = this.#isClosed || signal.aborted
    if (verdict.kind === 'passed' || verdict.isCertain || isGivenUp) return verdict
    this.#options.log.info('A trial is repeated in a new process, since an earlier one may be to blame', {
      failure: verdict.error.message,
    })
    return this.#runIn(await this.#fitProcess(), request, signal)
  }

  async #runIn(trial: TrialProcess, request: TrialRequest, signal: AbortSignal): Promise<Verdict> {
    signal.throwIfAborted()
    clearTimeout(this.#idleTimer)
    const giveUp = (): void => void trial.kill()
    signal.addEventListener('abort', giveUp)
    const verdict = await trial.run(request)
    signal.removeEventListener('abort', giveUp)
    if (this.#isClosed && verdict.kind === 'failed') return { ...verdict, error: closedError() }
    this.#lookAfter(trial)
    return verdict
  }

  /** A process that can have a trial. Throws TRIAL_FAILED. */
  async #fitProcess(): Promise<TrialProcess> {
    // What the last trial left behind decides whether its process can have this one.
    await this.#process?.rested
    const warm = this.#process
    // One that was killed while nobody needed it says nothing of the next.
    const isReady = warm !== null && (await warm.ready.then(() => warm.isFit).catch(() => false))
    if (!isReady) this.warm()
    const found = this.#process
    if (this.#isClosed || found === null) throw closedError()
    await found.ready
    if (this.#isClosed) throw closedError()
    return found
  }

  /** Once it rests after its trial: it stays, or makes room. */
  #lookAfter(trial: TrialProcess): void {
    trial.rested.then(() => {
      if (this.#isClosed || trial !== this.#process) return
      if (!trial.isFit) {
        this.warm()
        this.#end(trial)
      } else if (trial.isWorn) {
        this.#replace(trial)
      }
      this.#restartIdleTimer()
    })
  }

  /** Its successor comes first: until it is there, trials go on in the old one. */
  #replace(old: TrialProcess): void {
    if (this.#isReplacing) return
    this.#isReplacing = true
    const successor = this.#start()
    successor.ready
      .then(
        () =>
          this.#inTurn(async () => {
            await old.rested
            if (this.#process === old) this.#process = successor
            else this.#end(successor)
            this.#end(old)
          }),
        (thrown) => {
          if (!this.#isClosed) this.#options.log.warn(messageOf(thrown))
        },
      )
      .finally(() => {
        this.#isReplacing = false
      })
  }

  #start(): TrialProcess {
    const started = new TrialProcess({ ...this.#options, limits: this.#limits })
    this.#living.add(started)
    started.ended.then(() => this.#living.delete(started))
    return started
  }

  #end(trial: TrialProcess): void {
    if (this.#process === trial) this.#process = null
    trial.kill()
  }

  #restartIdleTimer(): void {
    clearTimeout(this.#idleTimer)
    if (this.#isClosed) return
    const closeIdle = async (): Promise<void> => {
      if (this.#process !== null) this.#end(this.#process)
    }
    this.#idleTimer = setTimeout(() => this.#inTurn(closeIdle), this.#limits.idleMs)
    this.#idleTimer.unref()
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turns.then(work)
    this.#turns = done.catch(() => {})
    return done
  }
}

/** Of a trial that nobody will give up. */
const NEVER = new AbortController().signal

function closedError(): GatewayError {
  return new GatewayError('TRIAL_FAILED', 'The trial was given up: the gateway ends')
}
