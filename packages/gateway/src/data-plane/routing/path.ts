import type { PathOddity } from '../../protocol/generation.ts'
import { HEX_VALUE } from '../http1/syntax.ts'

/**
 * Path normalisation (RFC 3986, 6.2.2), once per request and before routing: router, plugins and upstream see one
 * form, so none of them can be walked past by another spelling of the same path.
 *
 * What is decided here beyond the RFC:
 *
 * - Octets 0x80 to 0xFF, control characters, space, `?` and `#` are malformed: no grammar allows them, and servers
 *   disagree about what they mean.
 * - `" < > [ ] ^ { | }` and the backtick are not allowed either, but browsers and HTTP libraries send some of them;
 *   they are percent-encoded, so both spellings meet in one.
 * - Going above the root (`/../x`) is malformed. RFC 3986 would drop the `..`; no honest client sends it.
 * - A dot segment beside an encoded separator or before a `;` (`/..%2Fadmin`, `/..;/admin`) is malformed, whatever the
 *   route allows: after one more decoding, or in a servlet container, it climbs out of the route that let it in.
 * - The same is looked for once more in the path as a server sees it that decodes until nothing is left to decode
 *   (`%252e%252e`, `%252F`): a framework behind a proxy behind us may.
 * - An ASCII character in an overlong UTF-8 form (`%C0%AF` for `/`) is malformed: lax decoders take it for the character.
 * - A segment of parameters only (`/;x/admin`) counts as empty: servlet containers take the parameters away.
 * - An encoded reserved character (`%40` and `@`) keeps its spelling (RFC 3986, 2.2) on the way to the upstream; only
 *   the router takes the two for one, see {@link foldReservedEscapes}.
 */

const ODDITY_BITS = {
  encoded_slash: 1,
  encoded_backslash: 2,
  encoded_null: 4,
  empty_segment: 8,
} as const satisfies Record<PathOddity, number>

const ODDITY_NAMES = Object.keys(ODDITY_BITS) as readonly PathOddity[]

/** The bits of `PathFindings.oddities` for these names. */
export function pathOddityMask(names: readonly PathOddity[]): number {
  let mask = 0
  for (const name of names) mask |= ODDITY_BITS[name]
  return mask
}

/** The names of the bits, for messages. */
export function pathOddityNames(mask: number): PathOddity[] {
  return ODDITY_NAMES.filter((name) => (mask & ODDITY_BITS[name]) !== 0)
}

/** What {@link normalizePath} found besides the path. One object may be used for many calls. */
export class PathFindings {
  /** Bits of the oddities that the path had as it was sent, also in segments that `..` removed. */
  oddities = 0
  /** Why the path is malformed, as a sentence; '' when it is not. */
  fault = ''
}

const NUL = 0x00
const PERCENT = 0x25
const DOT = 0x2e
const SLASH = 0x2f
const SEMICOLON = 0x3b
const BACKSLASH = 0x5c

// Kinds of characters. What no rule names stays 0: refused.
const PLAIN = 1
const SLASH_KIND = 2
const DOT_KIND = 3
const ESCAPE = 4
const ENCODED = 5
const PARAMETERS = 6

const LETTERS_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const UNRESERVED = `${LETTERS_DIGITS}-._~`
const RESERVED_IN_SEGMENTS = "!$&'()*+,;=:@"

const KIND = new Uint8Array(256)
for (const char of UNRESERVED + RESERVED_IN_SEGMENTS) KIND[char.charCodeAt(0)] = PLAIN
for (const char of '"<>[]^`{|}\\') KIND[char.charCodeAt(0)] = ENCODED
KIND[SEMICOLON] = PARAMETERS
KIND[SLASH] = SLASH_KIND
KIND[DOT] = DOT_KIND
KIND[PERCENT] = ESCAPE

/** The normal form of each octet that came percent-encoded. */
const OCTET_TEXT: readonly string[] = Array.from({ length: 256 }, (_, octet) => {
  const char = String.fromCharCode(octet)
  return UNRESERVED.includes(char) ? char : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
})

/**
 * The normal form of an origin-form path without query; the same string when it already is one. Normalising twice
 * changes nothing. Returns '' when the path is malformed: `findings.fault` then says why.
 */
export function normalizePath(path: string, findings: PathFindings): string {
  findings.oddities = 0
  findings.fault = ''
  const length = path.length
  if (length === 0 || path.charCodeAt(0) !== SLASH) return refuse(findings, 'The path must start with "/".')
  for (let at = 1; at < length; at++) {
    const kind = KIND[path.charCodeAt(at)]
    if (kind === PLAIN) continue
    if (kind === SLASH_KIND || kind === PARAMETERS) {
      if (path.charCodeAt(at - 1) === SLASH) findings.oddities = ODDITY_BITS.empty_segment
    } else if (kind !== DOT_KIND || path.charCodeAt(at - 1) === SLASH) {
      return normalizeUnusual(path, findings)
    }
  }
  return path
}

/** The whole work, for paths with escapes, dots at the start of a segment, or characters out of place. */
function normalizeUnusual(path: string, findings: PathFindings): string {
  findings.oddities = 0
  const plain = normalizeOctets(path, findings)
  if (plain === '') return ''
  // Looked for before `..` may take an empty segment away: `/a//../b` is `/b` to servers that merge slashes.
  if (hasEmptySegment(plain)) findings.oddities |= ODDITY_BITS.empty_segment
  if (hidesDotSegment(plain)) return refuse(findings, HIDDEN_DOTS)
  const normal = removeDotSegments(plain, findings)
  return normal.indexOf('%') === -1 ? normal : checkDecoded(normal, findings)
}

const HIDDEN_DOTS = 'The path hides a dot segment beside an encoded separator or a ";".'
const OVERLONG = /%C[01]%[89AB]|%E0%8[01]%[89AB]|%F0%80%8[01]%[89AB]/

/** What the normal form becomes in the hands of those who decode it again. Returns it, or refuses it. */
function checkDecoded(normal: string, findings: PathFindings): string {
  const decoded = unnest(normal)
  if (OVERLONG.test(decoded)) return refuse(findings, 'The path holds ASCII as overlong UTF-8 (RFC 3629, 3).')
  if (decoded === normal) return normal
  if (hasNested(decoded)) return refuse(findings, 'The path is percent-encoded over and over.')
  if (hasDotSegment(decoded) || hidesDotSegment(decoded)) return refuse(findings, HIDDEN_DOTS)
  if (hasEmptySegment(decoded)) findings.oddities |= ODDITY_BITS.empty_segment
  for (const [text, bit] of ODD_ESCAPES) if (decoded.includes(text)) findings.oddities |= bit
  return normal
}

const ODD_ESCAPES = [
  ['%2F', ODDITY_BITS.encoded_slash],
  ['%5C', ODDITY_BITS.encoded_backslash],
  ['%00', ODDITY_BITS.encoded_null],
] as const

/** An escape of an escape, as `%2561` or `%252561`. */
const NESTED = /%(?:25)+([0-9A-Fa-f]{2})/g
/** Each round undoes any number of encodings, but for those that were done to single digits of an escape. */
const UNNEST_ROUNDS_MAX = 4

const hasNested = (path: string): boolean => path.search(NESTED) !== -1

/** The path with escapes of escapes decoded, to the normal form of the octet that they stand for. */
function unnest(path: string): string {
  let decoded = path
  for (let round = 0; round < UNNEST_ROUNDS_MAX && decoded.includes('%25'); round++) {
    decoded = decoded.replace(NESTED, (_, hex: string) => OCTET_TEXT[Number.parseInt(hex, 16)] ?? '')
  }
  return decoded
}

/** `//`, or a segment that is nothing once its parameters are taken away. */
function hasEmptySegment(path: string): boolean {
  return path.includes('//') || path.includes('/;') || path.includes('/%3B')
}

function normalizeOctets(path: string, findings: PathFindings): string {
  let normal = ''
  let copied = 0
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at)
    const kind = KIND[code]
    if (kind === ESCAPE) {
      const octet = octetAt(path, at + 1)
      if (octet < 0) return refuse(findings, 'The path has a "%" without two hexadecimal digits after it.')
      findings.oddities |= oddityOfOctet(octet)
      const text = OCTET_TEXT[octet] ?? ''
      if (!path.startsWith(text, at)) {
        normal += path.slice(copied, at) + text
        copied = at + 3
      }
      at += 2
    } else if (kind === ENCODED) {
      if (code === BACKSLASH) findings.oddities |= ODDITY_BITS.encoded_backslash
      normal += path.slice(copied, at) + (OCTET_TEXT[code] ?? '')
      copied = at + 1
    } else if (kind !== PLAIN && kind !== SLASH_KIND && kind !== DOT_KIND && kind !== PARAMETERS) {
      return refuse(findings, 'The path holds a character that must be percent-encoded (RFC 3986, 3.3).')
    }
  }
  return copied === 0 ? path : normal + path.slice(copied)
}

function octetAt(path: string, at: number): number {
  if (at + 1 >= path.length) return -1
  const high = HEX_VALUE[path.charCodeAt(at)] ?? 255
  const low = HEX_VALUE[path.charCodeAt(at + 1)] ?? 255
  return high === 255 || low === 255 ? -1 : high * 16 + low
}

function oddityOfOctet(octet: number): number {
  if (octet === SLASH) return ODDITY_BITS.encoded_slash
  if (octet === BACKSLASH) return ODDITY_BITS.encoded_backslash
  return octet === NUL ? ODDITY_BITS.encoded_null : 0
}

/**
 * Whether `.` or `..` is a segment to a laxer reader only: one that decodes `%2F`, `%5C` and `%00` before it looks for
 * separators, or cuts segments at `;`. Expects upper-case escapes.
 */
function hidesDotSegment(path: string): boolean {
  let at = path.indexOf('.')
  while (at !== -1) {
    const end = path.charCodeAt(at + 1) === DOT ? at + 2 : at + 1
    const before = path.charCodeAt(at - 1) === SLASH
    const after = end === path.length || path.charCodeAt(end) === SLASH
    if (!(before && after)) {
      const opens = before || path.startsWith('%2F', at - 3) || path.startsWith('%5C', at - 3)
      if (opens && (after || endsLaxSegment(path, end))) return true
    }
    at = path.indexOf('.', end)
  }
  return false
}

function endsLaxSegment(path: string, at: number): boolean {
  if (path.charCodeAt(at) === SEMICOLON) return true
  return (
    path.startsWith('%3B', at) ||
    path.startsWith('%2F', at) ||
    path.startsWith('%5C', at) ||
    path.startsWith('%00', at)
  )
}

/** RFC 3986, 5.2.4, but for going above the root. */
function removeDotSegments(path: string, findings: PathFindings): string {
  if (!hasDotSegment(path)) return path
  const kept: string[] = []
  const segments = path.split('/')
  const last = segments.length - 1
  for (let index = 1; index <= last; index++) {
    const segment = segments[index] ?? ''
    if (segment === '..') {
      if (kept.length === 0) return refuse(findings, 'The path climbs above its root with "..".')
      kept.pop()
    } else if (segment !== '.') {
      kept.push(segment)
      continue
    }
    // A final dot segment leaves a directory: `/a/.` is `/a/`.
    if (index === last) kept.push('')
  }
  return `/${kept.join('/')}`
}

function hasDotSegment(path: string): boolean {
  let at = path.indexOf('/.')
  while (at !== -1) {
    const end = path.charCodeAt(at + 2) === DOT ? at + 3 : at + 2
    if (end === path.length || path.charCodeAt(end) === SLASH) return true
    at = path.indexOf('/.', end)
  }
  return false
}

function refuse(findings: PathFindings, fault: string): '' {
  findings.fault = fault
  return ''
}

const FOLDED = new Uint8Array(256)
for (const char of RESERVED_IN_SEGMENTS) FOLDED[char.charCodeAt(0)] = 1

/**
 * The form in which the router compares paths: escapes of reserved characters that mean nothing in a segment
 * (`! $ & ' ( ) * + , ; = : @`) are decoded, and escapes of escapes of anything. Upstreams decode them anyway, some more than
 * once, so `/%40admin` and `/%2540admin` must not walk past a route for `/@admin`. Expects a normalised path; keeps the
 * number of segments.
 */
export function foldReservedEscapes(normal: string): string {
  if (normal.indexOf('%') === -1) return normal
  const path = unnest(normal)
  let at = path.indexOf('%')
  let folded = ''
  let copied = 0
  while (at !== -1) {
    const octet = octetAt(path, at + 1)
    if (octet >= 0 && FOLDED[octet] === 1) {
      folded += path.slice(copied, at) + String.fromCharCode(octet)
      copied = at + 3
    }
    at = path.indexOf('%', at + 3)
  }
  return copied === 0 ? path : folded + path.slice(copied)
}

/** The folded path without the parameters of its segments (`;x=y`): what servlet containers, and their like, compare. */
export function withoutParameters(folded: string): string {
  return folded.indexOf(';') === -1 ? folded : folded.replace(/;[^/]*/g, '')
}

/** Percent-decodes a normalised segment as UTF-8; returns it as it is where the octets are not UTF-8. */
export function decodeSegment(segment: string): string {
  if (segment.indexOf('%') === -1) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
