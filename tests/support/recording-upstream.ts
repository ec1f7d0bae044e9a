import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What an upstream's script gets: one connection, everything it has received, and the means to answer. */
export interface RecordedConnection {
  /** Counts from 0, in order of arrival. */
  readonly index: number
  /** Every byte received, one character per byte. */
  readonly received: string
  /** What came since the script last called `take`. */
  readonly pending: string
  /** The peer has sent its FIN. */
  readonly ended: boolean
  /** The connection is gone. */
  readonly closed: boolean
  /** Marks the first `length` characters of `pending` as dealt with and returns them. */
  take(length: number): string
  write(bytes: string | Uint8Array): void
  /** Writes, then a FIN. */
  end(bytes?: string | Uint8Array): void
  /** RST. */
  reset(): void
}

/** Called whenever bytes or the peer's FIN arrive. */
export type UpstreamScript = (connection: RecordedConnection) => void

const DEFAULT_RESPONSE = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/**
 * An upstream on a raw socket that records every byte it gets, per connection, and answers by a script. Unlike an HTTP
 * server it does not tidy up what it is sent: a test sees exactly what the gateway put on the wire.
 *
 * `await using upstream = await RecordingUpstream.start()`; without a script each complete request is answered 200.
 */
export class RecordingUpstream implements AsyncDisposable {
  readonly port: number
  /** In order of arrival, those that have ended included. */
  readonly connections: readonly RecordedConnection[]
  readonly #server: Server
  readonly #sockets: ReadonlySet<Socket>

  private constructor(server: Server, connections: RecordedConnection[], sockets: Set<Socket>) {
    this.#server = server
    this.#sockets = sockets
    this.connections = connections
    this.port = (server.address() as AddressInfo).port
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(script: UpstreamScript = answerEach(DEFAULT_RESPONSE)): Promise<RecordingUpstream> {
    const connections: RecordedConnection[] = []
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket)
      connections.push(record(socket, connections.length, script))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new RecordingUpstream(server, connections, sockets)
  }

  /** For a config's `targets`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** All requests of all connections, split by their framing; what is incomplete at the end of one is left out. */
  get requests(): string[] {
    return this.connections.flatMap(({ received }) => splitRequests(received))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/**
 * A script that answers every complete request, in order, with the same bytes, or with what `respond` makes of the
 * request's text; null leaves the request without an answer.
 */
export function answerEach(
  response: string | ((request: string, index: number) => string | null),
): UpstreamScript {
  const respond = typeof response === 'string' ? () => response : response
  let index = 0
  return (connection) => {
    for (;;) {
      const length = requestLength(connection.pending)
      if (length === null) break
      const answer = respond(connection.take(length), index++)
      if (answer !== null) connection.write(answer)
    }
    if (connection.ended) connection.end()
  }
}

/** The complete requests at the start of the text. */
export function splitRequests(text: string): string[] {
  const requests: string[] = []
  for (let rest = text; ; ) {
    const length = requestLength(rest)
    if (length === null) return requests
    requests.push(rest.slice(0, length))
    rest = rest.slice(length)
  }
}

/**
 * How much of the text the first request takes, or null while it is incomplete. It reads what a gateway writes anew:
 * one framing field, chunks without surprises. It is no judge of what is valid.
 */
function requestLength(text: string): number | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return null
  const head = text.slice(0, headEnd + 2)
  const bodyStart = headEnd + 4
  if (/^transfer-encoding:.*chunked/im.test(head)) return chunkedEnd(text, bodyStart)
  const contentLength = /^content-length:[ \t]*(\d+)/im.exec(head)?.[1] ?? '0'
  const end = bodyStart + Number(contentLength)
  return text.length >= end ? end : null
}

function chunkedEnd(text: string, start: number): number | null {
  for (let at = start; ; ) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd === -1) return null
    const size = Number.parseInt(text.slice(at, lineEnd), 16)
    if (!Number.isFinite(size)) return null
    if (size > 0) {
      at = lineEnd + 2 + size + 2
      continue
    }
    // The trailer section: an empty line at once, or after its field lines.
    if (text.startsWith('\r\n', lineEnd + 2)) return lineEnd + 4
    const trailersEnd = text.indexOf('\r\n\r\n', lineEnd)
    return trailersEnd === -1 ? null : trailersEnd + 4
  }
}

function record(socket: Socket, index: number, script: UpstreamScript): RecordedConnection {
  let received = ''
  let taken = 0
  let ended = false
  const connection: RecordedConnection = {
    index,
    get received() {
      return received
    },
    get pending() {
      return received.slice(taken)
    },
    get ended() {
      return ended
    },
    get closed() {
      return socket.destroyed
    },
    take(length) {
      const text = received.slice(taken, taken + length)
      taken += text.length
      return text
    },
    write: (bytes) => void socket.write(toBytes(bytes)),
    end: (bytes) => void (bytes === undefined ? socket.end() : socket.end(toBytes(bytes))),
    reset: () => void socket.resetAndDestroy(),
  }
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
    script(connection)
  })
  socket.on('end', () => {
    ended = true
    script(connection)
  })
  // A reset by the gateway is one of the things that tests look for, in `closed`.
  socket.on('error', () => {})
  return connection
}

function toBytes(bytes: string | Uint8Array): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
}
