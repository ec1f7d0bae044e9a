import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { waitFor } from '../../tests/support/wait-for.ts'
import type { PollingReport, PollingRequest, PollingSetup } from './polling.ts'

const DEADLINE_MS = 60_000
/** Seldom enough for its cost to be nothing. */
const TAKE_INTERVAL_MS = 1_000

/** A client in a thread of its own that asks again and again, and tells when each mark was first seen on an answer. */
export class Poller implements AsyncDisposable {
  readonly #thread: Worker
  readonly #firstAt = new Map<string, number>()
  #taken: PromiseWithResolvers<readonly number[]> | null = null
  #fault: unknown = null

  private constructor(port: number) {
    const workerData: PollingSetup = { port }
    this.#thread = new Worker(new URL('polling.ts', import.meta.url), { workerData })
    this.#thread.on('message', (report: PollingReport) => {
      if (report.kind === 'first') this.#firstAt.set(report.mark, report.at)
      else this.#taken?.resolve(report.latencies)
    })
    this.#thread.on('error', (error) => {
      this.#fault = error
      this.#taken?.reject(error)
    })
  }

  /** Resolves with one that has been answered. */
  static async start(port: number): Promise<Poller> {
    const poller = new Poller(port)
    await waitFor(() => poller.#checked().#firstAt.size, 'the first answer', DEADLINE_MS)
    return poller
  }

  /** When the first answer with this mark had come, by the clock of `now()`; waits for it. */
  firstAt(mark: string): Promise<number> {
    return waitFor(() => this.#checked().#firstAt.get(mark), `an answer with ${mark}`, DEADLINE_MS)
  }

  /** Milliseconds of each request since the last call. */
  takeLatencies(): Promise<readonly number[]> {
    const wanted: PollingRequest = 'take'
    this.#taken = Promise.withResolvers()
    this.#checked().#thread.postMessage(wanted)
    return this.#taken.promise
  }

  /** Milliseconds of each of so many requests or more, from now on. */
  async latenciesOf(count: number): Promise<number[]> {
    await this.takeLatencies()
    const taken: number[] = []
    while (taken.length < count) {
      await delay(TAKE_INTERVAL_MS)
      taken.push(...(await this.takeLatencies()))
    }
    return taken
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate()
  }

  #checked(): this {
    if (this.#fault !== null) throw this.#fault
    return this
  }
}
