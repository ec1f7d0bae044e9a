import type { Socket } from 'node:net'

/** Far beyond what anything takes here, and short of the test runner's own limit. */
const DEADLINE_MS = 60_000

/** Reads a socket as one long run of bytes, in the amounts that are asked for. */
export class ByteReader {
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #length = 0
  #ended: 'closed' | 'reset' | null = null
  #wake: (() => void) | null = null

  /** `paced`: nothing is read from the socket but what is asked for, so that a slow reader holds its peer back. */
  constructor(socket: Socket, { paced = false }: { readonly paced?: boolean } = {}) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#length += chunk.length
      if (paced) socket.pause()
      this.#notify()
    })
    socket.on('end', () => this.#end('closed'))
    socket.on('error', () => this.#end('reset'))
    socket.on('close', () => this.#end('closed'))
  }

  #end(how: 'closed' | 'reset'): void {
    this.#ended ??= how
    this.#notify()
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = null
  }

  /** How many bytes have come that nobody took yet. */
  get available(): number {
    return this.#length
  }

  /** Exactly so many bytes. Throws when the connection ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#length < length) {
      this.#refuseEnd(`${length} bytes`)
      await this.#more(`${length} bytes`)
    }
    return this.#cut(length)
  }

  /** The bytes up to and with the marker. Throws when the connection ends before. */
  async takeThrough(marker: string): Promise<Buffer> {
    for (;;) {
      const at = this.#gathered().indexOf(marker, 0, 'latin1')
      if (at !== -1) return this.#cut(at + marker.length)
      this.#refuseEnd(JSON.stringify(marker))
      await this.#more(JSON.stringify(marker))
    }
  }

  /** All that comes before the peer's FIN. Throws on a reset. */
  async takeRest(): Promise<Buffer> {
    while (this.#ended === null) await this.#more('the end of the connection')
    if (this.#ended === 'reset') throw new Error('The connection was reset')
    return this.#cut(this.#length)
  }

  /** How the peer ended the connection, once it has. What comes before is kept for `take`. */
  async end(): Promise<'closed' | 'reset'> {
    while (this.#ended === null) await this.#more('the end of the connection')
    return this.#ended
  }

  #refuseEnd(what: string): void {
    if (this.#ended === null) return
    const left = JSON.stringify(this.#gathered().subarray(0, 500).toString('latin1'))
    throw new Error(`The connection was ${this.#ended} before ${what} came; left is ${left}`)
  }

  async #more(what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const deadline = setTimeout(() => reject(new Error(`Waited in vain for ${what}`)), DEADLINE_MS)
    this.#wake = resolve
    if (this.#socket.isPaused()) this.#socket.resume()
    try {
      await promise
    } finally {
      clearTimeout(deadline)
    }
  }

  #gathered(): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0] : undefined
    const gathered = all ?? Buffer.concat(this.#chunks)
    this.#chunks = [gathered]
    return gathered
  }

  #cut(length: number): Buffer {
    const gathered = this.#gathered()
    this.#chunks = [gathered.subarray(length)]
    this.#length -= length
    return gathered.subarray(0, length)
  }
}
