import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { LineCutter } from '../../packages/gateway/src/base/line-cutter.ts'
import { controlSocketPath } from '../../packages/gateway/src/control-plane/control-path.ts'
import {
  ControlServer,
  type ControlServerOptions,
} from '../../packages/gateway/src/control-plane/control-server.ts'
import type { ControlResponse } from '../../packages/gateway/src/protocol/control.ts'
import { withTempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

/** A control server in a folder of its own, closed when the test ends. */
export interface TestControl {
  readonly directory: string
  readonly path: string
  readonly server: ControlServer
  /** What `onTracing` and the log were told. */
  readonly tracing: boolean[]
  readonly logged: string[]
  /** A client that speaks bytes. */
  connect(): Promise<RawClient>
}

type TestOptions = Partial<Pick<ControlServerOptions, 'handle' | 'limits' | 'waiting'>> & {
  readonly folder?: string
}

/** Opened already. `handle` answers the command itself unless told otherwise. */
export async function testControl(t: TestContext, options: TestOptions = {}): Promise<TestControl> {
  const dir = await withTempDir()
  const directory = join(dir.path, options.folder ?? '')
  const path = controlSocketPath(directory)
  const tracing: boolean[] = []
  const logged: string[] = []
  const log = (message: string): void => void logged.push(message)
  const server = new ControlServer({
    path,
    handle: options.handle ?? (async (command) => command),
    log: { debug: log, info: log, warn: log, error: log },
    onTracing: (on) => void tracing.push(on),
    ...(options.waiting === undefined ? {} : { waiting: options.waiting }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })
  const clients: RawClient[] = []
  t.after(async () => {
    for (const client of clients) client.socket.destroy()
    await server.close()
    await dir[Symbol.asyncDispose]()
  })
  await server.open()
  const connectRaw = async (): Promise<RawClient> => {
    const client = new RawClient(connect({ path, allowHalfOpen: true }))
    clients.push(client)
    await once(client.socket, 'connect')
    return client
  }
  return { directory, path, server, tracing, logged, connect: connectRaw }
}

export class RawClient {
  readonly socket: Socket
  readonly #cutter = new LineCutter(64 * 1024 * 1024)
  readonly #lines: string[] = []
  /** The other side has said its last, or the connection broke. */
  hasEnded = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (piece: Buffer) => this.#lines.push(...this.#cutter.push(piece)))
    const end = (): void => {
      this.hasEnded = true
    }
    socket.on('end', end).on('close', end).on('error', end)
  }

  /** Lines that have not been taken yet. */
  get lines(): readonly string[] {
    return this.#lines
  }

  send(...requests: readonly object[]): void {
    this.write(requests.map((request) => `${JSON.stringify({ who: 'ann', ...request })}\n`).join(''))
  }

  write(text: string | Buffer): void {
    this.socket.write(text)
  }

  async next(): Promise<ControlResponse> {
    await waitFor(() => this.#lines.length > 0, 'a line from the control server')
    return JSON.parse(this.#lines.shift() ?? '') as ControlResponse
  }

  /** The sentence of the next answer, which must be a failure. */
  async nextFailure(): Promise<string> {
    const response = await this.next()
    if (response.kind !== 'failed') throw new Error(`It is ${response.kind}`)
    return `${response.id} ${response.failure.code} ${response.failure.message}`
  }

  async ended(): Promise<void> {
    await waitFor(() => this.hasEnded, 'the control server to close the connection')
  }
}
