import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { readStrictResponse, type StrictResponse } from '../support/strict-http.ts'

const DEADLINE_MS = 60_000

/** A client on a raw socket that reads answers by the strict reader, and knows how many it may expect. */
export class Client {
  received = ''
  closed = false
  readonly #socket: Socket
  #news = Promise.withResolvers<void>()

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.#socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1')
      this.#news.resolve()
    })
    const onClosed = (): void => {
      this.closed = true
      this.#news.resolve()
    }
    // A reset ends a connection as well; what came before it is judged all the same.
    this.#socket.on('end', onClosed).on('error', onClosed)
  }

  async send(pieces: readonly string[]): Promise<void> {
    if (this.#socket.connecting) await once(this.#socket, 'connect')
    for (const piece of pieces) {
      if (this.closed || !this.#socket.writable) return
      this.#socket.write(piece, 'latin1')
      await turn()
    }
  }

  endSending(): void {
    this.#socket.end()
  }

  /** Resolves when the condition holds or the connection is closed. */
  async until(condition: () => boolean): Promise<void> {
    const deadline = setTimeout(() => this.#news.reject(new Error('It did not end in time')), DEADLINE_MS)
    try {
      while (!this.closed && !condition()) {
        this.#news = Promise.withResolvers()
        await this.#news.promise
      }
    } finally {
      clearTimeout(deadline)
    }
  }

  responses(methods: readonly string[]): StrictResponse[] {
    const found: StrictResponse[] = []
    let at = 0
    for (;;) {
      const next = readStrictResponse(this.received.slice(at), methods[found.length] ?? 'GET', false)
      if (next === null) return found
      found.push(next)
      at += next.length
    }
  }

  rest(methods: readonly string[]): string {
    const length = this.responses(methods).reduce((sum, response) => sum + response.length, 0)
    return this.received.slice(length)
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
