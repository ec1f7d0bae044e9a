import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { ByteReader } from './byte-reader.ts'

/** A message from the gateway, read by the book and by nothing of the gateway's own. */
export interface TestResponse {
  readonly statusLine: string
  readonly status: number
  /** Names in lower case, in the order received. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** All values of a field joined by `, `; null without one. */
  field(name: string): string | null
  readonly body: Buffer
  readonly text: string
  readonly trailers: readonly (readonly [name: string, value: string])[]
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
}

export interface ResponseOptions {
  /** Of the request: HEAD has no body. Default GET. */
  readonly method?: string
  /** Return interim responses (1xx) too, instead of passing over them. */
  readonly interim?: boolean
}

/** A client of the gateway on a raw socket: writes any bytes, reads responses one by one. */
export class TestConnection {
  readonly socket: Socket
  readonly reader: ByteReader
  /** The lengths of the pieces that came, one per `data` event. */
  readonly pieces: number[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.pieces.push(chunk.length))
    this.reader = new ByteReader(socket)
  }

  /** Opens a connection to 127.0.0.1 that is destroyed when the test ends. */
  static async open(t: Pick<TestContext, 'after'>, port: number): Promise<TestConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    return new TestConnection(socket)
  }

  /** One character per byte. Resolves when the kernel has the bytes, or the connection is gone. */
  write(bytes: string | Uint8Array): Promise<void> {
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    return new Promise((resolve) => {
      this.socket.write(buffer, () => resolve())
    })
  }

  /** A request with a Host field and the lines given, each without its line break. */
  request(method: string, target: string, lines: readonly string[] = [], body = ''): Promise<void> {
    return this.write(
      [`${method} ${target} HTTP/1.1`, 'Host: app.test', ...lines, '', ''].join('\r\n') + body,
    )
  }

  async response(options: ResponseOptions = {}): Promise<TestResponse> {
    const head = parseHead((await this.reader.takeThrough('\r\n\r\n')).toString('latin1'))
    if (head.status < 200 && head.status !== 101) {
      return options.interim === true
        ? responseOf(head, 'none', NOTHING, [])
        : await this.response({ ...options })
    }
    const empty =
      options.method === 'HEAD' || head.status === 101 || head.status === 204 || head.status === 304
    if (empty) return responseOf(head, 'none', NOTHING, [])
    const length = valueIn(head.fields, 'content-length')
    if (valueIn(head.fields, 'transfer-encoding') === 'chunked') {
      const { body, trailers } = await this.#chunked()
      return responseOf(head, 'chunked', body, trailers)
    }
    if (length !== null) return responseOf(head, 'length', await this.reader.take(Number(length)), [])
    return responseOf(head, 'close', await this.reader.takeRest(), [])
  }

  async #chunked(): Promise<{ body: Buffer; trailers: Fields }> {
    const chunks: Buffer[] = []
    for (;;) {
      const line = (await this.reader.takeThrough('\r\n')).toString('latin1').slice(0, -2)
      if (!/^[0-9a-f]+$/.test(line)) throw new Error(`${JSON.stringify(line)} is no chunk size`)
      const size = Number.parseInt(line, 16)
      if (size === 0) return { body: Buffer.concat(chunks), trailers: await this.#trailers() }
      chunks.push(await this.reader.take(size))
      if ((await this.reader.take(2)).toString('latin1') !== '\r\n') throw new Error('A chunk is too long')
    }
  }

  async #trailers(): Promise<Fields> {
    let text = ''
    while (!/(?:^|\r\n)\r\n$/.test(text)) text += (await this.reader.takeThrough('\r\n')).toString('latin1')
    return parseFields(text.slice(0, -2))
  }

  /** How the gateway ended the connection, once it has; throws when bytes are left that nobody expected. */
  async ended(): Promise<'closed' | 'reset'> {
    const how = await this.reader.end()
    if (this.reader.available > 0) throw new Error(`${this.reader.available} bytes came unexpected`)
    return how
  }
}

type Fields = readonly (readonly [name: string, value: string])[]

interface Head {
  readonly statusLine: string
  readonly status: number
  readonly fields: Fields
}

const NOTHING = Buffer.alloc(0)

function parseHead(text: string): Head {
  const lineEnd = text.indexOf('\r\n')
  const statusLine = text.slice(0, lineEnd)
  const status = /^HTTP\/1\.1 ([1-5]\d\d) [ -~]*$/.exec(statusLine)?.[1]
  if (status === undefined) throw new Error(`${JSON.stringify(statusLine)} is no status line`)
  return { statusLine, status: Number(status), fields: parseFields(text.slice(lineEnd + 2, -2)) }
}

function parseFields(text: string): Fields {
  const lines = text.split('\r\n').slice(0, -1)
  return lines.map((line) => {
    const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\r\n\0]*)$/.exec(line)
    if (found === null) throw new Error(`${JSON.stringify(line)} is no field line`)
    return [(found[1] ?? '').toLowerCase(), found[2] ?? '']
  })
}

function valueIn(fields: Fields, name: string): string | null {
  const values = fields.flatMap(([known, value]) => (known === name ? [value] : []))
  return values.length === 0 ? null : values.join(', ')
}

function responseOf(
  { statusLine, status, fields }: Head,
  framing: TestResponse['framing'],
  body: Buffer,
  trailers: Fields,
): TestResponse {
  return {
    statusLine,
    status,
    fields,
    field: (name) => valueIn(fields, name),
    body,
    text: body.toString('latin1'),
    trailers,
    framing,
  }
}
