import { isIPv4, isIPv6 } from 'node:net'
import { HOST_NAME_CHARS_MAX, isNumberLabel } from '../../base/host-names.ts'

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
 * Bytes of a host name: reg-name (RFC 3986, 3.2.2), but for two. The comma: we say the host on in X-Forwarded-Host, a list
 * to many servers, which would take `a,b` for site `a` after we have routed it elsewhere. And `%`: who reads the host as part
 * of a URL decodes it, and so takes `a%2eexample.com` for `a.example.com`.
 */
const IS_NAME = table((byte) => isAlphaNumeric(byte) || among("-._~!$&'()*+;=")(byte))

/** The value of a hexadecimal digit, 255 for other bytes. */
export const HEX_VALUE = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x41 && byte <= 0x46) return byte - 0x41 + 10
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x61 + 10
  return 255
})

const DOT = 0x2e
const LEFT_BRACKET = 0x5b
/** A name with the root's dot, and a port. */
const HOST_CHARS_MAX = HOST_NAME_CHARS_MAX + 1 + 6
const PORT_MAX = 65_535

/**
 * Whether text is `uri-host [ ":" port ]` with a host (RFC 9110, 7.2) that has one spelling but for case, the root's dot and
 * that of IPv6 addresses, which the router sees through (`HostTable`): another spelling would walk past what is bound to the
 * host. An empty host is refused: no http URI has one, and servers disagree on which site it means.
 */
export function isHost(text: string): boolean {
  const { length } = text
  if (length === 0 || length > HOST_CHARS_MAX) return false
  if (text.charCodeAt(0) === LEFT_BRACKET) {
    const bracket = text.indexOf(']')
    if (bracket === -1 || !isIpv6(text.slice(1, bracket))) return false
    return bracket === length - 1 || isPort(text, bracket + 1)
  }
  const colon = text.indexOf(':')
  return colon === -1 ? isName(text, length) : isName(text, colon) && isPort(text, colon)
}

/** IPv6 alone: IPvFuture has no use, and a zone means nothing to another machine (RFC 3986, 3.2.2). */
function isIpv6(address: string): boolean {
  return !address.includes('%') && isIPv6(address)
}

/** The name, or IPv4 address, before `end`. */
function isName(text: string, end: number): boolean {
  let label = 0
  let lastLabel = 0
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i)
    if (code > 0xff || IS_NAME[code] === 0) return false
    if (code !== DOT) continue
    // An empty label: some servers skip it.
    if (i === label) return false
    lastLabel = label
    label = i + 1
  }
  const hasRoot = label === end
  if (!hasRoot) lastLabel = label
  const nameEnd = hasRoot ? end - 1 : end
  if (nameEnd <= 0 || nameEnd > HOST_NAME_CHARS_MAX) return false
  if (!isDigit(text.charCodeAt(lastLabel)) || !isNumberLabel(text.slice(lastLabel, nameEnd))) return true
  return isIPv4(text.slice(0, nameEnd))
}

const isDigit = (code: number) => code >= 0x30 && code <= 0x39

/** A colon, and what may follow it: digits, or nothing. */
function isPort(text: string, colon: number): boolean {
  if (text.charCodeAt(colon) !== COLON || text.length - colon > 6) return false
  let port = 0
  for (let i = colon + 1; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (!isDigit(code)) return false
    port = port * 10 + code - 0x30
  }
  return port <= PORT_MAX
}
