import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import type { Stage } from './stage.ts'

type Decompressor = ReturnType<typeof createGunzip>

const DECOMPRESSORS: Readonly<Record<string, () => Decompressor>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
}

/** Input is given in pieces of this size, so that one push of a decompression bomb stays within the output bound. */
const PIECE_BYTES = 4 * 1024

/** Content codings that are undone at the most; more than two is nobody's honest traffic. */
const CODINGS_MAX = 3

/**
 * The stages that undo a Content-Encoding (RFC 9110, 8.4), last coding first; none for `identity` or no field. Throws
 * BODY_UNREADABLE for codings that are not known. `outputBytesMax` bounds what a single pushed piece may grow to; past
 * it a stage fails with `tooLarge`.
 */
export function decodeStages(
  contentEncoding: string | null,
  outputBytesMax: number,
  tooLarge: ErrorCode,
): Stage[] {
  const codings = (contentEncoding ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity')
  if (codings.length > CODINGS_MAX) {
    throw new GatewayError('BODY_UNREADABLE', `The body has more than ${CODINGS_MAX} content codings`)
  }
  return codings.reverse().map((coding) => {
    const create = Object.hasOwn(DECOMPRESSORS, coding) ? DECOMPRESSORS[coding] : undefined
    if (create === undefined) {
      throw new GatewayError('BODY_UNREADABLE', `The content coding ${JSON.stringify(coding)} is not known`)
    }
    return new DecodeStage(create(), outputBytesMax, tooLarge)
  })
}

class DecodeStage implements Stage {
  readonly hasMore = false
  readonly #decompressor: Decompressor
  #output: Buffer[] = []
  #outputBytes = 0
  #error: Error | null = null
  #ended = false
  #begun = false

  constructor(decompressor: Decompressor, outputBytesMax: number, tooLarge: ErrorCode) {
    this.#decompressor = decompressor
    decompressor.on('data', (chunk: Buffer) => {
      this.#output.push(chunk)
      this.#outputBytes += chunk.length
      if (this.#outputBytes > outputBytesMax) {
        this.#error ??= new GatewayError(
          tooLarge,
          `A piece of the body decodes to more than ${outputBytesMax} bytes`,
        )
        decompressor.destroy(this.#error)
      }
    })
    decompressor.on('error', (error: Error) => {
      this.#error ??= error
    })
    decompressor.on('end', () => {
      this.#ended = true
    })
  }

  async push(chunk: Buffer, last: boolean): Promise<Uint8Array | null> {
    this.#outputBytes = 0
    if (chunk.length > 0) this.#begun = true
    for (let start = 0; start < chunk.length; start += PIECE_BYTES) {
      await this.#write(chunk.subarray(start, start + PIECE_BYTES))
    }
    // Nothing at all is no broken stream, but the content of an empty body.
    if (last && this.#begun) await this.#finish()
    const output = this.#output
    this.#output = []
    return output.length === 0 ? null : Buffer.concat(output)
  }

  #write(piece: Buffer): Promise<void> {
    return this.#settled((done) => this.#decompressor.write(piece, done))
  }

  async #finish(): Promise<void> {
    // A stream that ended by itself (gzip's own trailer) takes no further end.
    if (!this.#ended) await this.#settled((done) => this.#decompressor.end(done))
    if (this.#ended) return
    await this.#settled((done) => this.#decompressor.once('end', () => done()))
  }

  #settled(act: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        const code = error instanceof GatewayError ? error : undefined
        reject(
          code ??
            new GatewayError('BODY_UNREADABLE', `The body cannot be decoded: ${error.message}`, {
              cause: error,
            }),
        )
      }
      if (this.#error !== null) {
        fail(this.#error)
        return
      }
      this.#decompressor.once('error', fail)
      act((error) => {
        this.#decompressor.off('error', fail)
        // A write can succeed before the error of its output is told.
        const reason = this.#error ?? error
        if (reason) fail(reason)
        else resolve()
      })
    })
  }

  abort(): void {
    this.#decompressor.destroy()
  }
}
