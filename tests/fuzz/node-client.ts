import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { MemorySocket } from './memory-socket.ts'

/** A response as Node's own parser, in its strict mode, has read it. */
export interface NodeResponse {
  readonly status: number
  readonly minorVersion: number
  readonly rawHeaders: readonly string[]
  readonly rawTrailers: readonly string[]
  /** As latin1. */
  readonly body: string
  readonly upgraded: boolean
}

export interface NodeResponses {
  /** Whole ones only: interim responses, and the final one after them. */
  readonly responses: readonly NodeResponse[]
  readonly final: boolean
  /** The code of the error that the request ended with. */
  readonly error: string | null
}

export interface ResponseInput {
  /** Of the request. */
  readonly method: string
  /** What the upstream sends before it closes. */
  readonly bytes: Buffer
}

/** Reads each byte string as the answer to a request of its own, by `http.request`. */
export async function readWithNodeClient(
  inputs: readonly ResponseInput[],
  headBytesMax: number,
): Promise<NodeResponses[]> {
  const calls = inputs.map(({ method }) => new Call(method, headBytesMax))
  // The request takes its socket in a later turn.
  await new Promise((resolve) => setImmediate(resolve))
  return Promise.all(calls.map((call, i) => call.answer(inputs[i]?.bytes ?? Buffer.alloc(0))))
}

class Call {
  readonly #socket = new MemorySocket()
  readonly #request: ClientRequest
  readonly #responses: NodeResponse[] = []
  readonly #ended: Promise<void>
  #final = false
  #error: string | null = null

  constructor(method: string, headBytesMax: number) {
    const sent = request({
      method,
      host: 'upstream.invalid',
      createConnection: () => this.#socket,
      insecureHTTPParser: false,
      maxHeaderSize: headBytesMax,
    })
    this.#request = sent
    this.#ended = new Promise((resolve) => {
      let response: IncomingMessage | null = null
      sent.on('response', (received) => {
        response = received
        this.#gather(received)
      })
      sent.on('close', () => {
        if (response === null || response.closed) resolve()
        else response.once('close', resolve)
      })
    })
    sent.on('information', ({ statusCode, httpVersionMinor, rawHeaders }) =>
      this.#keep(statusCode, httpVersionMinor, rawHeaders, [], '', false),
    )
    sent.on('upgrade', (received, socket) => {
      this.#final = true
      this.#keep(received.statusCode, received.httpVersionMinor, received.rawHeaders, [], '', true)
      socket.destroy()
    })
    sent.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error.code ?? error.message
    })
    sent.end()
  }

  async answer(bytes: Buffer): Promise<NodeResponses> {
    this.#socket.push(bytes)
    this.#socket.push(null)
    await this.#ended
    this.#request.destroy()
    this.#socket.destroy()
    return { responses: this.#responses, final: this.#final, error: this.#error }
  }

  #gather(received: IncomingMessage): void {
    const chunks: Buffer[] = []
    received.on('data', (chunk: Buffer) => chunks.push(chunk))
    received.on('end', () => {
      if (!received.complete) return
      this.#final = true
      const { statusCode, httpVersionMinor, rawHeaders, rawTrailers } = received
      const body = Buffer.concat(chunks).toString('latin1')
      this.#keep(statusCode, httpVersionMinor, rawHeaders, rawTrailers, body, false)
    })
    received.on('error', (error: NodeJS.ErrnoException) => {
      this.#error ??= error.code ?? error.message
    })
  }

  #keep(
    status: number | undefined,
    minorVersion: number,
    rawHeaders: readonly string[],
    rawTrailers: readonly string[],
    body: string,
    upgraded: boolean,
  ): void {
    this.#responses.push({ status: status ?? 0, minorVersion, rawHeaders, rawTrailers, body, upgraded })
  }
}
