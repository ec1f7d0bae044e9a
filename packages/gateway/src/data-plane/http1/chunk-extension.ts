import { CR, IS_TOKEN, IS_VALUE, SEMICOLON } from './syntax.ts'

/**
 * Chunk extensions (RFC 9112, 7.1.1), read only to know where they end: `*( ";" name [ "=" ( token / quoted-string ) ] )`.
 * Strict, without the white space that the RFC lets senders of old get away with: servers that look only for the line
 * break and servers that look into quotes disagree on where a chunk begins, and that smuggles requests.
 */
export const ExtensionState = {
  nameFirst: 0,
  name: 1,
  valueFirst: 2,
  value: 3,
  quoted: 4,
  escaped: 5,
  quotedEnd: 6,
  /** The CR after the last extension was read. */
  ended: 7,
  malformed: 8,
} as const
export type ExtensionState = (typeof ExtensionState)[keyof typeof ExtensionState]

const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Where one more byte leads. Starts in `nameFirst`, after the semicolon. */
export function readExtensionByte(state: ExtensionState, byte: number): ExtensionState {
  switch (state) {
    case ExtensionState.nameFirst:
      return IS_TOKEN[byte] === 1 ? ExtensionState.name : ExtensionState.malformed
    case ExtensionState.name:
      if (IS_TOKEN[byte] === 1) return ExtensionState.name
      return byte === EQUALS ? ExtensionState.valueFirst : afterExtension(byte)
    case ExtensionState.valueFirst:
      if (byte === QUOTE) return ExtensionState.quoted
      return IS_TOKEN[byte] === 1 ? ExtensionState.value : ExtensionState.malformed
    case ExtensionState.value:
      return IS_TOKEN[byte] === 1 ? ExtensionState.value : afterExtension(byte)
    case ExtensionState.quoted:
      if (byte === QUOTE) return ExtensionState.quotedEnd
      if (byte === BACKSLASH) return ExtensionState.escaped
      return IS_VALUE[byte] === 1 ? ExtensionState.quoted : ExtensionState.malformed
    case ExtensionState.escaped:
      return IS_VALUE[byte] === 1 ? ExtensionState.quoted : ExtensionState.malformed
    case ExtensionState.quotedEnd:
      return afterExtension(byte)
    default:
      return ExtensionState.malformed
  }
}

function afterExtension(byte: number): ExtensionState {
  if (byte === CR) return ExtensionState.ended
  return byte === SEMICOLON ? ExtensionState.nameFirst : ExtensionState.malformed
}
