import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'

/** Numbers from 0 to 1, the same in every run. */
export type Random = () => number

export function seeded(seed: number): Random {
  let state = seed
  return () => {
    // mulberry32: small, and good enough to choose where to cut.
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** What one bad client does on its connection. When it returns the connection may be left open, stalled. */
export type Misbehaviour = (client: BadClient, random: Random) => Promise<void>

const HEAD = 'POST /bad HTTP/1.1\r\nHost: bad\r\n'
const WHOLE = `${HEAD}Content-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz`
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n`
const GET = 'GET /bad HTTP/1.1\r\nHost: bad\r\n\r\n'

const prefix = (text: string, random: Random): string => text.slice(0, Math.floor(random() * text.length))
const either = (random: Random): string => (random() < 0.5 ? WHOLE : CHUNKED)

/** By name, so that a failure can be narrowed down to one. */
export const MISBEHAVIOURS: Readonly<Record<string, Misbehaviour>> = {
  async garbage(client, random) {
    await client.send(Buffer.from(Array.from({ length: 300 }, () => Math.floor(random() * 256))))
    await client.end()
  },
  async malformed(client) {
    await client.send(`${GET}GET / HTTP/1.1\nHost: bad\r\n\r\n${GET}`)
    await client.end()
  },
  async malformedBody(client) {
    await client.send(`${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n${GET}`)
    await client.end()
  },
  async hugeHead(client) {
    await client.send(`${HEAD}X: ${'y'.repeat(60_000)}\r\n\r\n`)
    await client.end()
  },
  async stallInHead(client, random) {
    await client.send(prefix(HEAD, random))
  },
  async stallInBody(client) {
    await client.send(`${HEAD}Content-Length: 1000\r\n\r\nabc`)
  },
  async stallInChunk(client) {
    await client.send(`${HEAD}Transfer-Encoding: chunked\r\n\r\nfff\r\nabc`)
  },
  async stallAnywhere(client, random) {
    await client.send(prefix(either(random), random))
  },
  async trickle(client, random) {
    for (const byte of either(random)) await client.send(byte)
  },
  async readNothing(client) {
    client.stopReading()
    await client.send('GET /big HTTP/1.1\r\nHost: bad\r\n\r\n')
  },
  async readLittleThenReset(client) {
    await client.send('GET /big HTTP/1.1\r\nHost: bad\r\n\r\n')
    await client.received(100_000)
    client.reset()
  },
  async floodAndReadNothing(client) {
    client.stopReading()
    await client.send(GET.repeat(1_000))
  },
  async floodThenReset(client) {
    await client.send(GET.repeat(300))
    client.reset()
  },
  async resetAtOnce(client) {
    client.reset()
  },
  async resetAnywhere(client, random) {
    await client.send(prefix(either(random), random))
    client.reset()
  },
  async resetWhileAnswered(client, random) {
    await client.send(either(random))
    client.reset()
  },
  async halfCloseAnywhere(client, random) {
    await client.send(prefix(either(random), random))
    client.endSending()
  },
  async halfCloseWhileAnswered(client, random) {
    await client.send(either(random))
    client.endSending()
  },
  async closeBeforeTheAnswer(client) {
    await client.send(GET)
    await client.end()
  },
  async upgradeToNothing(client) {
    await client.send(
      'GET /never HTTP/1.1\r\nHost: bad\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\0\0',
    )
  },
  async unanswered(client) {
    await client.send('GET /never HTTP/1.1\r\nHost: bad\r\n\r\n')
  },
  async abortUnanswered(client) {
    await client.send('GET /never HTTP/1.1\r\nHost: bad\r\n\r\n')
    await client.end()
  },
}

/** A socket that bears whatever comes back. */
export class BadClient {
  readonly #socket: Socket
  /** The gateway sends no more. */
  ended = false
  #bytes = 0
  #news = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    const wake = (): void => this.#news.resolve()
    const end = (): void => {
      this.ended = true
      wake()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length
      wake()
    })
    socket.on('end', end).on('close', end).on('error', end)
  }

  static open(port: number): Promise<BadClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    const { promise, resolve, reject } = Promise.withResolvers<BadClient>()
    const client = new BadClient(socket)
    socket.once('connect', () => resolve(client)).once('error', reject)
    return promise
  }

  async send(bytes: string | Uint8Array): Promise<void> {
    if (this.#socket.writable)
      this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    await turn()
  }

  /** Resolves when so many bytes have come, or the connection is gone. */
  async received(bytes: number): Promise<void> {
    while (this.#bytes < bytes && !this.ended) {
      this.#news = Promise.withResolvers()
      await this.#news.promise
    }
  }

  stopReading(): void {
    this.#socket.pause()
  }

  endSending(): void {
    this.#socket.end()
  }

  reset(): void {
    this.#socket.resetAndDestroy()
  }

  /** FIN, and gone. */
  async end(): Promise<void> {
    this.#socket.end()
    await turn()
    this.#socket.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
