import type { FieldPairs, TestClient } from 'cardea/testing-engine'

/** A response as the client sees it. Reading its body waits for the end, and rejects when the end does not come. */
export class TestResponse {
  readonly status: number
  /** The interim responses (1xx) that came before it. */
  readonly informational: readonly { readonly status: number; readonly headers: Headers }[]
  /** Resolves when the exchange is over for all plugins, `onFinish` included. */
  readonly finished: Promise<void>
  readonly #client: TestClient
  readonly #fields: FieldPairs
  /** Made when a test asks: the first of a process takes as long as thirty tests. */
  #headers: Headers | null = null

  /** Made by `TestGateway.fetch` when the head has come. */
  constructor(client: TestClient, status: number, fields: FieldPairs) {
    this.#client = client
    this.#fields = fields
    this.status = status
    this.finished = client.finished
    this.informational = client.response.informational.map((interim) => ({
      status: interim.status,
      headers: headersOf(interim.fields),
    }))
  }

  /** As on the wire, so with Content-Length or Transfer-Encoding, whichever frames the body. */
  get headers(): Headers {
    this.#headers ??= headersOf(this.#fields)
    return this.#headers
  }

  /** The content that has come so far, as UTF-8. */
  get received(): string {
    return this.#client.response.received.toString()
  }

  /** Fields after the body; empty before its end. */
  get trailers(): Headers {
    return headersOf(this.#client.response.trailers)
  }

  /** The whole content. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.#client.response.content)
  }

  /** The whole content as UTF-8. */
  async text(): Promise<string> {
    return (await this.#client.response.content).toString()
  }

  /** The whole content, parsed as JSON. */
  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }

  /** The client stops taking bytes: what the gateway sends piles up, and it should stop sending. */
  stopReading(): void {
    this.#client.response.stopReading()
  }

  /** Takes what has piled up, and goes on. */
  startReading(): void {
    this.#client.response.startReading()
  }

  /** The client goes away. */
  abort(): void {
    this.#client.abort()
  }
}

function headersOf(fields: Iterable<readonly [string, string]>): Headers {
  const headers = new Headers()
  for (const [name, value] of fields) headers.append(name, value)
  return headers
}
