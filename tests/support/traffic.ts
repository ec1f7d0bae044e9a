import { setTimeout as delay } from 'node:timers/promises'
import { problemOf } from './answers.ts'
import { TestConnection, type TestResponse } from './test-connection.ts'
import { waitFor } from './wait-for.ts'

/** One request's answer, as far as everybody looks at it. */
export interface BaseAnswer {
  readonly status: number
  /** Of the gateway's own answers; '' for others. */
  readonly code: string
  /** The number of the worker that gave it; '' for none. */
  readonly worker: string
}

export interface TrafficOptions<Answer extends BaseAnswer> {
  readonly port: number
  /** Clients that keep their connections for a while, and clients that open one for each request. */
  readonly kept: number
  readonly fresh: number
  /** Field lines of each request. */
  readonly lines?: readonly string[]
  read(response: TestResponse): Answer
}

/** A connection lives this long, so that the next one may come to another worker. */
const REQUESTS_PER_CONNECTION = 10
/** Leaves the machine to the gateway: this is about changes, not about load. */
const PAUSE_MS = 15

/** Clients with one request at a time each, until they are stopped. */
export class Traffic<Answer extends BaseAnswer = BaseAnswer> {
  readonly clients: number
  readonly answers: Answer[] = []
  /** Requests without a whole answer. */
  readonly lost: string[] = []
  readonly #options: TrafficOptions<Answer>
  /** By client: its requests that have ended. */
  readonly #ended: number[]
  readonly #all: Promise<unknown>
  #isStopped = false

  constructor(options: TrafficOptions<Answer>) {
    const { kept, fresh } = options
    this.#options = options
    this.clients = kept + fresh
    const requests = [...Array(kept).fill(REQUESTS_PER_CONNECTION), ...Array(fresh).fill(1)]
    this.#ended = requests.map(() => 0)
    this.#all = Promise.all(requests.map((perConnection, index) => this.#client(index, perConnection)))
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#all
  }

  /** Resolves when each worker has answered so many more requests. */
  async flows(answers: number, workers: number): Promise<void> {
    const from = this.answers.length
    await waitFor(
      () => {
        const counts = new Map<string, number>()
        for (const { worker } of this.answers.slice(from)) counts.set(worker, (counts.get(worker) ?? 0) + 1)
        return [...counts.values()].filter((count) => count >= answers).length >= workers
      },
      `${answers} answers of each worker; ${this.describe(from)}`,
    )
  }

  /** Resolves when the latest answers of all workers are of this kind. */
  async turns(isSuch: (answer: Answer) => boolean, what: string, workers: number): Promise<void> {
    const from = this.answers.length
    const isEverywhere = (): boolean => {
      const latest = new Map(this.answers.slice(from).map((answer) => [answer.worker, answer]))
      // Those that were answered before there was a generation name no worker.
      if (latest.size > 1) latest.delete('')
      return latest.size >= workers && [...latest.values()].every(isSuch)
    }
    try {
      await waitFor(isEverywhere, what)
    } catch (cause) {
      const latest = JSON.stringify(this.answers.slice(from).slice(-this.clients))
      throw new Error(`It did not come to ${what}: ${this.describe(from)}; the latest: ${latest}`, { cause })
    }
  }

  /** Resolves when every request that is in flight now has ended. */
  async turnsOver(): Promise<void> {
    const from = [...this.#ended]
    await waitFor(() => this.#ended.every((count, client) => count > (from[client] ?? 0)), 'requests to end')
  }

  /** What the answers since then were, for people. */
  describe(from: number): string {
    const counts = new Map<string, number>()
    for (const { status, code } of this.answers.slice(from)) {
      const what = code === '' ? `${status}` : `${status} ${code}`
      counts.set(what, (counts.get(what) ?? 0) + 1)
    }
    return [...counts].map(([what, count]) => `${count} × ${what}`).join(', ') || 'no answers'
  }

  async #client(index: number, requests: number): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#useConnection(index, requests)
      } catch (error) {
        this.lost.push(String(error))
        this.#ended[index] = (this.#ended[index] ?? 0) + 1
        await delay(PAUSE_MS)
      }
    }
  }

  async #useConnection(index: number, requests: number): Promise<void> {
    const { lines = [], read } = this.#options
    const undo: (() => void)[] = []
    try {
      const connection = await TestConnection.open(
        { after: (run) => void undo.push(run as () => void) },
        this.#options.port,
      )
      for (let left = requests; left > 0 && !this.#isStopped; left--) {
        await connection.request('GET', '/', left === 1 ? [...lines, 'Connection: close'] : lines)
        const response = await connection.response()
        this.answers.push(read(response))
        this.#ended[index] = (this.#ended[index] ?? 0) + 1
        if (response.field('connection') === 'close') return
        await delay(PAUSE_MS)
      }
    } finally {
      for (const run of undo) run()
    }
  }
}

/** What every answer has; the worker is named by a field `x-worker`, or by the request id of the gateway's own answers. */
export function readBase(response: TestResponse): BaseAnswer {
  const { status } = response
  const worker = response.field('x-worker')
  if (worker !== null) return { status, code: '', worker }
  const { code, id = '' } = problemOf(response)
  return { status, code, worker: workerOf(id) }
}

/** The number of the worker that gave a request its id. */
export function workerOf(requestId: string): string {
  return /^[0-9a-f]+-(\d+)-/.exec(requestId)?.[1] ?? ''
}
