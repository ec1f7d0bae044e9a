import { FieldLines } from '../fields.ts'
import { FieldRole } from './field-names.ts'
import {
  connectionOptions,
  type FieldReader,
  NEVER_HOP_BY_HOP,
  parseContentLength,
  readScannedFields,
  scanFields,
} from './field-section.ts'
import { HeadMemory, LatestHead } from './head-memory.ts'
import { Malformed, REQUEST_CODES } from './malformed.ts'
import { CR, IS_TARGET, IS_TOKEN, isHost, LF, SP } from './syntax.ts'

/** A parsed request head. Hop-by-hop fields are not among `fields`: what they say stands in members of their own. */
export class RequestHead implements FieldReader {
  readonly fields = new FieldLines()
  method = ''
  /** The request target as sent (RFC 9112, 3.2). */
  target = ''
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  minorVersion = 1
  /** The Host value, lower case; of an absolute-form target its authority; '' when HTTP/1.0 sent none. */
  host = ''
  /** -1: no Content-Length. */
  contentLength = -1
  chunked = false
  /** Whether the connection may serve another request (RFC 9112, 9.3). */
  keepAlive = true
  /** The Upgrade value, when Connection lists `upgrade`; none that leads on to other requests (h2c, TLS). */
  upgrade: string | null = null
  expectContinue = false
  /** Some field of role `forwarding` is among the lines. */
  hasForwardingFields = false
  /** Offset after the head in the buffer it was read from. */
  end = 0
  #hostSeen = false
  #connection: string | null = null
  #upgradeValue: string | null = null

  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0
  }

  /**
   * The client sends nothing after it: no other request (RFC 9112, 9.6), no empty line, as some old clients do after
   * content, and nothing in another protocol that it may be switched to.
   */
  get isLast(): boolean {
    return !this.keepAlive && !this.hasBody && this.upgrade === null
  }

  /** What the Connection field says, all its lines joined; null without one. */
  get connection(): string | null {
    return this.#connection
  }

  /** Takes what the field section of another head said, before `finish` of either. */
  takeSection(from: RequestHead): void {
    this.fields.take(from.fields.share())
    this.host = from.host
    this.contentLength = from.contentLength
    this.chunked = from.chunked
    this.expectContinue = from.expectContinue
    this.hasForwardingFields = from.hasForwardingFields
    this.#hostSeen = from.#hostSeen
    this.#connection = from.#connection
    this.#upgradeValue = from.#upgradeValue
  }

  readKnown(role: FieldRole, value: string): boolean {
    switch (role) {
      case FieldRole.host:
        return this.#readHost(value)
      case FieldRole.contentLength:
        return this.#readContentLength(value)
      case FieldRole.transferEncoding:
        return this.#readTransferEncoding(value)
      case FieldRole.connection:
        this.#connection = this.#connection === null ? value : `${this.#connection},${value}`
        return false
      case FieldRole.upgrade:
        this.#upgradeValue = this.#upgradeValue === null ? value : `${this.#upgradeValue}, ${value}`
        return false
      case FieldRole.expect:
        return this.#readExpect(value)
      case FieldRole.forwarding:
        this.hasForwardingFields = true
        return true
      case FieldRole.te:
      case FieldRole.dropped:
        return false
      case FieldRole.alias:
        throw malformed('A field name has "_" where one that frames or forwards the request has "-"')
      default:
        return true
    }
  }

  #readHost(value: string): boolean {
    if (this.#hostSeen) throw malformed('There is more than one Host field (RFC 9112, 3.2)')
    if (!isHost(value)) throw malformed('The Host field is not a host with an optional port (RFC 9110, 7.2)')
    this.#hostSeen = true
    this.host = lowerCaseHost(value)
    return true
  }

  #readContentLength(value: string): boolean {
    if (this.contentLength !== -1)
      throw malformed('There is more than one Content-Length field (RFC 9112, 6.3)')
    const length = parseContentLength(value)
    if (length === -1) throw malformed('The Content-Length is not a number (RFC 9110, 8.6)')
    this.contentLength = length
    return true
  }

  #readTransferEncoding(value: string): boolean {
    if (this.chunked) throw malformed('There is more than one Transfer-Encoding field (RFC 9112, 6.1)')
    if (value.toLowerCase() !== 'chunked') {
      throw malformed('The Transfer-Encoding is something other than "chunked" (RFC 9112, 6.1)')
    }
    this.chunked = true
    return false
  }

  #readExpect(value: string): boolean {
    if (value.toLowerCase() !== '100-continue') {
      throw new Malformed(
        'REQUEST_EXPECTATION_UNKNOWN',
        'The Expect field holds something other than 100-continue',
      )
    }
    this.expectContinue = true
    return false
  }

  /** What can only be said of the head as a whole. */
  finish(): void {
    if (this.chunked && this.contentLength !== -1) {
      throw malformed('There are both Content-Length and Transfer-Encoding (RFC 9112, 6.1)')
    }
    if (this.minorVersion === 1) {
      if (!this.#hostSeen) throw malformed('The Host field is missing (RFC 9112, 3.2)')
    } else {
      if (this.chunked) throw malformed('An HTTP/1.0 request has Transfer-Encoding (RFC 9112, 6.1)')
      this.keepAlive = false
      this.expectContinue = false
    }
    this.#readTargetForm()
    if (this.#connection !== null) this.#applyConnection(this.#connection)
  }

  #readTargetForm(): void {
    const target = this.target
    const first = target.charCodeAt(0)
    if (this.method === 'CONNECT') {
      throw new Malformed('REQUEST_METHOD_UNSUPPORTED', 'CONNECT is for forward proxies')
    }
    if (first === 0x2f) return
    if (target === '*') {
      if (this.method === 'OPTIONS') return
      throw malformed('The target "*" is for OPTIONS only (RFC 9112, 3.2.4)')
    }
    this.#readAbsoluteForm(target)
  }

  /** RFC 9112, 3.2.2: the authority of an absolute-form target replaces the Host field. */
  #readAbsoluteForm(target: string): void {
    const schemeLength = /^https?:\/\//i.exec(target)?.[0].length
    if (schemeLength === undefined) {
      throw malformed('The target is neither a path, nor an http URI, nor "*" (RFC 9112, 3.2)')
    }
    let pathStart = schemeLength
    while (pathStart < target.length && !'/?'.includes(target.charAt(pathStart))) pathStart++
    const authority = target.slice(schemeLength, pathStart)
    if (!isHost(authority)) throw malformed('The authority of the target is not a host (RFC 9110, 4.2)')
    this.host = lowerCaseHost(authority)
    this.fields.set('host', authority)
    const rest = target.slice(pathStart)
    // RFC 9112, 3.2.4: without path and query, OPTIONS is about the server as a whole.
    if (rest === '' && this.method === 'OPTIONS') this.target = '*'
    else this.target = rest.charCodeAt(0) === 0x2f ? rest : `/${rest}`
  }

  #applyConnection(connection: string): void {
    if (connection === 'keep-alive' || connection === 'Keep-Alive') {
      this.keepAlive = true
      return
    }
    let close = false
    for (const option of connectionOptions(connection, REQUEST_CODES)) {
      if (option === 'close') close = true
      else if (option === 'keep-alive') this.keepAlive = true
      else if (option === 'upgrade') this.#applyUpgrade()
      else if (!NEVER_HOP_BY_HOP.has(option)) this.fields.delete(option)
    }
    if (close) this.keepAlive = false
  }

  #applyUpgrade(): void {
    const value = this.#upgradeValue
    // Protocols are offered only over a body-less HTTP/1.1 request.
    if (value === null || value === '' || this.minorVersion === 0 || this.hasBody) return
    if (CARRIES_HTTP.test(value)) return
    this.upgrade = value
  }
}

/** Protocols in which a client would go on with requests past every plugin: RFC 9113, 3.1, RFC 2817, and HTTP itself. */
const CARRIES_HTTP = /(?:^|,)[ \t]*(?:h2c|h2|tls|http)[ \t]*(?:[/,]|$)/i

const malformed = (detail: string) => new Malformed(REQUEST_CODES.malformed, detail)

function lowerCaseHost(host: string): string {
  for (let i = 0; i < host.length; i++) {
    const code = host.charCodeAt(i)
    if (code >= 0x41 && code <= 0x5a) return host.toLowerCase()
  }
  return host
}

export interface HeadLimits {
  readonly headBytesMax: number
  readonly requestLineBytesMax: number
  readonly headerCountMax: number
}

const latest = new LatestHead<RequestHead>()

/** For the requests of one connection; what they have in common with those of others is kept once. */
export function requestMemory(): HeadMemory<RequestHead> {
  return new HeadMemory(latest)
}

/**
 * Reads the request head at `start` (RFC 9112, 2 to 6). Returns null while bytes are missing; throws Malformed with
 * what to answer. One empty line before the request line is skipped (RFC 9112, 2.2). `memory` is the connection's: the
 * field section is what requests have in common, while the line before it names another resource each time.
 */
export function readRequestHead(
  buffer: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
  memory: HeadMemory<RequestHead> | null = null,
): RequestHead | null {
  const lineStart = skipEmptyLine(buffer, start, end)
  const head = new RequestHead()
  const fieldsStart = readRequestLine(buffer, lineStart, end, limits.requestLineBytesMax, head)
  const known = fieldsStart === -1 || memory === null ? null : memory.recall(buffer, fieldsStart, end, limits)
  let headEnd = -1
  if (known !== null && memory !== null) headEnd = fieldsStart + memory.length
  else if (fieldsStart !== -1) {
    headEnd = scanFields(buffer, fieldsStart, end, limits.headerCountMax, REQUEST_CODES)
  }
  if ((headEnd === -1 ? end : headEnd) - start > limits.headBytesMax) {
    throw new Malformed(REQUEST_CODES.tooLarge, `The head is longer than ${limits.headBytesMax} bytes`)
  }
  if (headEnd === -1) return null
  if (known !== null) head.takeSection(known)
  else readSection(buffer, fieldsStart, headEnd, limits, head, memory)
  head.finish()
  head.end = headEnd
  return head
}

/** Reads the section that was just scanned, and remembers it. */
function readSection(
  buffer: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
  head: RequestHead,
  memory: HeadMemory<RequestHead> | null,
): void {
  const text = buffer.toString('latin1', start, end)
  readScannedFields(buffer, text, start, head)
  if (memory === null || !memory.wants(end - start)) return
  const remembered = new RequestHead()
  remembered.takeSection(head)
  memory.remember(text, limits, remembered)
}

function skipEmptyLine(buffer: Uint8Array, start: number, end: number): number {
  if (start >= end || buffer[start] !== CR) return start
  if (start + 1 === end) return end
  if (buffer[start + 1] !== LF) throw malformed('A CR stands without LF (RFC 9112, 2.2)')
  return start + 2
}

const VERSION_BYTES = Buffer.from('HTTP/1.')

/** Returns where the field lines start, or -1 while bytes are missing. */
function readRequestLine(
  buffer: Buffer,
  start: number,
  end: number,
  lineBytesMax: number,
  head: RequestHead,
): number {
  let i = start
  while (i < end && IS_TOKEN[buffer[i] as number] === 1) i++
  const methodEnd = i
  if (i < end) {
    if (buffer[i] !== SP || i === start) {
      throw malformed('The request does not start with a method and one space (RFC 9112, 3)')
    }
    i++
    while (i < end && IS_TARGET[buffer[i] as number] === 1) i++
  }
  if (i - start > lineBytesMax) {
    throw new Malformed('REQUEST_TARGET_TOO_LONG', `The request line is longer than ${lineBytesMax} bytes`)
  }
  if (i === end) return -1
  const targetEnd = i
  if (buffer[i] !== SP || targetEnd === methodEnd + 1) {
    throw malformed('The request target is empty, or holds a character it may not (RFC 9112, 3.2)')
  }
  const lineEnd = readVersion(buffer, targetEnd + 1, end, head)
  if (lineEnd === -1) return -1
  head.method = methodAt(buffer, start, methodEnd)
  head.target = buffer.toString('latin1', methodEnd + 1, targetEnd)
  return lineEnd
}

/** `HTTP/1.x` CRLF at `start`. Returns the offset after it, or -1 while bytes are missing. */
function readVersion(buffer: Uint8Array, start: number, end: number, head: RequestHead): number {
  const length = VERSION_BYTES.length
  for (let k = 0; k < length; k++) {
    if (start + k === end) return -1
    if (buffer[start + k] !== VERSION_BYTES[k]) return refuseVersion(buffer, start, end)
  }
  const at = start + length
  if (at === end) return -1
  const minor = (buffer[at] as number) - 0x30
  if (minor !== 1 && minor !== 0) return refuseVersion(buffer, start, end)
  if (at + 1 < end && buffer[at + 1] !== CR)
    throw malformed('The request line does not end after the version')
  if (at + 2 < end && buffer[at + 2] !== LF) throw malformed('A CR stands without LF (RFC 9112, 2.2)')
  if (at + 3 > end) return -1
  head.minorVersion = minor
  return at + 3
}

/** Throws, or returns -1 while what is there may still become the version of another HTTP. */
function refuseVersion(buffer: Uint8Array, start: number, end: number): -1 {
  const version = Buffer.from(buffer.subarray(start, Math.min(start + 8, end))).toString('latin1')
  if (/^HTTP\/\d\.\d$/.test(version)) {
    throw new Malformed('REQUEST_VERSION_UNSUPPORTED', `The version ${version} is not supported`)
  }
  if (/^HTTP\/\d\.?$/.test(version)) return -1
  throw malformed('The request line has no HTTP version (RFC 9112, 2.3)')
}

/** The two methods of nearly all traffic without a string of their own. */
function methodAt(buffer: Buffer, start: number, end: number): string {
  const length = end - start
  const first = buffer[start]
  if (length === 3 && first === 0x47 && buffer[start + 1] === 0x45 && buffer[start + 2] === 0x54) return 'GET'
  if (
    length === 4 &&
    first === 0x50 &&
    buffer[start + 1] === 0x4f &&
    buffer[start + 2] === 0x53 &&
    buffer[start + 3] === 0x54
  ) {
    return 'POST'
  }
  return buffer.toString('latin1', start, end)
}
