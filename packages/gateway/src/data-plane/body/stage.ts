import { GatewayError } from '../../base/errors.ts'

/** One step that content passes through: a plugin's transform, or a decoder in front of it. */
export interface Stage {
  /** As BodyTransform in the SDK. The chunk is the stage's to keep. */
  push(chunk: Buffer, last: boolean): Uint8Array | null | Promise<Uint8Array | null>
  /**
   * What was pushed has made more than has been handed on: `push` is called again, with an empty chunk, until that is over.
   * So it is for what a stage makes between two chunks, and for an error that it has to tell.
   */
  readonly hasMore: boolean
  /** `onMore` is to be called when `hasMore` has become true between two chunks. */
  listen?(onMore: () => void): void
  /** The exchange ended before the content did. */
  abort(): void
}

export const NOTHING = Buffer.alloc(0)

/** What a stage returned, as a Buffer over the same memory. Throws HOOK_RETURN_INVALID. */
export function asBuffer(content: Uint8Array | null): Buffer {
  if (content === null) return NOTHING
  if (!(content instanceof Uint8Array)) {
    throw new GatewayError(
      'HOOK_RETURN_INVALID',
      'A transform returned something other than a Uint8Array or null',
    )
  }
  return Buffer.isBuffer(content)
    ? content
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}
