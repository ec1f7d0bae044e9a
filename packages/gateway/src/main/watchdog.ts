import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { Log } from '@cardea/sdk'
import { Backoff } from '../base/backoff.ts'
import { messageOf } from '../base/errors.ts'
import { NOBODY, runningMark } from '../base/running-mark.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import { WATCHDOG_LIMITS } from '../config/watchdog-limits.ts'
import {
  type SeizeFunction,
  type Stall,
  WATCHDOG_SYMBOL,
  WatchdogCell,
  type WatchdogData,
  type WatchdogMessage,
} from '../protocol/watchdog.ts'
import { childEntryFile } from './child-slot.ts'

export interface WatchdogOptions {
  readonly log: Log
  /** A plugin is about to be ended. The main thread stands still within it: nothing may be done but take notes. */
  onSeized: SeizeFunction
  /** It has been ended, and with it all that called it; or nobody knows, for the thread ended in between. */
  onEnded(): void
  /** The event loop stood still for longer than the limit and went on by itself. */
  onPassed(stall: Stall): void
}

const CELLS = Object.keys(WatchdogCell).length

/** The main thread's side of the thread that watches its event loop. */
export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #cells = new Int32Array(new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT))
  readonly #backoff = new Backoff({
    firstDelayMs: PROCESS_LIMITS.respawnDelayMs,
    delayMaxMs: PROCESS_LIMITS.respawnDelayMaxMs,
    healthyMs: PROCESS_LIMITS.respawnHealthyMs,
  })
  #thread: Worker | null = null
  /** A plugin was seized, and the thread has not said yet that it is ended. */
  #isSeized = false
  #beat: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined

  constructor(options: WatchdogOptions) {
    this.#options = options
    Object.defineProperty(globalThis, Symbol.for(WATCHDOG_SYMBOL), {
      value: ((...seized) => {
        this.#isSeized = true
        options.onSeized(...seized)
      }) satisfies SeizeFunction,
      configurable: true,
    })
  }

  /** Begins to watch unless it does already, or the limit is 0. Resolves when it watches. */
  async start(stallMs: number): Promise<void> {
    if (stallMs === 0 || this.#beat !== undefined) return
    Atomics.store(this.#cells, WatchdogCell.stallMs, stallMs)
    this.#beat = setInterval(() => this.#giveSign(), WATCHDOG_LIMITS.beatMs).unref()
    process.on('exit', this.#letDetach)
    await this.#startThread()
  }

  /** Sets another limit, 0 for none. Nothing happens when it was never started. */
  apply(stallMs: number): void {
    Atomics.store(this.#cells, WatchdogCell.stallMs, stallMs)
    if (stallMs === 0) this.#stop()
  }

  /** Never rejects. */
  #startThread(): Promise<void> {
    const startedAt = performance.now()
    const data: WatchdogData = {
      cells: this.#cells.buffer,
      mark: runningMark.buffer,
      heapBytesMax: getHeapStatistics().heap_size_limit,
    }
    const thread = new Worker(childEntryFile('watchdog-thread.ts'), {
      workerData: data,
      name: 'watchdog',
      resourceLimits: {
        maxOldGenerationSizeMb: WATCHDOG_LIMITS.threadHeapMb,
        maxYoungGenerationSizeMb: 2,
      },
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#thread = thread
    thread.on('message', (message: WatchdogMessage) => {
      if (message.kind === 'watching') resolve()
      this.#onMessage(message)
    })
    thread.on('error', (error) => this.#options.log.error(`The watchdog failed: ${messageOf(error)}`))
    thread.on('exit', () => {
      resolve()
      Atomics.store(this.#cells, WatchdogCell.isAttached, 0)
      // It takes its word with it, and what waits for that would wait for ever. The event loop runs, so the plugin does not.
      this.#onEnded()
      this.#onExit(thread, performance.now() - startedAt)
    })
    // After the listeners: they would keep the process alive.
    thread.unref()
    return promise
  }

  /**
   * A process that ends while the thread has the inspector would wait for that, and Node would say so on stderr, among the
   * lines of the log. The signs of life have the thread let go.
   */
  readonly #letDetach = (): void => {
    const { detachMs, detachLookMs } = WATCHDOG_LIMITS
    const until = performance.now() + detachMs
    while (Atomics.load(this.#cells, WatchdogCell.isAttached) === 1 && performance.now() < until) {
      this.#giveSign()
      Atomics.wait(this.#cells, WatchdogCell.isAttached, 1, detachLookMs)
    }
  }

  #giveSign(): void {
    Atomics.add(this.#cells, WatchdogCell.beats, 1)
    // Steps of an instance's start leave it behind: nobody knows when their synchronous part is over.
    runningMark[0] = NOBODY
  }

  #onMessage(message: WatchdogMessage): void {
    if (message.kind === 'ended') this.#onEnded()
    else if (message.kind === 'passed') this.#options.onPassed(message.stall)
  }

  #onEnded(): void {
    if (!this.#isSeized) return
    this.#isSeized = false
    this.#options.onEnded()
  }

  #onExit(thread: Worker, livedMs: number): void {
    if (this.#thread !== thread) return
    this.#thread = null
    const start = (): void => void this.#startThread()
    this.#restart = setTimeout(start, this.#backoff.nextDelayMs(livedMs)).unref()
  }

  #stop(): void {
    clearTimeout(this.#restart)
    clearInterval(this.#beat)
    this.#beat = undefined
    process.off('exit', this.#letDetach)
    const thread = this.#thread
    this.#thread = null
    void thread?.terminate()
  }
}
