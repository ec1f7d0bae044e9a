import { Agent, request } from 'node:http'
import { waitFor } from '../support/wait-for.ts'

const ANSWER_TIMEOUT_MS = 30_000
const BODY = 'x'.repeat(600)
const COMPLAINTS_MAX = 20

export interface Answer {
  readonly status: number
  readonly body: string
  field(name: string): string
}

/** Clients that ask without a pause: every second one with a connection for each request. */
export class Clients {
  /** What went wrong, the first of it in words. */
  readonly complaints: string[] = []
  failed = 0
  answered = 0
  /** Exchanges that saw parts of two generations. */
  mixed = 0
  readonly #port: number
  readonly #states: ReadonlySet<string>
  readonly #keepAlive: Agent
  /** Which state the answers of each generation have shown. */
  readonly #generations = new Map<string, string>()
  #running: Promise<unknown>[] = []
  #isPaused = true

  /** `states`: the keys of all states that have been saved so far; it grows. */
  constructor(port: number, count: number, states: ReadonlySet<string>) {
    this.#port = port
    this.#states = states
    this.#keepAlive = new Agent({ keepAlive: true, maxSockets: Math.ceil(count / 2) })
    this.count = count
  }

  readonly count: number

  resume(): void {
    this.#isPaused = false
    this.#running = Array.from({ length: this.count }, (_, index) => this.#run(index))
  }

  /** Resolves when nothing is under way any more. */
  async pause(): Promise<void> {
    this.#isPaused = true
    await Promise.all(this.#running)
  }

  /** Resolves when so many more were answered. */
  async traffic(count: number): Promise<void> {
    const goal = this.answered + count
    await waitFor(() => this.answered + this.failed >= goal, `${count} answers`)
  }

  close(): void {
    this.#keepAlive.destroy()
  }

  async #run(index: number): Promise<void> {
    const agent = index % 2 === 0 ? false : this.#keepAlive
    for (let turn = 0; !this.#isPaused; turn++) {
      const body = turn % 4 === 0 ? BODY : ''
      try {
        this.#judge(await ask(this.#port, { path: `/work/${index}`, agent, body }), body)
      } catch (thrown) {
        this.failed++
        this.#complain(`${agent === false ? 'a new connection' : 'keep-alive'}: ${String(thrown)}`)
      }
    }
  }

  #judge(answer: Answer, body: string): void {
    if (answer.status !== 200 || answer.body !== body) {
      this.failed++
      this.#complain(`${answer.status}, ${answer.body.length} bytes: ${answer.body.slice(0, 300)}`)
      return
    }
    this.answered++
    const state =
      `code ${answer.field('x-stamp')}, config ${answer.field('x-witness')}, ` +
      `route ${answer.field('x-route')}, origin ${answer.field('x-origin')}`
    const seen = [answer.field('x-seen-stamp'), answer.field('x-seen-witness')]
    const isOne =
      seen[0] === answer.field('x-stamp') &&
      seen[1] === answer.field('x-witness') &&
      this.#states.has(state) &&
      this.#isOfItsGeneration(answer.field('x-cardea-generation'), state)
    if (isOne) return
    this.mixed++
    this.#complain(`two generations in one exchange: ${state}; the origin saw ${seen.join(' and ')}`)
  }

  /** All answers of a generation show one state. */
  #isOfItsGeneration(generation: string, state: string): boolean {
    if (generation === '') return true
    const known = this.#generations.get(generation)
    if (known === undefined) this.#generations.set(generation, state)
    return known === undefined || known === state
  }

  #complain(text: string): void {
    if (this.complaints.length < COMPLAINTS_MAX) this.complaints.push(text)
  }
}

export interface Question {
  readonly path: string
  /** False: a connection of its own. */
  readonly agent: Agent | false
  readonly body?: string
}

/** Rejects when the answer is cut, or does not come. */
export function ask(port: number, { path, agent, body = '' }: Question): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const method = body === '' ? 'GET' : 'POST'
  const asked = request({ host: '127.0.0.1', port, path, agent, method, timeout: ANSWER_TIMEOUT_MS })
  asked.on('timeout', () => asked.destroy(new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)))
  asked.on('error', reject)
  asked.on('response', (response) => {
    let text = ''
    response.setEncoding('latin1').on('data', (piece: string) => {
      text += piece
    })
    response.on('error', reject)
    response.on('end', () => {
      resolve({
        status: response.statusCode ?? 0,
        body: text,
        field: (name) => String(response.headers[name] ?? ''),
      })
    })
  })
  asked.end(body === '' ? undefined : body)
  return promise
}
