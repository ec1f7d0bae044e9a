import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../config/limits.ts'
import type { RequestHead } from './request-head.ts'
import { linesOf, onEverySplit, type ReadLimits, readRequests, refusedOnEverySplit } from './test-support.ts'

const REFUSED: readonly [rule: string, text: string, code?: string][] = [
  // The request line (RFC 9112, 3).
  ['an empty method', ' / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a method that is no token', 'G(T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tab after the method', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two spaces after the method', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two spaces after the target', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tab in the target', 'GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['DEL in the target', 'GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a byte past ASCII in the target', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['a version in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
  ['another protocol', 'GET / HTCPCP/1.1\r\nHost: a\r\n\r\n'],
  ['a version of two digits', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n'],
  ['white space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 'REQUEST_VERSION_UNSUPPORTED'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 'REQUEST_VERSION_UNSUPPORTED'],
  ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\n\r\n', 'REQUEST_VERSION_UNSUPPORTED'],
  // Line breaks (RFC 9112, 2.2).
  ['a bare LF after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  ['a bare CR after the request line', 'GET / HTTP/1.1\rHost: a\r\n\r\n'],
  ['CR CR LF after the request line', 'GET / HTTP/1.1\r\r\nHost: a\r\n\r\n'],
  ['a bare LF after a field line', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n'],
  ['a bare CR after a field line', 'GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n'],
  ['a bare LF as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
  ['a bare CR as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX'],
  ['a bare LF before the request line', '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a bare CR before the request line', '\rGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two empty lines before the request line', '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  // Field lines (RFC 9112, 5; RFC 9110, 5).
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['a tab before the colon', 'GET / HTTP/1.1\r\nHost\t: a\r\n\r\n'],
  ['obs-fold with a space', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n'],
  ['obs-fold with a tab', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n'],
  ['white space before the first field line', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['an empty field name', 'GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n'],
  ['a field line without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n'],
  ['a field name that is no token', 'GET / HTTP/1.1\r\nHost: a\r\nX[: b\r\n\r\n'],
  ['a field name past ASCII', 'GET / HTTP/1.1\r\nHost: a\r\n\xc9: b\r\n\r\n'],
  ['a NUL in a field name', 'GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n'],
  ['a NUL in a field value', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n'],
  ['a control character in a field value', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n'],
  ['DEL in a field value', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n'],
  // For servers of the CGI kind `_` and `-` are one.
  ['Transfer_Encoding', 'GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n'],
  ['CONTENT_LENGTH', 'GET / HTTP/1.1\r\nHost: a\r\nCONTENT_LENGTH: 5\r\n\r\n'],
  ['X-Forwarded_For', 'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded_For: b\r\n\r\n'],
  // Host (RFC 9112, 3.2; RFC 9110, 7.2).
  ['no Host', 'GET / HTTP/1.1\r\nX: a\r\n\r\n'],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a second Host', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['a second, equal Host', 'GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n'],
  ['a list as Host', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['a list without spaces as Host', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n'],
  ['a path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['user information in Host', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  ['a bad Host in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a b\r\n\r\n'],
  ['a second Host in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['no Host beside an absolute-form target', 'GET http://a/ HTTP/1.1\r\n\r\n'],
  // Framing (RFC 9112, 6).
  ['both lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'],
  [
    'both lengths, chunked first',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n',
  ],
  ['two differing lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
  ['two equal lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n'],
  ...['', '5, 5', '+5', '-5', '5 5', '0x5', '5.0', '5e1', '\xb2', '1234567890123456'].map(
    (length): [string, string] => [
      `Content-Length "${length}"`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`,
    ],
  ),
  ...[
    '',
    'identity',
    'gzip',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'chunked,',
    ',chunked',
    'xchunked',
    'chunked;a=b',
    '"chunked"',
    'chunked\xa0',
    '\xa0chunked',
    'chun ked',
    'chunked\t',
    'chunked \t ',
  ].map((coding): [string, string] => [
    `Transfer-Encoding "${coding}"`,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${coding}\r\n\r\n`,
  ]),
  [
    'two Transfer-Encoding lines',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  [
    'an empty and a full Transfer-Encoding',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  // The forms of a target (RFC 9112, 3.2).
  ['a target without a slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['"*" but for OPTIONS', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['"*" with more', 'OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a query alone', 'GET ?a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an authority-form target', 'GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a URI of another scheme', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a URI with no host', 'GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a URI with user information', 'GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a URI with a bad port', 'GET http://a:8x/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a URI with a backslash in its host', 'GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 'REQUEST_METHOD_UNSUPPORTED'],
  // Expect (RFC 9110, 10.1.1).
  ['another expectation', 'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n', 'REQUEST_EXPECTATION_UNKNOWN'],
]

/** The head of the only request, on every split; `check` sees each. */
function headOf(text: string, check: (head: RequestHead) => void): void {
  onEverySplit(text, (pieces) => {
    const { messages, refused } = readRequests(pieces)
    assert.equal(refused, null)
    assert.equal(messages.length, 1)
    for (const { head } of messages) check(head)
  })
}

describe('readRequestHead()', () => {
  for (const [rule, text, code = 'REQUEST_MALFORMED'] of REFUSED) {
    it(`refuses ${JSON.stringify(rule)}`, () => {
      refusedOnEverySplit(text, code, readRequests)
      refusedOnEverySplit(`GET /1 HTTP/1.1\r\nHost: a\r\n\r\n${text}`, code, readRequests, 1)
    })
  }

  const LIMITS: ReadLimits = {
    ...LIMIT_DEFAULTS,
    headBytesMax: 50,
    requestLineBytesMax: 16,
    headerCountMax: 3,
  }
  const limited = (pieces: readonly Buffer[]) => readRequests(pieces, LIMITS)

  it('refuses a request line longer than its limit', () => {
    refusedOnEverySplit(`GET /${'a'.repeat(12)} HTTP/1.1\r\n`, 'REQUEST_TARGET_TOO_LONG', limited)
    refusedOnEverySplit('A'.repeat(17), 'REQUEST_TARGET_TOO_LONG', limited)
  })

  it('refuses a head longer than its limit, whole or not', () => {
    refusedOnEverySplit(
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20)}\r\n\r\n`,
      'REQUEST_HEAD_TOO_LARGE',
      limited,
    )
    refusedOnEverySplit(
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(23)}`,
      'REQUEST_HEAD_TOO_LARGE',
      limited,
    )
  })

  it('refuses more field lines than their limit', () => {
    refusedOnEverySplit(
      'GET / HTTP/1.1\r\nHost: a\r\na:b\r\na:b\r\na:b\r\n\r\n',
      'REQUEST_HEAD_TOO_LARGE',
      limited,
    )
  })

  it('takes what is exactly at its limits', () => {
    const texts = [
      `GET /${'a'.repeat(11)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(18)}\r\n\r\n`,
      'GET / HTTP/1.1\r\nHost: a\r\na:b\r\na:b\r\n\r\n',
    ]
    for (const text of texts) onEverySplit(text, (pieces) => assert.equal(limited(pieces).messages.length, 1))
  })

  it('keeps every one of as many field lines as the config may allow', () => {
    const count = 10_000
    const names = Array.from({ length: count - 1 }, (_, i) => `x-${i}`)
    const text = `GET / HTTP/1.1\r\nHost: a\r\n${names.map((name) => `${name}: ${name}\r\n`).join('')}\r\n`
    const limits = { ...LIMIT_DEFAULTS, headBytesMax: text.length, headerCountMax: count }
    const [message] = readRequests([Buffer.from(text)], limits).messages
    assert.deepEqual(message === undefined ? [] : linesOf(message.head.fields), [
      ['host', 'a'],
      ...names.map((name) => [name, name]),
    ])
  })

  it('asks for more bytes while the head is not whole', () => {
    const text = 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n'
    for (let length = 1; length < text.length; length++) {
      const { messages, refused, incomplete } = readRequests([Buffer.from(text.slice(0, length))])
      assert.deepEqual([messages.length, refused, incomplete], [0, null, true])
    }
  })

  it('reads method, target, version and field lines as they were sent', () => {
    const line = "!#$%&'*+-.^_`|~0aZ /~!$&'()*+,;=:@%2F?/?[]{}|\\^`<>\" HTTP/1.1\r\n"
    headOf(`${line}hOST: A.b\r\nX-eMPTY:\r\nX: \t y \t z\t \r\nx:\xff\r\nAccept:*/*\r\n\r\n`, (head) => {
      assert.equal(head.method, "!#$%&'*+-.^_`|~0aZ")
      assert.equal(head.target, '/~!$&\'()*+,;=:@%2F?/?[]{}|\\^`<>"')
      assert.equal(head.minorVersion, 1)
      assert.equal(head.host, 'a.b')
      assert.deepEqual(linesOf(head.fields), [
        ['host', 'A.b'],
        ['x-empty', ''],
        ['x', 'y \t z'],
        ['x', '\xff'],
        ['accept', '*/*'],
      ])
    })
  })

  it('skips one empty line before the request line', () => {
    headOf('\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', (head) => assert.equal(head.method, 'GET'))
  })

  it('takes HTTP/1.0 without a Host, and closes after it', () => {
    headOf('GET / HTTP/1.0\r\n\r\n', (head) => {
      assert.deepEqual([head.minorVersion, head.host, head.keepAlive], [0, '', false])
    })
  })

  it('cuts pipelined requests where each ends', () => {
    const first = 'POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'
    const second = 'GET /2 HTTP/1.1\r\nHost: a\r\n\r\n'
    onEverySplit(`${first}${second}${second}`, (pieces) => {
      const { messages, incomplete } = readRequests(pieces)
      assert.deepEqual(
        messages.map(({ head, body, end }) => [head.target, body, end]),
        [
          ['/1', 'abc', first.length],
          ['/2', '', first.length + second.length],
          ['/2', '', first.length + 2 * second.length],
        ],
      )
      assert.equal(incomplete, false)
    })
  })
})
