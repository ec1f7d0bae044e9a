import { type ClientRequest, request } from 'node:http'
import { WebSocket } from 'ws'
import { waitFor } from '../support/wait-for.ts'

const ECHO_PERIOD_MS = 2_000
const OPEN_AT_ONCE = 25

/** Streams that stay open for the whole soak: WebSockets that echo now and then, and responses of numbered events. */
export class Streams {
  readonly complaints: string[] = []
  /** Streams that ended, broke, or brought something else than the next message. */
  cut = 0
  /** Messages and events that came as they should. */
  received = 0
  readonly #port: number
  readonly #sockets: EchoClient[] = []
  readonly #requests: ClientRequest[] = []
  #opened = 0
  #isClosing = false

  constructor(port: number) {
    this.#port = port
  }

  /** Resolves when each of them has brought something. */
  async open(webSockets: number, responses: number): Promise<void> {
    for (let index = 0; index < webSockets + responses; index++) {
      if (index < webSockets) this.#openWebSocket(index)
      else this.#openResponse()
      await this.#haveOpened(index + 1 - OPEN_AT_ONCE)
    }
    await this.#haveOpened(webSockets + responses)
  }

  /** Resolves when every one of them has brought something since the call: all are alive. */
  async proveAlive(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.echoes()))
  }

  close(): void {
    this.#isClosing = true
    for (const socket of this.#sockets) socket.close()
    for (const asked of this.#requests) asked.destroy()
  }

  #haveOpened(count: number): Promise<unknown> {
    return waitFor(() => this.cut > 0 || this.#opened >= count, `${count} open streams`)
  }

  #openWebSocket(index: number): void {
    const client = new EchoClient(`ws://127.0.0.1:${this.#port}/live/echo`, (index * 37) % ECHO_PERIOD_MS, {
      onOpened: () => this.#opened++,
      onMessage: () => this.received++,
      onCut: (reason) => this.#onCut(`WebSocket ${index}: ${reason}`),
    })
    this.#sockets.push(client)
  }

  #openResponse(): void {
    const asked = request({ host: '127.0.0.1', port: this.#port, path: '/live/events', agent: false })
    this.#requests.push(asked)
    asked.on('error', (error) => this.#onCut(`events: ${error.message}`))
    asked.on('response', (response) => {
      if (response.statusCode !== 200) this.#onCut(`events: answered ${response.statusCode}`)
      let next = 0
      let rest = ''
      response.setEncoding('latin1').on('data', (piece: string) => {
        const events = `${rest}${piece}`.split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) {
          if (event !== `data: ${next}`) this.#onCut(`events: ${event} instead of ${next}`)
          if (next === 0) this.#opened++
          next++
          this.received++
        }
      })
      response.on('error', (error) => this.#onCut(`events: ${error.message}`))
      response.on('end', () => this.#onCut('events: ended'))
    })
    asked.end()
  }

  #onCut(reason: string): void {
    if (this.#isClosing) return
    this.cut++
    if (this.complaints.length < 20) this.complaints.push(reason)
  }
}

interface EchoEvents {
  onOpened(): void
  onMessage(): void
  onCut(reason: string): void
}

class EchoClient {
  readonly #socket: WebSocket
  readonly #events: EchoEvents
  readonly #timer: NodeJS.Timeout
  #sent = 0
  #received = 0
  #isCut = false

  constructor(url: string, firstDelayMs: number, events: EchoEvents) {
    this.#events = events
    this.#socket = new WebSocket(url, { perMessageDeflate: false })
    this.#socket.on('open', () => this.#send())
    this.#socket.on('message', (message) => this.#onMessage(String(message)))
    this.#socket.on('error', (error) => this.#cut(error.message))
    this.#socket.on('close', (code) => this.#cut(`closed with ${code}`))
    this.#timer = setInterval(() => this.#send(), ECHO_PERIOD_MS + firstDelayMs)
  }

  async echoes(): Promise<void> {
    this.#send()
    const goal = this.#sent
    await waitFor(() => this.#isCut || this.#received >= goal, 'the echo of a WebSocket')
  }

  close(): void {
    clearInterval(this.#timer)
    this.#socket.terminate()
  }

  #send(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(String(this.#sent++))
  }

  #onMessage(message: string): void {
    if (message !== String(this.#received)) this.#cut(`${message} instead of ${this.#received}`)
    if (this.#received === 0) this.#events.onOpened()
    this.#received++
    this.#events.onMessage()
  }

  #cut(reason: string): void {
    if (this.#isCut) return
    this.#isCut = true
    this.#events.onCut(reason)
  }
}
