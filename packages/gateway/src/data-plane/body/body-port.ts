import type { ErrorCode } from '../../base/errors.ts'
import type { FieldLines } from '../fields.ts'
import type { BodyWait } from './body-wait.ts'
import type { Stage } from './stage.ts'

/** What a flow needs of the exchange, one object per direction. */
export interface BodyPort {
  /** Bound of what is gathered. */
  readonly gatheredBytesMax: number
  readonly tooLarge: ErrorCode
  /** The message's Content-Encoding. */
  contentEncoding(): string | null
  /** It does not describe the content any more. */
  removeContentEncoding(): void
  pauseSource(): void
  resumeSource(): void
  /** A plugin is about to read: a client that waits for 100 Continue must be told to go on. */
  onRead(): void
  /** What the source still has is of no use any more. */
  onUnwanted(): void
  deliver(chunk: Buffer): void
  deliverEnd(trailers: FieldLines | null): void
  /** A transform failed while the content flowed. */
  onBroken(error: unknown): void
}

/** What there was before a plugin whose edits may yet be taken back; see `tryOut`. */
export interface Before {
  /** How many of the stages are others'. */
  stages: number
  /** What the plugin's `setBody` put out of the way. */
  content: {
    readonly stages: readonly Stage[]
    readonly whole: Buffer | null
    readonly wholeDecoded: Buffer | null
    readonly trailers: FieldLines | null
    /** Some of it was dropped by then. */
    readonly hasFailed: boolean
  } | null
  /** Content has passed the plugin's transforms, or is gone. */
  isLost: boolean
  readonly readDecoded: DecodedRead | null
  readonly replaced: boolean
  readonly transformed: boolean
}

/** A hook has read the content as it was before this encoding. */
export interface DecodedRead {
  readonly encoding: string
  readonly by: BodyWait
}
