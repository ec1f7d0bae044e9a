import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { readStrictRequest, type StrictRequest } from '../support/strict-http.ts'

/** An upstream that remembers nothing: what the heap grows by is not its own. */
export class ForgetfulUpstream implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket: Socket) => this.#accept(socket))
  }

  static async start(): Promise<ForgetfulUpstream> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1')
    const upstream = new ForgetfulUpstream(server)
    await once(server, 'listening')
    return upstream
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get connections(): number {
    return this.#sockets.size
  }

  #accept(socket: Socket): void {
    let pending = ''
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('end', () => socket.end())
    // The gateway resets what it gives up.
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString('latin1')
      for (let request = take(); request !== null; request = take()) answer(socket, request)
    })
    const take = (): StrictRequest | null => {
      const request = readStrictRequest(pending)
      pending = pending.slice(request?.length ?? 0)
      return request
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const OK = 'HTTP/1.1 200 OK\r\n'

/** By the last part of the path. */
const ANSWERS: Readonly<Record<string, string>> = {
  never: '',
  bad: `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`,
  interim: `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
  chunks: `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`,
  surplus: `${OK}Content-Length: 2\r\n\r\nok${OK}\r\n`,
  switch: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello',
}

function answer(socket: Socket, { method, target, body }: StrictRequest): void {
  const name = target.slice(target.lastIndexOf('/') + 1)
  if (name === 'cut') socket.end(`${OK}Content-Length: 9\r\n\r\nok`)
  else if (name === 'reset') socket.resetAndDestroy()
  else if (name === 'close') socket.end(`${OK}\r\nok`)
  else
    socket.write(
      ANSWERS[name] ?? `${OK}Content-Length: ${body.length}\r\n\r\n${method === 'HEAD' ? '' : body}`,
    )
}
