import { createServer, IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { MemorySocket } from './memory-socket.ts'

/** A request as Node's own parser, in its strict mode, has read it. */
export interface NodeRequest {
  readonly method: string
  readonly url: string
  readonly minorVersion: number
  readonly rawHeaders: readonly string[]
  readonly rawTrailers: readonly string[]
  /** As latin1. */
  readonly body: string
  readonly complete: boolean
  /** The server handed it to its user, and did not answer 400 or 417 by itself. */
  readonly served: boolean
  readonly keepAlive: boolean
}

export interface NodeRequests {
  readonly requests: readonly NodeRequest[]
  /** llhttp's code when it stopped at an error. */
  readonly error: string | null
}

/** Keeps what the parser gives it, at once: the stream would deliver it turns later. */
class RecordedMessage extends IncomingMessage {
  readonly chunks: Buffer[] = []
  whole = false
  served = false
  keepAlive = false

  constructor(socket: Socket) {
    super(socket)
    if (socket instanceof ServerSocket) socket.messages.push(this)
  }

  override push(chunk: Buffer | null): boolean {
    if (chunk === null) this.whole = true
    else this.chunks.push(Buffer.from(chunk))
    return true
  }
}

class ServerSocket extends MemorySocket {
  readonly messages: RecordedMessage[] = []
  error: string | null = null
}

/** `node:http` as it is, fed from memory. */
export class NodeServer {
  readonly #server: Server<typeof RecordedMessage>

  constructor(headBytesMax: number) {
    this.#server = createServer({
      IncomingMessage: RecordedMessage,
      insecureHTTPParser: false,
      requireHostHeader: true,
      maxHeaderSize: headBytesMax,
      // The protocol switch itself is not compared; without this Node stops reading at one.
      shouldUpgradeCallback: () => false,
    })
    this.#server.on('request', (request, response) => {
      request.served = true
      request.keepAlive = response.shouldKeepAlive
    })
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (socket instanceof ServerSocket) socket.error = error.code ?? error.message
      socket.destroy()
    })
  }

  /** Reads each byte string on a connection of its own. */
  async read(inputs: readonly Buffer[]): Promise<NodeRequests[]> {
    const sockets = inputs.map(() => new ServerSocket())
    for (const socket of sockets) this.#server.emit('connection', socket)
    // The server starts reading in a later turn; from then on `push` parses before it returns.
    await new Promise((resolve) => setImmediate(resolve))
    return sockets.map((socket, i) => {
      socket.push(inputs[i] ?? null)
      const requests = socket.messages.map(requestOf)
      socket.destroy()
      return { requests, error: socket.error }
    })
  }
}

function requestOf(message: RecordedMessage): NodeRequest {
  return {
    method: message.method ?? '',
    url: message.url ?? '',
    minorVersion: message.httpVersionMinor,
    rawHeaders: message.rawHeaders,
    rawTrailers: message.rawTrailers,
    body: Buffer.concat(message.chunks).toString('latin1'),
    complete: message.whole,
    served: message.served,
    keepAlive: message.keepAlive,
  }
}
