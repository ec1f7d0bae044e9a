import { type RecordedConnection, RecordingUpstream } from '../support/recording-upstream.ts'
import { readStrictRequest, type StrictRequest, type StrictResponse } from '../support/strict-http.ts'
import type { Attack } from './attack.ts'
import { Client } from './client.ts'

/** An upstream that takes strict requests only, and answers each with what it read. */
export class StrictUpstream implements AsyncDisposable {
  /** Whole requests by the number of the exchange they came from; '' for those without one. */
  readonly seen = new Map<string, StrictRequest[]>()
  /** What it could not read. */
  readonly violations: string[] = []
  readonly #upstream: RecordingUpstream

  private constructor(upstream: RecordingUpstream) {
    this.#upstream = upstream
  }

  static async start(): Promise<StrictUpstream> {
    const upstream: StrictUpstream = new StrictUpstream(
      await RecordingUpstream.start((connection) => upstream.#serve(connection)),
    )
    return upstream
  }

  get url(): string {
    return this.#upstream.url
  }

  seenBy(id: string): readonly StrictRequest[] {
    return this.seen.get(id) ?? []
  }

  #serve(connection: RecordedConnection): void {
    try {
      for (let next = readStrictRequest(connection.pending); next !== null; ) {
        connection.take(next.length)
        const id = /id\d{4}/.exec(next.target)?.[0] ?? ''
        this.seen.set(id, [...this.seenBy(id), next])
        connection.write(answerTo(next))
        next = readStrictRequest(connection.pending)
      }
    } catch (error) {
      this.violations.push(`${error}: ${JSON.stringify(connection.pending)}`)
      connection.reset()
    }
    if (connection.ended) connection.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upstream[Symbol.asyncDispose]()
  }
}

export const lineOf = ({ method, target, body }: StrictRequest): string => `${method} ${target} ${body}`

function answerTo(request: StrictRequest): string {
  const text = lineOf(request)
  return `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${request.method === 'HEAD' ? '' : text}`
}

/** Sends the attack in these pieces and sees it through. Resolves with what is wrong, or null. */
export async function carryOut(port: number, attack: Attack, id: string, cut: Cut): Promise<string | null> {
  const client = new Client(port)
  try {
    await client.send(cut(withId(attack.send, id)))
    const methods = attack.seen.map((line) => line.slice(0, line.indexOf(' ')))
    await client.until(() => client.responses(methods).length >= attack.answers.length)
    if (attack.after === 'open') {
      await client.send([`GET /last?${id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`])
      methods.push('GET')
    } else if (attack.after === 'waits') client.endSending()
    await client.until(() => client.closed)
    return judge(attack, client.responses(methods), client.rest(methods), id)
  } catch (error) {
    return `${error}; received ${JSON.stringify(client.received)}`
  } finally {
    client.destroy()
  }
}

function judge(
  attack: Attack,
  responses: readonly StrictResponse[],
  rest: string,
  id: string,
): string | null {
  if (rest !== '') return `bytes after the answers: ${JSON.stringify(rest)}`
  const statuses = attack.after === 'open' ? [...attack.answers, 200] : attack.answers
  const got = responses.map(({ status }) => status)
  if (got.join() !== statuses.join()) return `answers ${got.join()}`
  const lines = attack.after === 'open' ? [...attack.seen, `GET /last?id0000 `] : attack.seen
  for (const [index, line] of lines.entries()) {
    const body = responses[index]?.body
    if (!line.startsWith('HEAD') && body !== withId(line, id))
      return `answer ${index} is ${JSON.stringify(body)}`
  }
  return null
}

export const withId = (text: string, id: string): string => text.replaceAll('id0000', id)

/** How the bytes are cut into pieces, each sent in a turn of its own. */
export type Cut = (text: string) => readonly string[]

/** Past this length cutting into bytes only takes time. */
const BYTE_BY_BYTE_MAX = 1_000

export const CUTS: readonly Cut[] = [
  (text) => [text],
  (text) => (text.length <= BYTE_BY_BYTE_MAX ? text.split('') : text.split(/(?<=:)/)),
  (text) => text.split(/(?<=\r)/),
  (text) => text.split(/(?<=\n)/),
  (text) => text.split(/(?=[:;\r])|(?<=\r\n\r)/),
]
