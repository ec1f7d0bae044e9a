import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'

const EVENT_PERIOD_MS = 500

/** A server behind the gateway: answers with what the request was marked with, streams events, and echoes messages. */
export class Origin implements AsyncDisposable {
  readonly url: string
  readonly #server: Server
  readonly #echo: WebSocketServer

  private constructor(server: Server, echo: WebSocketServer) {
    this.#server = server
    this.#echo = echo
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(number: number): Promise<Origin> {
    const server = createServer((request, response) => answer(number, request, response))
    // The gateway lets go of its connections long before: what it loses is none of our doing.
    server.keepAliveTimeout = 60_000
    const echo = new WebSocketServer({ noServer: true, perMessageDeflate: false })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      echo.handleUpgrade(request, socket, head, (opened) => {
        opened.on('message', (message) => opened.send(message))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Origin(server, echo)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#echo.clients) client.terminate()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}

function answer(number: number, request: IncomingMessage, response: ServerResponse): void {
  if (request.url?.startsWith('/live/events') === true) {
    sendEvents(response)
    return
  }
  response.setHeader('x-origin', number)
  response.setHeader('x-seen-stamp', request.headers['x-stamp'] ?? '')
  response.setHeader('x-seen-witness', request.headers['x-witness'] ?? '')
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => response.end(Buffer.concat(pieces)))
}

/** Numbered, so that one that is missing is noticed. */
function sendEvents(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  let next = 0
  const send = (): void => void response.write(`data: ${next++}\n\n`)
  send()
  const timer = setInterval(send, EVENT_PERIOD_MS)
  response.on('close', () => clearInterval(timer))
}
