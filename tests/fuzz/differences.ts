import { METHODS } from 'node:http'
import { connectionOptions, type Lines } from './model.ts'

/**
 * Where Cardea is stricter than llhttp, Node's parser in its strict mode: what llhttp accepts and we refuse, by the
 * words of our refusal, with the reason and the shortest example. There is no such table for the other way round: what
 * llhttp refuses, we refuse, but for methods that it does not know.
 */
export interface Difference {
  readonly of: 'request' | 'response'
  /** How the sentence of our refusal starts. */
  readonly refusal: string
  readonly reason: string
  readonly example: string
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n'
const PUT = `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

export const STRICTER: readonly Difference[] = [
  {
    of: 'request',
    refusal: 'The Host field is not a host',
    reason:
      'llhttp does not look at the value; servers differ on which site "a/b", "u@a" or "" is (RFC 9110, 7.2).',
    example: 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'A field name has "_" where',
    reason: 'llhttp knows no such name; servers of the CGI kind read Transfer_Encoding as Transfer-Encoding.',
    example: `${GET}Transfer_Encoding: chunked\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'There is more than one Host field',
    reason: 'Two readers may choose two sites. RFC 9112, 3.2 asks for 400; Node takes the first.',
    example: `${GET}Host: b\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'The request target is empty, or holds a character',
    reason: 'RFC 9112, 3 allows one space only, and a target no space, fragment or byte past ASCII.',
    example: 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The request line has no HTTP version',
    reason: 'llhttp skips spaces before the version (RFC 9112, 3 allows one).',
    example: 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The version HTTP/',
    reason: 'What 0.9 and 2.0 mean in this form nobody has said; llhttp reads them as 1.x.',
    example: 'GET / HTTP/0.9\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The request does not start with a method',
    reason:
      'One empty line before a request is enough (RFC 9112, 2.2); llhttp skips any number, and bare LF too.',
    example: `\r\n\r\n${GET}\r\n`,
  },
  {
    of: 'request',
    refusal: 'A CR stands without LF',
    reason: 'llhttp skips it before a request line (RFC 9112, 2.2 forbids it everywhere).',
    example: `\r${GET}\r\n`,
  },
  {
    of: 'request',
    refusal: 'The target is neither a path',
    reason: 'llhttp takes "*a" and other schemes; no form of RFC 9112, 3.2 allows them for an origin server.',
    example: 'GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The target "*" is for OPTIONS only',
    reason: 'RFC 9112, 3.2.4.',
    example: 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The authority of the target is not a host',
    reason: 'User information and empty hosts serve phishing and confusion (RFC 9110, 4.2.4).',
    example: 'GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The Transfer-Encoding is something other than "chunked"',
    reason:
      'Only chunked says where a request ends; llhttp also takes codings before it, which we do not decode.',
    example: `${GET}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'An HTTP/1.0 request has Transfer-Encoding',
    reason: 'RFC 9112, 6.1 asks to treat the framing as faulty: HTTP/1.0 servers on the way did not know it.',
    example: 'PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'The Content-Length is not a number',
    reason: 'More than 15 digits are beyond what is counted exactly; llhttp counts to 2^64.',
    example: `${GET}Content-Length: 0000000000000000\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'The Expect field holds something other',
    reason:
      'RFC 9110, 10.1.1 allows 417; Node does not look at it in HTTP/1.0, nor past the first 100-continue.',
    example: 'GET / HTTP/1.0\r\nExpect: x\r\n\r\n',
  },
  {
    of: 'request',
    refusal: 'A chunk size has too many digits',
    reason: "Twelve digits are 256 TiB; zeros before them serve nothing but an attack on somebody's integer.",
    example: `${PUT}0000000000000\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'A chunk extension is not a name',
    reason:
      'llhttp takes ";;", an empty value and quotes in the middle of one, which RFC 9112, 7.1.1 does not know.',
    example: `${PUT}1;a=\r\na\r\n0\r\n\r\n`,
  },
  {
    of: 'request',
    refusal: 'A trailer field changes framing',
    reason: 'RFC 9110, 6.5.1 forbids it; llhttp minds only the framing, not Host.',
    example: `${PUT}0\r\nHost: b\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'It does not start with HTTP/1.x',
    reason: 'llhttp skips line breaks before a response, and reads HTTP/2.0 and HTTP/0.9 as 1.x.',
    example: `\r\n${OK}Content-Length: 0\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'The status code',
    reason: 'Three digits, 100 to 599 (RFC 9110, 15); llhttp takes any number.',
    example: 'HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n',
  },
  {
    of: 'response',
    refusal: 'The reason phrase holds a control character',
    reason: 'RFC 9112, 4; llhttp skips all but line breaks.',
    example: 'HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n',
  },
  {
    of: 'response',
    refusal: 'The Transfer-Encoding is something other than one "chunked"',
    reason:
      'llhttp takes such a response to last until the connection closes, another reader may not (RFC 9112, 6.1).',
    example: `${OK}Transfer-Encoding: gzip\r\n\r\nabc`,
  },
  {
    of: 'response',
    refusal: 'An HTTP/1.0 response has Transfer-Encoding',
    reason: 'As in requests.',
    example: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  },
  {
    of: 'response',
    refusal: 'The Content-Length is not a number',
    reason: 'As in requests.',
    example: `${OK}Content-Length: 0000000000000000\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'An interim response announces content',
    reason: 'RFC 9110, 8.6 forbids it; a reader that waits for the content takes the final response for it.',
    example: `HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'An interim response closes the connection',
    reason:
      'HTTP/1.0 has no interim responses (RFC 9110, 15.2), and close wins; llhttp goes by keep-alive there.',
    example: `HTTP/1.0 103 X\r\nConnection: close, keep-alive\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'A chunk size has too many digits',
    reason: 'As in requests.',
    example: `${CHUNKED}0000000000000\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'A chunk extension is not a name',
    reason: 'As in requests.',
    example: `${CHUNKED}1;a=\r\na\r\n0\r\n\r\n`,
  },
  {
    of: 'response',
    refusal: 'A trailer field changes framing',
    reason: 'As in requests.',
    example: `${CHUNKED}0\r\nHost: b\r\n\r\n`,
  },
]

/** The reason why ours may refuse with that sentence what Node's accepts, or null. */
export function stricterReason(of: Difference['of'], refusal: string): string | null {
  return STRICTER.find((one) => one.of === of && refusal.startsWith(one.refusal))?.reason ?? null
}

/** llhttp knows a list of methods, and expects HTTP/2.0 after PRI; RFC 9110, 9.1 leaves the list open. */
export function exemptMethod(method: string, error: string | null): boolean {
  if (method === 'PRI') return error === 'HPE_INVALID_VERSION'
  return error === 'HPE_INVALID_METHOD' && !METHODS.includes(method)
}

/**
 * Whether both must agree on what comes after a request with these fields. The exceptions concern the connection, not
 * the request:
 * - llhttp takes Proxy-Connection for Connection; RFC 9112, C.2.2 wants nobody to heed it.
 * - llhttp heeds Connection in trailers; it is none of those that may come late (RFC 9110, 6.5.1).
 * - HTTP/1.0 with both `close` and `keep-alive`: close wins (RFC 9112, 9.3), llhttp keeps the connection.
 * - After a request for another protocol llhttp reads no further, whatever the server decides; RFC 9110, 7.8 lets us go
 *   on with HTTP/1.1.
 */
export function readsOnAlike(minorVersion: number, lines: Lines, trailers: Lines): boolean {
  const options = connectionOptions(lines)
  const heeded = [
    ...connectionOptions(lines, 'proxy-connection'),
    ...connectionOptions(trailers),
    ...connectionOptions(trailers, 'proxy-connection'),
  ]
  if (heeded.some((option) => ['close', 'keep-alive', 'upgrade'].includes(option))) return false
  if (minorVersion === 0 && options.includes('close') && options.includes('keep-alive')) return false
  return !(options.includes('upgrade') && lines.some(([name]) => name === 'upgrade'))
}
