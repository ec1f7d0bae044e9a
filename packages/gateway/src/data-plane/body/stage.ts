import type { BodyTransform } from '@cardea/sdk'

/** One step that content passes through: a plugin's transform, or a decoder in front of it. */
export interface Stage {
  /** As {@link BodyTransform}. The chunk is the stage's to keep. */
  push(chunk: Buffer, last: boolean): Uint8Array | null | Promise<Uint8Array | null>
  /** The exchange ended before the content did. */
  abort(): void
}

export function transformStage(transform: BodyTransform): Stage {
  return { push: transform, abort() {} }
}
