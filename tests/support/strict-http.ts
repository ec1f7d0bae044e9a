/**
 * A second opinion on what is on a wire: a reader of HTTP/1.1 that shares no line with the gateway and takes only the
 * narrowest form of a message. What it refuses, some server would read in another way than its neighbour.
 *
 * All text is one character per byte.
 */

export class NotStrict extends Error {}

export interface StrictMessage {
  /** Names in lower case, in the order sent. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
  /** How many characters the message takes. */
  readonly length: number
}

export interface StrictRequest extends StrictMessage {
  readonly method: string
  readonly target: string
}

export interface StrictResponse extends StrictMessage {
  readonly status: number
}

/** The request at the start of the text, or null while it is incomplete. Throws NotStrict. */
export function readStrictRequest(text: string): StrictRequest | null {
  const head = readHead(text)
  if (head === null) return null
  const line = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\/[!-"$-~]*|\*) HTTP\/1\.1$/.exec(head.startLine)
  if (line === null) throw new NotStrict(`request line ${JSON.stringify(head.startLine)}`)
  if (valuesOf(head, 'host').length !== 1) throw new NotStrict('not one Host field')
  if (!/^[\w.~!$&'()*+;=%-]+(:\d+)?$/.test(valuesOf(head, 'host')[0] ?? ''))
    throw new NotStrict('a strange Host')
  const connection = valuesOf(head, 'connection').join()
  if (!['', 'upgrade'].includes(connection)) throw new NotStrict(`Connection: ${connection}`)
  const body = readBody(text, head, 0)
  return body && { ...body, fields: head.fields, method: line[1] ?? '', target: line[2] ?? '' }
}

/**
 * The response at the start of the text, interim responses before it left out, or null while it is incomplete. `closed`
 * says that nothing follows the text. Throws NotStrict.
 */
export function readStrictResponse(text: string, method: string, closed: boolean): StrictResponse | null {
  const head = readHead(text)
  if (head === null) return null
  const status = Number(/^HTTP\/1\.1 ([1-5]\d\d) [ -~]*$/.exec(head.startLine)?.[1] ?? 0)
  if (status === 0) throw new NotStrict(`status line ${JSON.stringify(head.startLine)}`)
  if (status < 200 && status !== 101) {
    const final = readStrictResponse(text.slice(head.length), method, closed)
    return final && { ...final, length: final.length + head.length }
  }
  const isEmpty = method === 'HEAD' || status === 101 || status === 204 || status === 304
  const untilClose = closed ? text.length - head.length : -1
  const body = isEmpty ? { body: '', length: head.length } : readBody(text, head, untilClose)
  return body && { ...body, fields: head.fields, status }
}

interface Head {
  readonly startLine: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly length: number
}

function readHead(text: string): Head | null {
  const end = text.indexOf('\r\n\r\n')
  const part = end === -1 ? text : text.slice(0, end)
  const lines = part.split('\r\n')
  // Of an incomplete head the last line may be cut anywhere, even between CR and LF.
  const known = end === -1 ? lines.slice(0, -1) : lines
  const [startLine = '', ...fieldLines] = known
  if (/[\0-\x1f\x7f]/.test(startLine)) throw new NotStrict(`start line ${JSON.stringify(startLine)}`)
  const fields = fieldLines.map(readFieldLine)
  return end === -1 ? null : { startLine, fields, length: end + 4 }
}

function readFieldLine(line: string): [name: string, value: string] {
  const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)[ \t]*$/.exec(
    line,
  )
  if (found === null) throw new NotStrict(`field line ${JSON.stringify(line)}`)
  const name = (found[1] ?? '').toLowerCase()
  // Servers of the CGI kind see no difference between `_` and `-`.
  if (/^(content_length|transfer_encoding|x_forwarded_\w+)$/.test(name)) throw new NotStrict(name)
  return [name, found[2] ?? '']
}

function valuesOf(head: Head, name: string): string[] {
  return head.fields.flatMap(([known, value]) => (known === name ? [value] : []))
}

/** `otherwise` is the length of a body that no field frames; -1: unknown yet. */
function readBody(text: string, head: Head, otherwise: number): { body: string; length: number } | null {
  const lengths = valuesOf(head, 'content-length')
  const codings = valuesOf(head, 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw new NotStrict('more than one framing field')
  if (codings.length === 1) {
    if (codings[0] !== 'chunked') throw new NotStrict(`Transfer-Encoding: ${codings[0]}`)
    return readChunks(text, head.length)
  }
  const [length] = lengths
  if (length !== undefined && !/^(0|[1-9]\d{0,14})$/.test(length)) {
    throw new NotStrict(`Content-Length: ${length}`)
  }
  const size = length === undefined ? otherwise : Number(length)
  if (size === -1 || text.length < head.length + size) return null
  return { body: text.slice(head.length, head.length + size), length: head.length + size }
}

function readChunks(text: string, start: number): { body: string; length: number } | null {
  let body = ''
  for (let at = start; ; ) {
    const line = /^([0-9a-f]{1,12})\r\n/.exec(text.slice(at, at + 14))
    if (line === null) {
      if (/^[0-9a-f]{0,12}\r?$/.test(text.slice(at))) return null
      throw new NotStrict(`chunk size ${JSON.stringify(text.slice(at, at + 14))}`)
    }
    at += line[0].length
    const size = Number.parseInt(line[1] ?? '', 16)
    if (size === 0) return readTrailers(text, at, body)
    if (text.length < at + size + 2) return null
    body += text.slice(at, at + size)
    if (!text.startsWith('\r\n', at + size)) throw new NotStrict('a chunk that is longer than its size')
    at += size + 2
  }
}

function readTrailers(text: string, start: number, body: string): { body: string; length: number } | null {
  for (let at = start; ; ) {
    const end = text.indexOf('\r\n', at)
    if (end === -1) return null
    if (end === at) return { body, length: end + 2 }
    const [name] = readFieldLine(text.slice(at, end))
    if (/^(host|content-length|transfer-encoding)$/.test(name)) throw new NotStrict(`trailer field ${name}`)
    at = end + 2
  }
}
