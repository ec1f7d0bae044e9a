import { isIPv6 } from 'node:net'

/** Character classes of RFC 9110 and RFC 9112 as tables: one load per byte in the parsers' loops. */

export const CR = 0x0d
export const LF = 0x0a
export const SP = 0x20
export const HTAB = 0x09
export const COLON = 0x3a
export const SEMICOLON = 0x3b

function table(allowed: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (allowed(byte) ? 1 : 0))
}

const among = (characters: string) => (byte: number) => characters.includes(String.fromCharCode(byte))
const isAlphaNumeric = (byte: number) =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)

/** tchar (RFC 9110, 5.6.2). */
export const IS_TOKEN = table((byte) => isAlphaNumeric(byte) || among("!#$%&'*+-.^_`|~")(byte))

/** Bytes of a request target: VCHAR without `#`, since a fragment is never sent (RFC 9112, 3.2). */
export const IS_TARGET = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23)

/** Bytes of a field value: VCHAR, obs-text, SP, HTAB (RFC 9110, 5.5). */
export const IS_VALUE = table((byte) => byte === HTAB || (byte >= 0x20 && byte !== 0x7f))

/**
 * Bytes of a Host value: reg-name, IP-literal and port (RFC 3986, 3.2.2), but for the comma: we say the host on in
 * X-Forwarded-Host, a list to many servers, which would take `a,b` for site `a` after we have routed it elsewhere.
 */
const IS_HOST = table((byte) => isAlphaNumeric(byte) || among("-._~!$&'()*+;=%:[]")(byte))

/** The value of a hexadecimal digit, 255 for other bytes. */
export const HEX_VALUE = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x41 && byte <= 0x46) return byte - 0x41 + 10
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x61 + 10
  return 255
})

/**
 * Whether text is `uri-host [ ":" port ]` with a host (RFC 9110, 7.2). An empty host is refused: no http URI has one,
 * and servers disagree on which site it means.
 */
export function isHost(text: string): boolean {
  const length = text.length
  if (length === 0 || length > 255 + 6) return false
  let colon = -1
  let bracket = -1
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0xff || IS_HOST[code] === 0) return false
    if (code === 0x5b && i !== 0) return false
    if (code === 0x25 && !isPercentEncoded(text, i)) return false
    if (code === 0x5d) {
      if (bracket !== -1) return false
      bracket = i
    } else if (code === COLON && (text.charCodeAt(0) !== 0x5b || bracket !== -1)) {
      if (colon !== -1) return false
      colon = i
    }
  }
  if (text.charCodeAt(0) === 0x5b) {
    if (bracket === -1 || (bracket !== length - 1 && colon !== bracket + 1)) return false
    if (!isIpLiteral(text, bracket)) return false
  } else if (bracket !== -1 || colon === 0) return false
  return colon === -1 || isPort(text, colon + 1)
}

/** IPv6 alone: IPvFuture has no use, and a zone means nothing to another machine (RFC 3986, 3.2.2). */
function isIpLiteral(text: string, bracket: number): boolean {
  const address = text.slice(1, bracket)
  return !address.includes('%') && isIPv6(address)
}

const isHex = (code: number) => (HEX_VALUE[code] ?? 255) !== 255

function isPercentEncoded(text: string, at: number): boolean {
  return isHex(text.charCodeAt(at + 1)) && isHex(text.charCodeAt(at + 2))
}

function isPort(text: string, from: number): boolean {
  if (text.length - from > 5) return false
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}
