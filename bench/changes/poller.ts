import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { waitFor } from '../../tests/support/wait-for.ts'

/** Between an answer and the next question: finer than what is measured, and far from a load. */
const PAUSE_MS = 1
const DEADLINE_MS = 60_000

/** A client that asks again and again over one connection, and notes when each mark was first seen on an answer. */
export class Poller implements AsyncDisposable {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #firstAt = new Map<string, number>()
  #latencies: number[] = []
  #isStopped = false
  #running: Promise<void> = Promise.resolve()
  #fault: unknown = null

  private constructor(port: number) {
    this.#port = port
  }

  /** Resolves with one that has been answered. */
  static async start(port: number): Promise<Poller> {
    const poller = new Poller(port)
    await waitFor(() => poller.#ask(), 'the first answer', DEADLINE_MS)
    poller.#running = poller.#run().catch((thrown) => {
      poller.#fault = thrown
    })
    return poller
  }

  /** `performance.now()` when the first answer with this mark had come; waits for it. */
  firstAt(mark: string): Promise<number> {
    return waitFor(() => this.#checked().#firstAt.get(mark), `an answer with ${mark}`, DEADLINE_MS)
  }

  /** Resolves when so many more were answered. */
  async requests(count: number): Promise<void> {
    const goal = this.#latencies.length + count
    await waitFor(() => this.#checked().#latencies.length >= goal, `${count} answers`, DEADLINE_MS * 10)
  }

  /** Milliseconds of each request since the last call. */
  takeLatencies(): number[] {
    const taken = this.#latencies
    this.#latencies = []
    return taken
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await this.#running
    this.#agent.destroy()
  }

  #checked(): this {
    if (this.#fault !== null) throw this.#fault
    return this
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const askedAt = performance.now()
      const mark = await this.#ask()
      const now = performance.now()
      this.#latencies.push(now - askedAt)
      if (!this.#firstAt.has(mark)) this.#firstAt.set(mark, now)
      await delay(PAUSE_MS)
    }
  }

  /** The mark of the answer. Rejects when it is none. */
  #ask(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const asked = request({ host: '127.0.0.1', port: this.#port, agent: this.#agent }, (response) => {
      const mark = response.headers['x-mark']
      response.resume().on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200 && typeof mark === 'string') resolve(mark)
        else reject(new Error(`It was answered ${response.statusCode}`))
      })
    })
    asked.on('error', reject)
    asked.end()
    return promise
  }
}
