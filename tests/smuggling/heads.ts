import assert from 'node:assert/strict'
import type { StrictRequest } from '../support/strict-http.ts'
import { type Attack, get, post, refused, SMUGGLED, served, shown } from './attack.ts'

/** Disagreement about where a head ends, what its lines say, whom it is for, and what belongs to this hop. */

const NEXT = 'GET /second?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'
const SEEN = 'GET /p?id0000 '
const SEEN_NEXT = 'GET /second?id0000 '

const REQUEST_LINES: readonly (readonly [line: string, status?: number])[] = [
  ['GET /p?id0000'],
  ['GET  /p?id0000 HTTP/1.1'],
  ['GET /p?id0000  HTTP/1.1'],
  ['GET\t/p?id0000 HTTP/1.1'],
  ['GET /p?id0000\tHTTP/1.1'],
  ['GET /p?id0000 HTTP/1.1 '],
  ['GET /p?id0000 HTTP/1.1\0'],
  ['GET /p?id0000 HTTP/1.1 HTTP/1.1'],
  ['GET /p?id0000 x HTTP/1.1'],
  ['GET /p?id0000#x HTTP/1.1'],
  ['GET /p?id0000\0 HTTP/1.1'],
  ['GET /p?id0000\x0b HTTP/1.1'],
  ['GET /p?id0000\xa0 HTTP/1.1'],
  ['GET /p?id0000\rX HTTP/1.1'],
  ['GET /p?id0000 http/1.1'],
  ['GET /p?id0000 HTTP/1.01'],
  ['GET /p?id0000 HTTP/1.10'],
  ['GET /p?id0000 HTTP/01.1'],
  ['GET /p?id0000 HTTP/+1.1'],
  ['GET /p?id0000 HTTP/1,1'],
  ['GET /p?id0000 HTTP/1'],
  ['GET /p?id0000 HTTP/1.'],
  ['GET /p?id0000 HTTP /1.1'],
  ['GET /p?id0000 ICY/1.1'],
  ['GET /p?id0000 HTTP/0.9', 505],
  ['GET /p?id0000 HTTP/1.2', 505],
  ['GET /p?id0000 HTTP/2.0', 505],
  ['PRI * HTTP/2.0', 505],
  [' GET /p?id0000 HTTP/1.1'],
  ['\tGET /p?id0000 HTTP/1.1'],
  ['\0GET /p?id0000 HTTP/1.1'],
  ['G\0ET /p?id0000 HTTP/1.1'],
  ['G ET /p?id0000 HTTP/1.1'],
  ['GET: /p?id0000 HTTP/1.1'],
  ['"GET" /p?id0000 HTTP/1.1'],
  ['G\xcbT /p?id0000 HTTP/1.1'],
  ['GET(x) /p?id0000 HTTP/1.1'],
  ['GET p?id0000 HTTP/1.1'],
  ['GET ?id0000 HTTP/1.1'],
  ['GET * HTTP/1.1'],
  ['GET a:80 HTTP/1.1'],
  ['GET file:///p?id0000 HTTP/1.1'],
  ['GET http:/p?id0000 HTTP/1.1'],
  ['GET http:///p?id0000 HTTP/1.1'],
  ['GET http://a@b/p?id0000 HTTP/1.1'],
  ['GET http://a b/p?id0000 HTTP/1.1'],
  ['GET http://a\\@b/p?id0000 HTTP/1.1'],
  ['GET http://a:b/p?id0000 HTTP/1.1'],
  ['GET http://a%2eb/p?id0000 HTTP/1.1'],
  ['GET http://a..b/p?id0000 HTTP/1.1'],
  ['CONNECT a:80 HTTP/1.1', 501],
  ['CONNECT /p?id0000 HTTP/1.1', 501],
  [`GET /${'x'.repeat(9_000)}?id0000 HTTP/1.1`, 414],
  [`${'G'.repeat(9_000)} /p?id0000 HTTP/1.1`, 414],
]

/** Whole field lines, between two sound ones. */
const FIELD_LINES: readonly (readonly [line: string, status?: number])[] = [
  ['X : y'],
  ['X\t: y'],
  [' X: y'],
  ['\tX: y'],
  [' '],
  ['\t'],
  ['X'],
  ['X y'],
  [': y'],
  [':'],
  ['X\0: y'],
  ['X: \0'],
  ['X: y\0z'],
  ['X\x0b: y'],
  ['X: \x0by'],
  ['X: y\x7f'],
  ['X: y\x1b[0m'],
  ['X: y\rz'],
  ['X: y\r'],
  ['\rX: y'],
  ['X: y\nZ: z'],
  ['X: y\n'],
  ['\nX: y'],
  ['X\r: y'],
  ['X\n: y'],
  ['X:\ny'],
  ['X:\ry'],
  ['X: y\n\nGET /smuggled?id0000 HTTP/1.1'],
  ['X: y\r\rGET /smuggled?id0000 HTTP/1.1'],
  ['X: y\n\r\nGET /smuggled?id0000 HTTP/1.1'],
  ['X(: y'],
  ['X,Y: y'],
  ['X/Y: y'],
  ['"X": y'],
  ['X{}: y'],
  ['\xc3\xa9: y'],
  ['X\xa0: y'],
  ['X_Forwarded_For: 1.2.3.4'],
  ['x-forwarded_for: 1.2.3.4'],
  ['Proxy_Connection: close'],
  ['GET /smuggled?id0000 HTTP/1.1'],
  [`X: ${'y'.repeat(40_000)}`, 431],
  [`${'X'.repeat(40_000)}: y`, 431],
  ['X: y\r\n'.repeat(101).trimEnd(), 431],
]

const HOST_VALUES = [
  '',
  ' ',
  'a b',
  'a,b',
  'a/b',
  'a\\b',
  'a@b',
  'a?b',
  'a#b',
  'a\0',
  'a\0.b',
  'a\tb',
  'http://a',
  ':80',
  'a:b',
  'a:80:80',
  'a:-1',
  'a: 80',
  'a:999999',
  '[::1',
  '::1',
  '[]',
  '[::1]x',
  '[::1%25eth0]',
  'a%',
  'a%0',
  '\xc3\xa9.example',
  '"a"',
  '<a>',
  'a\r\n b',
  'a'.repeat(300),
  `${'a.'.repeat(127)}a`,
  'a%2eb',
  '.a',
  'a..b',
  '127.1',
]

/** Line breaks of a whole head. */
const LINE_BREAKS: readonly (readonly [name: string, text: string])[] = [
  ['LF everywhere', 'GET /p?id0000 HTTP/1.1\nHost: a\n\n'],
  ['CR everywhere', 'GET /p?id0000 HTTP/1.1\rHost: a\r\r'],
  ['LF CR everywhere', 'GET /p?id0000 HTTP/1.1\n\rHost: a\n\r\n\r'],
  ['LF after the request line', 'GET /p?id0000 HTTP/1.1\nHost: a\r\n\r\n'],
  ['CR after the request line', 'GET /p?id0000 HTTP/1.1\rHost: a\r\n\r\n'],
  ['CR CR LF after the request line', 'GET /p?id0000 HTTP/1.1\r\r\nHost: a\r\n\r\n'],
  ['LF after a field', 'GET /p?id0000 HTTP/1.1\r\nHost: a\n\r\n'],
  ['LF for the empty line', 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n\n'],
  ['CR for the empty line', 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n\r'],
  ['CR CR LF for the empty line', 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n\r\r\n'],
  ['a space on the empty line', 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n \r\n'],
  ['two empty lines before', '\r\n\r\nGET /p?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['LF before', '\nGET /p?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CR before', '\rGET /p?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a folded request line', 'GET\r\n /p?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fold at the start', 'GET /p?id0000 HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n'],
  ['a fold at the end', 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n\tX: y\r\n\r\n'],
]

const refusals: Attack[] = [
  ...REQUEST_LINES.map(([line, status]) => refused(shown(line), post([], SMUGGLED, line), status)),
  ...FIELD_LINES.map(([line, status]) =>
    refused(`line ${shown(line)}`, get([line, 'Z: z'], SMUGGLED), status),
  ),
  ...LINE_BREAKS.map(([name, head]) => refused(name, head + SMUGGLED)),
  ...HOST_VALUES.map((value) =>
    refused(`Host ${shown(value)}`, `GET /p?id0000 HTTP/1.1\r\nHost: ${value}\r\n\r\n${SMUGGLED}`),
  ),
  refused('no Host', `GET /p?id0000 HTTP/1.1\r\nX: y\r\n\r\n${SMUGGLED}`),
  refused('no field at all', `GET /p?id0000 HTTP/1.1\r\n\r\n${SMUGGLED}`),
  refused('Host twice', get(['Host: a'], SMUGGLED)),
  refused('Host twice, differing', get(['Host: b'], SMUGGLED)),
  refused('Host twice, one before a fold', get(['X: y', ' Host: b'], SMUGGLED)),
  refused('absolute-form without Host', `GET http://a/p?id0000 HTTP/1.1\r\n\r\n${SMUGGLED}`),
  refused('absolute-form with two Hosts', post(['Host: b'], SMUGGLED, 'GET http://a/p?id0000 HTTP/1.1')),
  refused('HTTP/0.9', 'GET /p?id0000\r\n'),
  refused('TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  refused('HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505),
  refused('PROXY protocol', `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${SMUGGLED}`),
  ...['x', '100-continue, x', '100-continue;x', '', '200-ok', '100-continue\xa0', '"100-continue"'].map(
    (value) =>
      refused(
        `Expect ${shown(value)}`,
        post([`Expect: ${value}`, 'Content-Length: 5'], `abcde${SMUGGLED}`),
        417,
      ),
  ),
  refused('Expect in a fold', post(['Expect:', ' 100-continue'], SMUGGLED)),
]

const fieldsOf = (request: StrictRequest, name: string): string[] =>
  request.fields.flatMap(([known, value]) => (known === name ? [value] : []))

const HOP_BY_HOP = /^(connection|keep-alive|proxy-connection|te|trailer|upgrade|http2-settings)$/

function isPlain(request: StrictRequest): void {
  assert.deepEqual(
    request.fields.filter(([name]) => HOP_BY_HOP.test(name)),
    [],
  )
}

/** The option is not taken for an order to remove what the next hop needs. */
const keeps = (name: string, value: string) => (request: StrictRequest) => {
  isPlain(request)
  if (request.target.startsWith('/p')) assert.deepEqual(fieldsOf(request, name), [value])
}

const hopByHop: Attack[] = [
  served(
    'Connection: content-length',
    post(['Connection: content-length', 'Content-Length: 5'], `abcde${NEXT}`),
    ['POST /p?id0000 abcde', SEEN_NEXT],
  ),
  served(
    'Connection: transfer-encoding',
    post(['Connection: transfer-encoding', 'Transfer-Encoding: chunked'], `5\r\nabcde\r\n0\r\n\r\n${NEXT}`),
    ['POST /p?id0000 abcde', SEEN_NEXT],
  ),
  served('Connection: host', get(['Connection: Host']), [SEEN], keeps('host', 'a')),
  served(
    'Connection: x-forwarded-for',
    get(['Connection: X-Forwarded-For', 'X-Forwarded-For: 1.2.3.4']),
    [SEEN],
    keeps('x-forwarded-for', '127.0.0.1'),
  ),
  served('X-Forwarded-For', get(['X-Forwarded-For: 1.2.3.4']), [SEEN], keeps('x-forwarded-for', '127.0.0.1')),
  served(
    'Connection names itself',
    get(['Connection: connection, keep-alive, te, , ,upgrade']),
    [SEEN],
    isPlain,
  ),
  served(
    'Connection with what is no option',
    get(['Connection: \xa0close', 'Connection: "close", close;x']),
    [SEEN],
    isPlain,
  ),
  served('Connection: cookie', get(['Cookie: a', 'Connection: cookie']), [SEEN], ({ fields }) =>
    assert.ok(fields.every(([name]) => name !== 'cookie')),
  ),
  served('TE and Trailer', get(['TE: trailers, chunked', 'Connection: TE']), [SEEN], isPlain),
  served('Keep-Alive', get(['Keep-Alive: timeout=5', 'Proxy-Connection: close']), [SEEN], isPlain),
  served(
    'Upgrade: h2c',
    get(
      ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA', 'Connection: Upgrade, HTTP2-Settings'],
      NEXT,
    ),
    [SEEN, SEEN_NEXT],
    isPlain,
  ),
  served(
    'Upgrade: H2C in a list',
    get(['Upgrade: websocket, H2C', 'Connection: upgrade'], NEXT),
    [SEEN, SEEN_NEXT],
    isPlain,
  ),
  served(
    'Upgrade that Connection does not name',
    get(['Upgrade: websocket'], NEXT),
    [SEEN, SEEN_NEXT],
    isPlain,
  ),
  served(
    'Upgrade with content',
    post(['Upgrade: websocket', 'Connection: upgrade', 'Content-Length: 1'], 'x'),
    ['POST /p?id0000 x'],
  ),
  served('Upgrade that is answered 200', get(['Upgrade: websocket', 'Connection: upgrade'], NEXT), [
    SEEN,
    SEEN_NEXT,
  ]),
  served(
    'Expect: 100-continue with content',
    post(['Expect: 100-Continue', 'Content-Length: 5'], `abcde${NEXT}`),
    ['POST /p?id0000 abcde', SEEN_NEXT],
  ),
  served('Expect: 100-continue without content', get(['Expect: 100-continue'], NEXT), [SEEN, SEEN_NEXT]),
]

const legitimate: Attack[] = [
  served('pipelined requests', get([], NEXT), [SEEN, SEEN_NEXT]),
  served('an empty line between', get([], `\r\n${NEXT}`), [SEEN, SEEN_NEXT]),
  served(
    'absolute-form against Host',
    post([], '', 'GET http://b/p?id0000 HTTP/1.1'),
    [SEEN],
    keeps('host', 'b'),
  ),
  served(
    'absolute-form in capitals',
    post([], '', 'GET HTTP://B/p?id0000 HTTP/1.1'),
    [SEEN],
    keeps('host', 'B'),
  ),
  served('absolute-form without path', post([], '', 'GET http://b?id0000 HTTP/1.1'), ['GET /?id0000 ']),
  served('a method in small letters', post([], NEXT, 'get /p?id0000 HTTP/1.1'), [
    'get /p?id0000 ',
    SEEN_NEXT,
  ]),
  served('a method of its own', post([], NEXT, 'X-FOO!~ /p?id0000 HTTP/1.1'), [
    'X-FOO!~ /p?id0000 ',
    SEEN_NEXT,
  ]),
  served('TRACE', post([], NEXT, 'TRACE /p?id0000 HTTP/1.1'), ['TRACE /p?id0000 ', SEEN_NEXT]),
  served('obs-text in a value', get(['X: \xff\x80\xa0', 'X:']), [SEEN]),
  served('names with odd tokens', get(["!#$%&'*+.^`|~: y", 'A_B: c']), [SEEN]),
  served('100 fields', get(Array.from({ length: 99 }, (_, index) => `X-${index}: y`)), [SEEN]),
  {
    name: 'HTTP/1.0',
    send: post([], SMUGGLED, 'GET /p?id0000 HTTP/1.0'),
    seen: [SEEN],
    answers: [200],
    after: 'closed',
  },
  {
    name: 'HTTP/1.0 without Host',
    send: `GET /p?id0000 HTTP/1.0\r\n\r\n${SMUGGLED}`,
    seen: [SEEN],
    answers: [200],
    after: 'closed',
  },
  served('HTTP/1.0 kept alive', post(['Connection: keep-alive'], NEXT, 'GET /p?id0000 HTTP/1.0'), [
    SEEN,
    SEEN_NEXT,
  ]),
  {
    name: 'a good and a bad request',
    send: get([], get([' X: y'], SMUGGLED)),
    seen: [SEEN],
    answers: [200, 400],
    after: 'closed',
  },
  {
    name: 'half a head',
    send: 'GET /p?id0000 HTTP/1.1\r\nHost: a\r\n',
    seen: [],
    answers: [],
    after: 'waits',
  },
  {
    name: 'a request and half a head',
    send: get([], SMUGGLED.slice(0, -2)),
    seen: [SEEN],
    answers: [200],
    after: 'waits',
  },
]

export const HEADS: readonly Attack[] = [...refusals, ...hopByHop, ...legitimate]
