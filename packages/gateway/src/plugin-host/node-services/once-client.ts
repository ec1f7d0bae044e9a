import { randomInt } from 'node:crypto'
import type { Log } from '@cardea/sdk'
import { Backoff } from '../../base/backoff.ts'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { ONCE_LIMITS } from '../../config/limits.ts'
import type { NodeAnswer, NodeRequest } from '../../protocol/node-services.ts'

export interface OnceClientOptions {
  readonly clock: NodeClock
  send(request: NodeRequest): void
}

export type TaskFunction = (signal: AbortSignal) => void | Promise<void>

/** One instance that would run the task. */
interface Candidate {
  readonly run: TaskFunction
  readonly log: Log
}

/** `host.once` in a worker: runs what the supervisor has granted, one instance at a time. */
export class OnceClient {
  readonly #options: OnceClientOptions
  /** By `keyOf`: those that an instance here would run, or that still end. */
  readonly #tasks = new Map<string, OnceTask>()
  /** Of all tasks; by chance at first, since a process was here before this one. */
  #lastClaim = randomInt(2 ** 47)

  constructor(options: OnceClientOptions) {
    this.#options = options
  }

  /** Returns what takes the candidate back. */
  add(plugin: string, name: string, run: TaskFunction, log: Log): () => void {
    const key = keyOf(plugin, name)
    let task = this.#tasks.get(key)
    if (task === undefined) {
      const nextClaim = (): number => {
        this.#lastClaim += 1
        return this.#lastClaim
      }
      const onEmpty = (): boolean => this.#tasks.delete(key)
      task = new OnceTask(plugin, name, { ...this.#options, nextClaim, onEmpty })
      this.#tasks.set(key, task)
    }
    return task.add({ run, log })
  }

  hello(): void {
    for (const task of this.#tasks.values()) task.claim()
  }

  granted({ plugin, task, claim }: NodeAnswer & { kind: 'once-granted' }): void {
    this.#tasks.get(keyOf(plugin, task))?.granted(claim)
  }

  denied({ plugin, task, claim }: NodeAnswer & { kind: 'once-denied' }): void {
    this.#tasks.get(keyOf(plugin, task))?.denied(claim)
  }
}

/** Names of plugins hold no slash. */
const keyOf = (plugin: string, task: string): string => `${plugin}/${task}`

interface OnceTaskOptions extends OnceClientOptions {
  nextClaim(): number
  /** No instance here would run it any more. */
  onEmpty(): void
}

class OnceTask {
  readonly #plugin: string
  readonly #name: string
  readonly #options: OnceTaskOptions
  readonly #candidates: Candidate[] = []
  #isGranted = false
  /** The newest one: answers to others come too late. */
  #claim = 0
  /** What runs, or ends, or waits to run again; null: nothing does. */
  #run: TaskRun | null = null

  constructor(plugin: string, name: string, options: OnceTaskOptions) {
    this.#plugin = plugin
    this.#name = name
    this.#options = options
  }

  add(candidate: Candidate): () => void {
    this.#candidates.push(candidate)
    if (this.#candidates.length === 1 && this.#run === null) this.claim()
    else this.#next()
    return () => this.#remove(candidate)
  }

  claim(): void {
    this.#claim = this.#options.nextClaim()
    this.#options.send({
      kind: 'once-claim',
      plugin: this.#plugin,
      task: this.#name,
      claim: this.#claim,
      held: this.#isGranted,
    })
  }

  granted(claim: number): void {
    if (claim !== this.#claim) return
    this.#isGranted = true
    this.#next()
  }

  /** It runs elsewhere, or will. */
  denied(claim: number): void {
    if (claim !== this.#claim) return
    this.#isGranted = false
    this.#run?.end()
  }

  #remove(candidate: Candidate): void {
    const index = this.#candidates.indexOf(candidate)
    if (index < 0) return
    this.#candidates.splice(index, 1)
    if (this.#run?.candidate === candidate) this.#run.end()
    else this.#next()
  }

  /** Called whenever something has changed: runs the first candidate, or gives the task away. */
  #next(): void {
    if (this.#run !== null) return
    const [candidate] = this.#candidates
    if (candidate === undefined) {
      this.#isGranted = false
      this.#options.send({ kind: 'once-release', plugin: this.#plugin, task: this.#name })
      this.#options.onEmpty()
      return
    }
    if (!this.#isGranted) return
    this.#run = new TaskRun(this.#name, candidate, this.#options.clock, () => {
      this.#run = null
      this.#next()
    })
  }
}

/** A task in one instance, from its first start to its end, failures and new tries included. */
class TaskRun {
  readonly candidate: Candidate
  readonly #name: string
  readonly #clock: NodeClock
  readonly #onEnd: () => void
  readonly #controller = new AbortController()
  readonly #backoff = new Backoff({
    firstDelayMs: ONCE_LIMITS.retryDelayMs,
    delayMaxMs: ONCE_LIMITS.retryDelayMaxMs,
    healthyMs: ONCE_LIMITS.retryDelayMaxMs,
  })
  #isRunning = false
  #isEnding = false
  #hasEnded = false
  #cancelTimer: (() => void) | null = null

  constructor(name: string, candidate: Candidate, clock: NodeClock, onEnd: () => void) {
    this.#name = name
    this.candidate = candidate
    this.#clock = clock
    this.#onEnd = onEnd
    // Not before the entry point that asks for it has gone on.
    queueMicrotask(() => void this.#start())
  }

  /** The task must end here. `onEnd` is called when it has, or has had its time. */
  end(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#controller.abort(new DOMException(`The task "${this.#name}" ends here`, 'AbortError'))
    if (!this.#isRunning) {
      this.#finish()
      return
    }
    this.#cancelTimer = this.#clock.after(ONCE_LIMITS.abortGraceMs, () => {
      this.candidate.log.warn(
        `The task "${this.#name}" goes on after its signal aborted; it may run in another worker meanwhile`,
      )
      this.#finish()
    })
  }

  async #start(): Promise<void> {
    if (this.#isEnding) return
    this.#isRunning = true
    const startedAt = this.#clock.nowMs()
    try {
      await this.candidate.run(this.#controller.signal)
    } catch (error) {
      // What an aborted task throws is its way to end.
      if (!this.#isEnding) this.#retry(error, this.#clock.nowMs() - startedAt)
    }
    this.#isRunning = false
    if (this.#isEnding) this.#finish()
  }

  #retry(error: unknown, livedMs: number): void {
    const delayMs = Math.max(this.#backoff.nextDelayMs(livedMs), ONCE_LIMITS.retryDelayMs)
    this.candidate.log.error(`The task "${this.#name}" failed: ${messageOf(error)}`, { error, delayMs })
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      this.#cancelTimer = null
      void this.#start()
    })
  }

  #finish(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#cancelTimer?.()
    this.#onEnd()
  }
}

/** Throws TypeError on a name or a function that is none. */
export function checkTask(name: string, run: TaskFunction): void {
  if (typeof run !== 'function') throw new TypeError(`A task is a function, not ${typeof run}`)
  if (typeof name !== 'string' || name === '' || name.length > ONCE_LIMITS.nameUnitsMax) {
    throw new TypeError(`A task has a name of 1 to ${ONCE_LIMITS.nameUnitsMax} characters`)
  }
}
