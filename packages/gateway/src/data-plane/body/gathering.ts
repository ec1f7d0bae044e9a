import type { BodyWait } from './body-wait.ts'

/** As many chunks are kept one by one: a client that sends single bytes would have each cost us a Buffer of its own. */
const LOOSE_CHUNKS_MAX = 1024

/** Chunks on their way to one piece. */
export class Gathering {
  readonly promise: Promise<Buffer>
  bytes = 0
  /** Whether its bytes are still to come, so that whoever reads it waits for the peer. */
  readonly #isAwaited: boolean
  readonly #waits: BodyWait[] = []
  readonly #pieces: Buffer[] = []
  #chunks: Buffer[] = []
  readonly #resolvers = Promise.withResolvers<Buffer>()

  constructor(isAwaited: boolean) {
    this.#isAwaited = isAwaited
    this.promise = this.#resolvers.promise
    // Whoever waits sees the rejection; nobody may be waiting any more when an exchange is aborted.
    this.promise.catch(() => {})
  }

  /** Of one more that reads it. */
  addWait(wait: BodyWait): void {
    if (!this.#isAwaited) return
    this.#waits.push(wait)
    wait.begin()
  }

  endWaits(): void {
    for (const wait of this.#waits.splice(0)) wait.end()
  }

  add(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.bytes += chunk.length
    if (this.#chunks.length < LOOSE_CHUNKS_MAX) return
    this.#pieces.push(Buffer.concat(this.#chunks))
    this.#chunks = []
  }

  take(): Buffer {
    const first = this.#chunks[0]
    if (this.#pieces.length === 0 && this.#chunks.length === 1 && first !== undefined) return first
    return Buffer.concat([...this.#pieces, ...this.#chunks])
  }

  resolve(content: Buffer): void {
    this.#resolvers.resolve(content)
  }

  reject(error: unknown): void {
    this.#resolvers.reject(error)
  }
}
