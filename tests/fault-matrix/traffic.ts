import { setTimeout as delay } from 'node:timers/promises'
import { type Problem, problemOf } from '../support/answers.ts'
import { TestConnection, type TestResponse } from '../support/test-connection.ts'
import { waitFor } from '../support/wait-for.ts'
import { workerOf } from './checking-upstream.ts'

/** One request's answer. */
export interface Answer {
  readonly status: number
  /** Of the gateway's own answers; '' for the upstream's. */
  readonly code: string
  readonly worker: string
  /** What the plugins wrote on the request: `/3` and `3` for version 3; '' when they wrote nothing. */
  readonly guard: string
  readonly watch: string
}

/** A connection lives this long, so that the next one may come to another worker. */
const REQUESTS_PER_CONNECTION = 10
/** Leaves the machine to the gateway: the matrix is about changes, not about load. */
const PAUSE_MS = 15

/**
 * Clients with one request at a time each: most of them keep their connections for a while, some open one for each
 * request. They try to pass for checked: the header that the security plugin sets comes from the client too.
 */
export class Traffic {
  readonly clients: number
  readonly answers: Answer[] = []
  /** Requests without a whole answer. */
  readonly lost: string[] = []
  readonly #port: number
  /** By client: its requests that have ended. */
  readonly #ended: number[]
  readonly #all: Promise<unknown>
  #isStopped = false

  constructor(port: number, kept: number, fresh: number) {
    this.#port = port
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
      60_000,
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
      await waitFor(isEverywhere, what, 60_000)
    } catch (cause) {
      const latest = JSON.stringify(this.answers.slice(from).slice(-this.clients))
      throw new Error(`It did not come to ${what}: ${this.describe(from)}; the latest: ${latest}`, { cause })
    }
  }

  /** Resolves when every request that is in flight now has ended. */
  async turnsOver(): Promise<void> {
    const from = [...this.#ended]
    await waitFor(
      () => this.#ended.every((count, client) => count > (from[client] ?? 0)),
      'requests to end',
      60_000,
    )
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
    const undo: (() => void)[] = []
    try {
      const connection = await TestConnection.open(
        { after: (run) => void undo.push(run as () => void) },
        this.#port,
      )
      for (let left = requests; left > 0 && !this.#isStopped; left--) {
        await connection.request('GET', '/', [
          'x-guard: forged/1',
          ...(left === 1 ? ['Connection: close'] : []),
        ])
        const response = await connection.response()
        this.answers.push(answerOf(response))
        this.#ended[index] = (this.#ended[index] ?? 0) + 1
        if (response.field('connection') === 'close') return
        await delay(PAUSE_MS)
      }
    } finally {
      for (const run of undo) run()
    }
  }
}

function answerOf(response: TestResponse): Answer {
  const { status } = response
  if (response.field('x-worker') === null) {
    const problem: Problem = problemOf(response)
    return { status, code: problem.code, worker: workerOf(problem.id ?? ''), guard: '', watch: '' }
  }
  return {
    status,
    code: '',
    worker: response.field('x-worker') ?? '',
    guard: response.field('x-seen-guard') ?? '',
    watch: response.field('x-seen-watch') ?? '',
  }
}
