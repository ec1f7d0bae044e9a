import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestResponse } from '../support/test-connection.ts'
import { type BaseAnswer, readBase, workerOf } from '../support/traffic.ts'

/**
 * An upstream that knows what the security plugin must have written on each request, and tells the client who it was
 * that passed the request on.
 */
export class CheckingUpstream implements AsyncDisposable {
  readonly port: number
  /** What clients and tests cannot guess: only the security plugin's code holds it. */
  readonly secret: string
  /** The heads of requests that came without having passed the security plugin. */
  readonly unguarded: readonly string[]
  readonly #server: Server

  private constructor(server: Server, secret: string, unguarded: string[]) {
    this.#server = server
    this.secret = secret
    this.unguarded = unguarded
    this.port = (server.address() as AddressInfo).port
  }

  static async start(secret: string): Promise<CheckingUpstream> {
    const unguarded: string[] = []
    const server = createServer((request, response) => answer(request, response, secret, unguarded))
    // The gateway closes first: what is lost is never for a connection that we ended.
    server.keepAliveTimeout = 120_000
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new CheckingUpstream(server, secret, unguarded)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  secret: string,
  unguarded: string[],
): void {
  const { 'x-guard': guard = '', 'x-watch': watch = '', 'x-request-id': id = '' } = request.headers
  if (!guard.toString().startsWith(`${secret}/`)) unguarded.push(request.rawHeaders.join(' '))
  response.writeHead(200, {
    'content-length': 2,
    'x-seen-guard': guard.toString().replace(secret, ''),
    'x-seen-watch': watch,
    'x-worker': workerOf(id.toString()),
  })
  response.end('ok')
}

/** An answer with what the plugins wrote on the request: `/3` and `3` for version 3; '' when they wrote nothing. */
export interface Answer extends BaseAnswer {
  readonly guard: string
  readonly watch: string
}

export function readAnswer(response: TestResponse): Answer {
  return {
    ...readBase(response),
    guard: response.field('x-seen-guard') ?? '',
    watch: response.field('x-seen-watch') ?? '',
  }
}
