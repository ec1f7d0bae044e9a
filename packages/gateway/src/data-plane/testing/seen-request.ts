import type { FieldLines } from '../fields.ts'
import { type FieldPairs, headersOf } from './body-source.ts'
import type { UpstreamRequestSeen } from './upstream-script.ts'

/** A request on its arrival at a scripted upstream. */
export class SeenRequest implements UpstreamRequestSeen {
  readonly upstream: string
  readonly target: string
  method = ''
  url = ''
  fields: FieldPairs = []
  complete = false
  cancelled = false
  attempts = 0
  /** Made when a test asks: the first of a process takes as long as thirty tests. */
  #headers: Headers | null = null
  #trailers: Headers | null = null
  #trailerFields: FieldPairs = []
  #chunks: Buffer[] = []
  #bytes = 0
  #unread = 0
  #reading = true
  readonly #onDrain: () => void

  constructor(upstream: string, target: string, onDrain: () => void) {
    this.upstream = upstream
    this.target = target
    this.#onDrain = onDrain
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.fields)
    return this.#headers
  }

  get trailers(): Headers {
    this.#trailers ??= headersOf(this.#trailerFields)
    return this.#trailers
  }

  get body(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#chunks))
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString()
  }

  json(): unknown {
    return JSON.parse(this.text())
  }

  /** Bytes that the upstream has not taken. */
  get unread(): number {
    return this.#unread
  }

  pause(): void {
    this.#reading = false
  }

  resume(): void {
    this.#reading = true
    const waited = this.#unread > 0
    this.#unread = 0
    if (waited) this.#onDrain()
  }

  // What the leg tells it.

  /** A head, as text. Whatever came of an earlier attempt is forgotten. */
  takeHead(text: string): void {
    const [requestLine = '', ...lines] = text.slice(0, -4).split('\r\n')
    const [method = '', url = ''] = requestLine.split(' ')
    this.method = method
    this.url = url
    this.fields = lines.map((line): [string, string] => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)]
    })
    this.#headers = null
    this.attempts++
    this.#takeTrailers([])
    this.#chunks = []
    this.#bytes = 0
  }

  takeData(data: Buffer): void {
    this.#chunks.push(Buffer.from(data))
    this.#bytes += data.length
    if (!this.#reading) this.#unread += data.length
  }

  takeEnd(trailers: FieldLines | null): void {
    this.complete = true
    const { lines } = trailers ?? { lines: [] }
    const fields: [string, string][] = []
    for (let i = 0; i < lines.length; i += 2) fields.push([lines[i] as string, lines[i + 1] as string])
    this.#takeTrailers(fields)
    const announced = this.#field('content-length')
    const isFramed = this.#field('transfer-encoding') !== null || announced !== null
    if (announced !== null && Number(announced) !== this.#bytes) {
      throw new Error(`The request has ${this.#bytes} bytes of content and announced ${announced}`)
    }
    if (!isFramed && this.#bytes > 0) throw new Error('The request has content and no framing for it')
  }

  #takeTrailers(fields: FieldPairs): void {
    this.#trailerFields = fields
    this.#trailers = null
  }

  /** As `headers` would have it. */
  #field(name: string): string | null {
    const values = this.fields.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value)
    return values.length === 0 ? null : values.join(', ')
  }
}
