import { FieldLines } from '../fields.ts'
import { FieldRole } from './field-names.ts'
import {
  connectionOptions,
  type FieldReader,
  listHas,
  NEVER_HOP_BY_HOP,
  parseContentLength,
  readScannedFields,
  scanFields,
} from './field-section.ts'
import { HeadMemory, LatestHead } from './head-memory.ts'
import { Malformed, RESPONSE_CODES } from './malformed.ts'
import type { HeadLimits } from './request-head.ts'
import { CR, IS_VALUE, LF, SP } from './syntax.ts'

/** A parsed response head, held to the same rules as a request's. Hop-by-hop fields are not among `fields`. */
export class ResponseHead implements FieldReader {
  readonly fields = new FieldLines()
  status = 0
  minorVersion = 1
  /** -1: no Content-Length. */
  contentLength = -1
  chunked = false
  /** Whether the upstream keeps the connection for another request (RFC 9112, 9.3). */
  keepAlive = true
  /** The Upgrade value, when Connection lists `upgrade`. */
  upgrade: string | null = null
  end = 0
  #connection: string | null = null

  /** What the Connection field says, all its lines joined; null without one. */
  get connection(): string | null {
    return this.#connection
  }

  readKnown(role: FieldRole, value: string): boolean {
    switch (role) {
      case FieldRole.contentLength:
        return this.#readContentLength(value)
      case FieldRole.transferEncoding:
        if (this.chunked || value.toLowerCase() !== 'chunked') {
          throw malformed('The Transfer-Encoding is something other than one "chunked" (RFC 9112, 6.1)')
        }
        this.chunked = true
        return false
      case FieldRole.connection:
        this.#connection = this.#connection === null ? value : `${this.#connection},${value}`
        return false
      case FieldRole.upgrade:
        this.upgrade = this.upgrade === null ? value : `${this.upgrade}, ${value}`
        return false
      case FieldRole.dropped:
      case FieldRole.te:
        return false
      default:
        return true
    }
  }

  #readContentLength(value: string): boolean {
    if (this.contentLength !== -1)
      throw malformed('There is more than one Content-Length field (RFC 9112, 6.3)')
    const length = parseContentLength(value)
    if (length === -1) throw malformed('The Content-Length is not a number (RFC 9110, 8.6)')
    this.contentLength = length
    return true
  }

  /** Takes what another head said, before `finish` of either. */
  take(from: ResponseHead): void {
    this.fields.take(from.fields.share())
    this.status = from.status
    this.minorVersion = from.minorVersion
    this.contentLength = from.contentLength
    this.chunked = from.chunked
    this.upgrade = from.upgrade
    this.#connection = from.#connection
  }

  /** Whether its protocol is among those of the request's Upgrade (RFC 9110, 7.8). */
  switchesTo(offered: string | null): boolean {
    return offered !== null && this.upgrade !== null && listHas(offered, this.upgrade.toLowerCase())
  }

  finish(): void {
    this.#checkFraming()
    this.#applyConnection()
    this.#checkEmpty()
    // What closes has no final response after it; HTTP/1.0 has no interim ones at all (RFC 9110, 15.2).
    if (this.status < 200 && this.status !== 101 && !this.keepAlive) {
      throw malformed('An interim response closes the connection (RFC 9112, 9.6)')
    }
  }

  /** What some peer may take for content that this status cannot have, the next client would get (RFC 9112, 6.3). */
  #checkEmpty(): void {
    if (!this.chunked && this.contentLength <= 0) return
    if (this.status < 200) throw malformed('An interim response announces content (RFC 9110, 8.6)')
    if (this.status === 204) this.keepAlive = false
  }

  #checkFraming(): void {
    if (this.chunked && this.contentLength !== -1) {
      throw malformed('There are both Content-Length and Transfer-Encoding (RFC 9112, 6.1)')
    }
    if (this.minorVersion === 0) {
      if (this.chunked) throw malformed('An HTTP/1.0 response has Transfer-Encoding (RFC 9112, 6.1)')
      this.keepAlive = false
    }
  }

  #applyConnection(): void {
    const connection = this.#connection
    if (connection === null || connection === 'keep-alive') {
      if (connection !== null) this.keepAlive = true
      this.upgrade = null
      return
    }
    let close = false
    for (const option of connectionOptions(connection, RESPONSE_CODES)) {
      if (option === 'close') close = true
      else if (option === 'keep-alive') this.keepAlive = true
      else if (option !== 'upgrade' && !NEVER_HOP_BY_HOP.has(option)) this.fields.delete(option)
    }
    if (close) this.keepAlive = false
    if (this.upgrade === '' || !listHas(connection, 'upgrade')) this.upgrade = null
  }
}

const malformed = (detail: string) => new Malformed(RESPONSE_CODES.malformed, detail)

const latest = new LatestHead<ResponseHead>()

/** For the responses of one connection; what they have in common with those of others is kept once. */
export function responseMemory(): HeadMemory<ResponseHead> {
  return new HeadMemory(latest)
}

/**
 * Reads the response head at `start` (RFC 9112, 4). Returns null while bytes are missing; throws Malformed with
 * UPSTREAM_RESPONSE_INVALID. `memory` is the connection's; a Date makes it good for a second.
 */
export function readResponseHead(
  buffer: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
  memory: HeadMemory<ResponseHead> | null = null,
): ResponseHead | null {
  const head = new ResponseHead()
  const known = memory === null ? null : memory.recall(buffer, start, end, limits)
  if (known !== null && memory !== null) {
    head.take(known)
    head.finish()
    head.end = start + memory.length
    return head
  }
  const fieldsStart = readStatusLine(buffer, start, end, head)
  const headEnd =
    fieldsStart === -1 ? -1 : scanFields(buffer, fieldsStart, end, limits.headerCountMax, RESPONSE_CODES)
  if ((headEnd === -1 ? end : headEnd) - start > limits.headBytesMax) {
    throw malformed(`The head of the response is longer than ${limits.headBytesMax} bytes`)
  }
  if (headEnd === -1) return null
  const text = buffer.toString('latin1', start, headEnd)
  readScannedFields(buffer, text, start, head)
  if (memory?.wants(headEnd - start)) {
    const remembered = new ResponseHead()
    remembered.take(head)
    memory.remember(text, limits, remembered)
  }
  head.finish()
  head.end = headEnd
  return head
}

const VERSION_BYTES = Buffer.from('HTTP/1.')

/** Returns where the field lines start, or -1 while bytes are missing. The reason phrase is dropped. */
function readStatusLine(buffer: Uint8Array, start: number, end: number, head: ResponseHead): number {
  const length = VERSION_BYTES.length
  for (let k = 0; k < length; k++) {
    if (start + k === end) return -1
    if (buffer[start + k] !== VERSION_BYTES[k])
      throw malformed('It does not start with HTTP/1.x (RFC 9112, 4)')
  }
  let i = start + length
  if (i < end && buffer[i] !== 0x30 && buffer[i] !== 0x31) {
    throw malformed('Its version is neither HTTP/1.0 nor HTTP/1.1')
  }
  if (i + 1 < end && buffer[i + 1] !== SP)
    throw malformed('There is no space after the version (RFC 9112, 4)')
  if (i + 5 >= end) return -1
  head.minorVersion = (buffer[i] as number) - 0x30
  head.status = readStatus(buffer, i + 2)
  i += 5
  // The space is owed even before an empty reason phrase; many servers leave both out.
  if (buffer[i] !== SP && buffer[i] !== CR)
    throw malformed('The status code is not three digits (RFC 9112, 4)')
  while (i < end && IS_VALUE[buffer[i] as number] === 1) i++
  if (i < end && buffer[i] !== CR)
    throw malformed('The reason phrase holds a control character (RFC 9112, 4)')
  if (i + 1 < end && buffer[i + 1] !== LF) throw malformed('A CR stands without LF (RFC 9112, 2.2)')
  return i + 1 < end ? i + 2 : -1
}

function readStatus(buffer: Uint8Array, at: number): number {
  let status = 0
  for (let k = 0; k < 3; k++) {
    const digit = (buffer[at + k] as number) - 0x30
    if (digit < 0 || digit > 9) throw malformed('The status code is not three digits (RFC 9112, 4)')
    status = status * 10 + digit
  }
  if (status < 100 || status > 599)
    throw malformed(`The status code ${status} is not in 100 to 599 (RFC 9110, 15)`)
  return status
}
