import { CONNECTION_OPTIONS_MAX, HEADER_COUNT_CEILING } from '../../config/limits.ts'
import type { FieldLines } from '../fields.ts'
import { FieldRole, isAlias, isForwardedExtension, knownNameAt } from './field-names.ts'
import { Malformed, type MalformedCodes } from './malformed.ts'
import { COLON, CR, HTAB, IS_TOKEN, IS_VALUE, LF, SP } from './syntax.ts'

/**
 * Reads field lines up to the empty line that ends them (RFC 9112, 5). Strict: no obs-fold, no white space before the
 * colon, no bare CR or LF, no control characters.
 *
 * Two steps, so that nothing is made of a section that is not whole: `scanFields` validates and remembers offsets,
 * `readScannedFields` makes strings of them.
 */

const OFFSETS_PER_LINE = 4

/** Offsets of the section scanned last: name start, name end, value start, value end. One parser runs at a time. */
const offsets = new Int32Array(HEADER_COUNT_CEILING * OFFSETS_PER_LINE)
let lineCount = 0

/** Where the scanned section ends: the offset after its empty line, or -1 when bytes are missing. */
export function scanFields(
  buffer: Uint8Array,
  start: number,
  end: number,
  linesMax: number,
  codes: MalformedCodes,
): number {
  lineCount = 0
  let i = start
  while (i < end) {
    if (buffer[i] === CR) {
      if (i + 1 === end) return -1
      if (buffer[i + 1] !== LF) throw new Malformed(codes.malformed, 'A CR stands without LF (RFC 9112, 2.2)')
      return i + 2
    }
    if (lineCount === linesMax) {
      throw new Malformed(codes.tooLarge, `The head has more than ${linesMax} field lines`)
    }
    i = scanLine(buffer, i, end, codes)
    if (i === -1) return -1
  }
  return -1
}

function scanLine(buffer: Uint8Array, start: number, end: number, codes: MalformedCodes): number {
  let i = start
  while (i < end && IS_TOKEN[buffer[i] as number] === 1) i++
  if (i === end) return -1
  if (buffer[i] !== COLON || i === start) throw badName(buffer, start, i, codes)
  const nameEnd = i++
  while (i < end && (buffer[i] === SP || buffer[i] === HTAB)) i++
  const valueStart = i
  while (i < end && IS_VALUE[buffer[i] as number] === 1) i++
  if (i === end || (buffer[i] === CR && i + 1 === end)) return -1
  if (buffer[i] !== CR || buffer[i + 1] !== LF) {
    throw new Malformed(
      codes.malformed,
      'A field value holds a control character, a bare CR or a bare LF (RFC 9110, 5.5)',
    )
  }
  let valueEnd = i
  while (valueEnd > valueStart && (buffer[valueEnd - 1] === SP || buffer[valueEnd - 1] === HTAB)) valueEnd--
  const at = lineCount++ * OFFSETS_PER_LINE
  offsets[at] = start
  offsets[at + 1] = nameEnd
  offsets[at + 2] = valueStart
  offsets[at + 3] = valueEnd
  return i + 2
}

function badName(buffer: Uint8Array, start: number, at: number, codes: MalformedCodes): Malformed {
  const byte = buffer[at]
  if (at === start && (byte === SP || byte === HTAB)) {
    return new Malformed(codes.malformed, 'A field line is folded (obs-fold; RFC 9112, 5.2)')
  }
  if (byte === SP || byte === HTAB) {
    return new Malformed(
      codes.malformed,
      'White space stands before the colon of a field line (RFC 9112, 5.1)',
    )
  }
  return new Malformed(
    codes.malformed,
    'A field name is empty or holds a character that is no token (RFC 9110, 5.1)',
  )
}

/** Receives the fields that mean something to the gateway itself, as they are read. */
export interface FieldReader {
  readonly fields: FieldLines
  /** Returns whether the line is kept among `fields`. */
  readKnown(role: FieldRole, value: string): boolean
}

/** Makes strings of the section that `scanFields` just found whole. `text` is the buffer from `textStart` on. */
export function readScannedFields(
  buffer: Uint8Array,
  text: string,
  textStart: number,
  reader: FieldReader,
): void {
  const { fields } = reader
  for (let line = 0; line < lineCount; line++) {
    const at = line * OFFSETS_PER_LINE
    const nameStart = offsets[at] as number
    const nameEnd = offsets[at + 1] as number
    const value = text.substring(
      (offsets[at + 2] as number) - textStart,
      (offsets[at + 3] as number) - textStart,
    )
    const known = knownNameAt(buffer, nameStart, nameEnd)
    if (known === null) {
      const name = text.substring(nameStart - textStart, nameEnd - textStart).toLowerCase()
      if (isAlias(name)) {
        if (!reader.readKnown(FieldRole.alias, value)) continue
      } else if (isForwardedExtension(name) && !reader.readKnown(FieldRole.forwarding, value)) continue
      fields.append(name, value)
    } else if (known.role === FieldRole.none) {
      fields.append(known.name, value)
    } else {
      const tab = known.role === FieldRole.transferEncoding && tabFollows(buffer, offsets[at + 3] as number)
      if (reader.readKnown(known.role, tab ? `${value}\t` : value)) fields.append(known.name, value)
    }
  }
}

/**
 * Whether HTAB is in the white space after a value. A transfer coding keeps it, and is then none: llhttp takes the tab
 * for part of the coding, and with it an upstream on Node would see another framing than ours.
 */
function tabFollows(buffer: Uint8Array, valueEnd: number): boolean {
  let i = valueEnd
  while (buffer[i] === SP) i++
  return buffer[i] === HTAB
}

/**
 * The length that a Content-Length value says, or -1 when it is not 1*DIGIT or beyond what a double counts exactly
 * (RFC 9110, 8.6).
 */
export function parseContentLength(value: string): number {
  const digits = value.length
  if (digits === 0 || digits > 15) return -1
  let length = 0
  for (let i = 0; i < digits; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
  }
  return length
}

/**
 * `text` without SP and HTAB at its ends. `String.trim` would take U+00A0 too, a plain byte of a field value here, and
 * then see a `close` that no other reader of the message sees.
 */
export function trimWhiteSpace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isWhiteSpace(text.charCodeAt(start))) start++
  while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end--
  return text.substring(start, end)
}

const isWhiteSpace = (code: number) => code === SP || code === HTAB

/** Whether a comma-separated list of tokens holds `token` (lower case), in any case (RFC 9110, 5.6.1). */
export function listHas(list: string, token: string): boolean {
  if (list === token) return true
  if (list.length < token.length) return false
  for (const element of list.split(',')) {
    if (trimWhiteSpace(element).toLowerCase() === token) return true
  }
  return false
}

/** The options of a Connection field (RFC 9110, 7.6.1), in lower case. Throws Malformed when there are too many. */
export function connectionOptions(connection: string, codes: MalformedCodes): string[] {
  const options = connection.split(',', CONNECTION_OPTIONS_MAX + 1)
  if (options.length > CONNECTION_OPTIONS_MAX) {
    throw new Malformed(
      codes.malformed,
      `The Connection field has more than ${CONNECTION_OPTIONS_MAX} options`,
    )
  }
  return options.map((option) => trimWhiteSpace(option).toLowerCase())
}

/**
 * No hop's own to remove, though Connection names it: a request would change its site, a message lose its length on the
 * way.
 */
export const NEVER_HOP_BY_HOP: ReadonlySet<string> = new Set(['', 'host', 'content-length'])
