import { type ChildProcess, fork, type SendHandle } from 'node:child_process'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Log } from '@cardea/sdk'
import { Backoff } from '../base/backoff.ts'
import { messageOf } from '../base/errors.ts'
import { LossyChannel } from '../base/lossy-channel.ts'
import { keepOutputsFromBlocking } from '../base/own-outputs.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import { WATCHDOG_DESCRIPTOR } from '../protocol/watchdog.ts'

/** A file in main/ that a process of its own runs. */
export type ChildEntry = 'supervisor.ts' | 'worker.ts' | 'trial.ts'

export interface ChildSlotOptions<FromChild> {
  /** For people: `worker 1`. */
  readonly name: string
  /** The file in main/ that the child runs. */
  readonly entry: Exclude<ChildEntry, 'trial.ts'>
  readonly log: () => Log
  /** The process exists and takes messages; runs again for every successor. */
  onSpawn(): void
  onMessage(message: FromChild): void
  /** Gets the lines that threads of the child write to `WATCHDOG_DESCRIPTOR`, a pipe if this is here. */
  readonly onLine?: (line: string) => void
  /** `offer` takes messages again. */
  readonly onRoom?: () => void
  /** `reason` ends a sentence: `exit code 1`. A successor follows unless the slot was stopped meanwhile. */
  onEnd(reason: string): void
}

/** That of Node 26; newer ones are to be looked at: Node ends at once over a flag that its V8 does not have. */
const LAST_KNOWN_V8_MAJOR = 14
const isKnownV8 = Number.parseInt(process.versions.v8, 10) <= LAST_KNOWN_V8_MAJOR

/**
 * The flags of every process that the gateway starts. SIGUSR1 would open the inspector, and with it the process, to anyone
 * on this machine's loopback. The small young generation (MB): *measured* on a worker, 89 MB instead of 97 under small
 * keep-alive requests and 120 instead of 158 with a connection per request, at the same CPU per request (16.6 µs of both);
 * 1 MB costs 6 % more CPU.
 */
const REQUIRED_FLAGS = ['--disable-sigusr1', '--max-semi-space-size=4']

/**
 * And of those that carry requests or run plugin code. Compiled plugin text that is no longer used would stay in V8's
 * compilation cache: a leak with every change. And no pretenuring: V8 takes it for a sign of long life that many connections
 * are open whenever it collects the small generation, and makes the next ones old at once; then what each held lives until
 * the old generation is collected, and with it all that came after (*measured*: 101 instead of 113 µs for a connection per
 * request, where HAProxy takes 63).
 *
 * Other processes are better off without: with any of these V8 compiles Node's own modules anew, which Node otherwise brings
 * compiled (*measured*: a supervisor takes 310 ms of CPU to load instead of 365, a command 205 instead of 240).
 */
const PLUGIN_FLAGS = [
  '--no-compilation-cache',
  ...(isKnownV8 ? ['--no-allocation-site-pretenuring'] : []),
  ...interruptibleFlags(),
]

/**
 * For the watchdog, which ends plugin code that blocks. Node aborts the process when a timer's callback is ended that way,
 * unless it does not check its stack of async ids. And V8 takes the checks for interrupts out of some loops that allocate
 * (`for (;;) new Array(1000)`) when it optimises them, so that nothing can end these; without that, normalising a path
 * takes 34 ns instead of 22 and all else on a request's way what it did (*measured*).
 */
function interruptibleFlags(): string[] {
  const flags = ['--no-force-async-hooks-checks']
  return isKnownV8 ? [...flags, '--no-turboshaft-loop-unrolling'] : flags
}

/**
 * For glibc, which otherwise has a heap for each of V8's threads, and keeps what each of them needed at its busiest.
 * *Measured* on a worker, a connection per request: 106 to 108 MB instead of 113 to 116 at the same CPU; and over the last
 * 500 of 1,800 swaps resident memory grew by 0.11 KB a swap instead of 0.52. What is set by hand wins.
 */
const ALLOCATOR = { MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX || '1' }

/** A place for one child process. What dies in it is replaced, sooner or later by how long it lived. */
export class ChildSlot<ToChild extends object, FromChild extends object> {
  readonly #options: ChildSlotOptions<FromChild>
  readonly #backoff = new Backoff({
    firstDelayMs: PROCESS_LIMITS.respawnDelayMs,
    delayMaxMs: PROCESS_LIMITS.respawnDelayMaxMs,
    healthyMs: PROCESS_LIMITS.respawnHealthyMs,
  })
  readonly #requests = new PendingRequests<FromChild>()
  #lossy: LossyChannel<ToChild> | null = null
  readonly #ended = Promise.withResolvers<void>()
  #child: ChildProcess | null = null
  #respawnTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: ChildSlotOptions<FromChild>) {
    this.#options = options
  }

  /** Null while there is no process. */
  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  spawn(): void {
    const spawnedAt = performance.now()
    const { onLine } = this.#options
    let child: ChildProcess
    try {
      child = this.#fork()
    } catch (thrown) {
      // For want of memory, say: then there is no child that could emit it.
      setImmediate(() => this.#onEnd(messageOf(thrown), 0))
      return
    }
    // Without descriptors to be had it has none either; its 'error' follows.
    const pipe = child.pid === undefined ? null : child.stdio[WATCHDOG_DESCRIPTOR]
    if (onLine !== undefined && pipe instanceof Readable) createInterface(pipe).on('line', onLine)
    keepOutputsFromBlocking()
    this.#child = child
    this.#lossy = this.#lossyTo(child)
    const end = once((reason: string) => this.#onEnd(reason, performance.now() - spawnedAt))
    child.on('exit', (code, signal) => {
      const reason = signal === null ? `exit code ${code}` : signal
      // What it said last may still be in the channel.
      if (child.connected) child.once('disconnect', () => end(reason))
      else end(reason)
    })
    child.on('error', (error) => {
      // Also emitted for a failed kill or send, when the process is still there and its exit will follow.
      if (child.pid === undefined) end(error.message)
    })
    child.on('message', (message) => this.#options.onMessage(message as FromChild))
    // Without its channel a child cannot be asked to end; plugin code can close it by accident.
    child.on('disconnect', () => {
      setTimeout(() => child.kill('SIGKILL'), PROCESS_LIMITS.orphanGraceMs).unref()
    })
    if (child.pid !== undefined) this.#options.onSpawn()
  }

  #lossyTo(child: ChildProcess): LossyChannel<ToChild> {
    const send = (message: ToChild, onSent: () => void): boolean =>
      !child.connected || child.send(message, undefined, {}, onSent)
    return new LossyChannel(send, () => this.#options.onRoom?.())
  }

  #fork(): ChildProcess {
    const { entry, onLine } = this.#options
    return fork(childEntryFile(entry), {
      serialization: 'advanced',
      execArgv: childFlags(entry),
      env: { ...process.env, ...ALLOCATOR },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...(onLine === undefined ? [] : ['pipe' as const])],
    })
  }

  /** Dropped when there is no process: what its successor must know, it gets at its start. */
  send(message: ToChild, handle?: ListenHandle): void {
    if (this.#child?.connected !== true) return
    // An error means that the child is ending; its exit says the rest.
    this.#child.send(message, handle as SendHandle | undefined, () => {})
  }

  /** For what may be lost; see `LossyChannel`. Nothing is taken when there is no process. */
  offer(message: ToChild): boolean {
    return this.#lossy?.offer(message) === true
  }

  /** Rejects when the answer does not come in time, or the process ends first. */
  request(
    what: string,
    timeoutMs: number,
    message: (id: number) => ToChild,
    handle?: ListenHandle,
  ): Promise<FromChild> {
    const name = `${what} in ${this.#options.name}`
    if (this.#child?.connected !== true) return Promise.reject(new Error(`${name}: it is not running`))
    const { id, answer } = this.#requests.start(name, timeoutMs)
    this.send(message(id), handle)
    return answer
  }

  /** An answer to `request` has come. */
  answer(id: number, message: FromChild): void {
    this.#requests.settle(id, message)
  }

  /** Ends the process now; a successor follows unless the slot is stopped. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  /** No successor from now on. Resolves when the process is gone; ending it is the caller's part. */
  stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#respawnTimer)
    if (this.#child === null) this.#ended.resolve()
    return this.#ended.promise
  }

  #onEnd(reason: string, livedMs: number): void {
    this.#child = null
    this.#lossy = null
    this.#requests.rejectAll(`it ended (${reason})`)
    this.#options.onEnd(reason)
    if (this.#isStopped) {
      this.#ended.resolve()
      return
    }
    const delayMs = this.#backoff.nextDelayMs(livedMs)
    const { log, name } = this.#options
    log().info(`Starting ${name} again`, { delayMs })
    this.#respawnTimer = setTimeout(() => this.spawn(), delayMs)
  }
}

/** Of a file in main/. As this file: .ts beside the sources, .js beside what was built from them. */
export function childEntryFile(entry: string): string {
  const file = entry.replace(/\.ts$/, extname(import.meta.filename))
  return fileURLToPath(new URL(file, import.meta.url))
}

/**
 * The required flags of that process, and our own: what is set by hand comes later and wins. Not the inspector's: the port
 * is taken.
 */
export function childFlags(entry: ChildEntry, ownFlags: readonly string[] = process.execArgv): string[] {
  const required = entry === 'supervisor.ts' ? REQUIRED_FLAGS : [...REQUIRED_FLAGS, ...PLUGIN_FLAGS]
  const passedOn = ownFlags.filter((flag) => !required.includes(flag) && !flag.startsWith('--inspect'))
  return [...required, ...passedOn]
}

function once<Argument>(run: (argument: Argument) => void): (argument: Argument) => void {
  let hasRun = false
  return (argument) => {
    if (hasRun) return
    hasRun = true
    run(argument)
  }
}
