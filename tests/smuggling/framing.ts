import { type Attack, get, post, refused, SMUGGLED, served, shown } from './attack.ts'

/** Disagreement about where a request ends: Content-Length and Transfer-Encoding. */

const CHUNKED = 'Transfer-Encoding: chunked'
const LAST_CHUNK = '0\r\n\r\n'
const IN_A_CHUNK = `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${LAST_CHUNK}`
const lengthOf = (text: string): string => `Content-Length: ${text.length}`

/** Chunked to whoever trims, splits, unquotes, unfolds or lower-cases more than it should. */
const CODINGS = [
  'xchunked',
  'chunkedx',
  'chunk',
  'chunked x',
  'chunked,',
  ',chunked',
  ',',
  '',
  'identity',
  'chunked, identity',
  'identity, chunked',
  'gzip, chunked',
  'chunked, chunked',
  'chunked;q=1',
  'chunked;',
  '"chunked"',
  "'chunked'",
  '(chunked)',
  'chunked\x0b',
  '\x0bchunked',
  '\x0cchunked',
  'chunked\0',
  '\0chunked',
  'chunked\x7f',
  '\xa0chunked',
  'chunked\xa0',
  '\x85chunked',
  '\xef\xbd\x83hunked',
  'chun\xe2\x84\xaaed',
  '\r\n chunked',
  '\r\n\tchunked',
  'chunked\r\n , identity',
  'chunked\rX: y',
  'chunked\nX: y',
  'chunked\r\n\rX: y',
  'chunked\t',
  'chunked \t ',
]

const CODING_NAMES = [
  'Transfer-Encoding ',
  'Transfer-Encoding\t',
  ' Transfer-Encoding',
  '\tTransfer-Encoding',
  'Transfer-Encoding\0',
  'Transfer\0-Encoding',
  'Transfer-Encoding\x0b',
  'Transfer Encoding',
  'Transfer_Encoding',
  'TRANSFER_ENCODING',
  'Transfer-Encod\xefng',
  'X: y\nTransfer-Encoding',
  'X: y\rTransfer-Encoding',
  'X: y\r\rTransfer-Encoding',
  'X: y\n\rTransfer-Encoding',
  'X\nTransfer-Encoding',
]

const LENGTHS = [
  '+5',
  '-5',
  '-0',
  '5 5',
  '5,5',
  '5, 5',
  '5,6',
  ',5',
  '5,',
  '0x5',
  '0b101',
  '5x',
  'x5',
  '5.0',
  '5e0',
  '5;',
  '"5"',
  '',
  ',',
  '5_0',
  '5\0',
  '\x0b5',
  '5\x0b',
  '\xa05',
  '\xef\xbc\x95',
  '\xb2',
  '5\r\n 6',
  '\r\n 5',
  '5\rX: y',
  '5\nX: y',
  '9007199254740993',
  '18446744073709551616',
  '18446744073709551621',
  '00000000000000000000000000000005',
  '9'.repeat(400),
  'Infinity',
  'NaN',
]

const LENGTH_NAMES = [
  'Content-Length ',
  ' Content-Length',
  'Content_Length',
  'Content-Length\0',
  'Content Length',
]

const both: Attack[] = [
  refused('CL.TE', post([lengthOf(LAST_CHUNK + SMUGGLED), CHUNKED], LAST_CHUNK + SMUGGLED)),
  refused('TE.CL', post([CHUNKED, 'Content-Length: 4'], IN_A_CHUNK)),
  refused('CL.TE with Content-Length: 0', post(['Content-Length: 0', CHUNKED], IN_A_CHUNK)),
  refused('CL.TE that agree', post(['Content-Length: 5', CHUNKED], LAST_CHUNK)),
  refused('CL.TE in a GET', get(['Content-Length: 5', CHUNKED], LAST_CHUNK + SMUGGLED)),
  refused('TE.TE, both chunked', post([CHUNKED, CHUNKED], LAST_CHUNK + SMUGGLED)),
  refused('TE.TE, one in other case', post([CHUNKED, 'transfer-encoding: CHUNKED'], LAST_CHUNK + SMUGGLED)),
  refused('TE.TE, first identity', post(['Transfer-Encoding: identity', CHUNKED], LAST_CHUNK + SMUGGLED)),
  refused('TE.TE, then identity', post([CHUNKED, 'Transfer-Encoding: identity'], LAST_CHUNK + SMUGGLED)),
  refused('TE.TE, then x', post([CHUNKED, 'Transfer-encoding: x', 'Content-Length: 4'], IN_A_CHUNK)),
  refused('TE far from CL', post([CHUNKED, ...fillers(60), 'Content-Length: 4'], IN_A_CHUNK)),
  refused('HTTP/1.0 with TE', post([CHUNKED], LAST_CHUNK + SMUGGLED, 'POST /p?id0000 HTTP/1.0')),
  refused(
    'HTTP/1.0 with TE, kept alive',
    post([CHUNKED, 'Connection: keep-alive'], LAST_CHUNK + SMUGGLED, 'POST /p?id0000 HTTP/1.0'),
  ),
  refused('HTTP/1.0 CL.TE', post([CHUNKED, 'Content-Length: 4'], IN_A_CHUNK, 'POST /p?id0000 HTTP/1.0')),
]

const transferEncodings: Attack[] = [
  ...CODINGS.map((value) => refused(`TE ${shown(value)}`, post([`Transfer-Encoding: ${value}`], IN_A_CHUNK))),
  ...CODINGS.map((value) =>
    refused(
      `TE ${shown(value)} with CL`,
      post(['Content-Length: 4', `Transfer-Encoding: ${value}`], IN_A_CHUNK),
    ),
  ),
  ...CODING_NAMES.map((name) =>
    refused(`TE as ${shown(name)}`, post(['Content-Length: 4', `${name}: chunked`], IN_A_CHUNK)),
  ),
  ...['chunked', 'Chunked', 'CHUNKED', ' chunked', '\tchunked', 'chunked '].map((value) =>
    served(
      `TE ${shown(value)} is chunked`,
      post([`Transfer-Encoding:${value}`], `3\r\nabc\r\n${LAST_CHUNK}`),
      ['POST /p?id0000 abc'],
    ),
  ),
  ...['chunked', ' chunked\t'].map((value) =>
    refused(
      `TE ${shown(value)} with CL`,
      post([`Transfer-Encoding:${value}`, 'Content-Length: 4'], IN_A_CHUNK),
    ),
  ),
]

const FIVE = `abcde${SMUGGLED}`

const contentLengths: Attack[] = [
  ...LENGTHS.map((value) => refused(`CL ${shown(value)}`, post([`Content-Length: ${value}`], FIVE))),
  ...LENGTH_NAMES.map((name) => refused(`CL as ${shown(name)}`, post([`${name}: 5`], FIVE))),
  refused('CL.CL, same', post(['Content-Length: 5', 'Content-Length: 5'], FIVE)),
  refused('CL.CL, longer', post(['Content-Length: 5', lengthOf(FIVE)], FIVE)),
  refused('CL.CL, shorter', post([lengthOf(FIVE), 'Content-Length: 5'], FIVE)),
  refused('CL.CL, first 0', post(['Content-Length: 0', lengthOf(FIVE)], FIVE)),
  refused('CL.CL in a GET', get(['content-length: 0', 'CONTENT-LENGTH: 5'], FIVE)),
  refused('CL.CL with underscore', post(['Content-Length: 5', `Content_Length: ${FIVE.length}`], FIVE)),
  refused('CL in obs-fold', post(['X: y', ` Content-Length: ${FIVE.length}`, 'Content-Length: 5'], FIVE)),
]

/** Legitimate, and read in another way by those who take GET for bodiless or zeros for octal. */
const SECOND = 'GET /second?id0000 '
const second = SECOND.trimEnd()
const NEXT = `${second} HTTP/1.1\r\nHost: a\r\n\r\n`

const legitimate: Attack[] = [
  served('CL 010 is ten', post(['Content-Length: 010'], `0123456789${NEXT}`), [
    'POST /p?id0000 0123456789',
    SECOND,
  ]),
  served('CL 000 is none', post(['Content-Length: 000'], NEXT), ['POST /p?id0000 ', SECOND]),
  served('GET with a request as its body', get([lengthOf(SMUGGLED)], SMUGGLED), [
    `GET /p?id0000 ${SMUGGLED}`,
  ]),
  served('GET with a request as its body, then another', get([lengthOf(SMUGGLED)], SMUGGLED + NEXT), [
    `GET /p?id0000 ${SMUGGLED}`,
    SECOND,
  ]),
  served('GET with a request in a chunk', get([CHUNKED], IN_A_CHUNK + NEXT), [
    `GET /p?id0000 ${SMUGGLED}`,
    SECOND,
  ]),
  served('HEAD with a request as its body', post([lengthOf(SMUGGLED)], SMUGGLED, 'HEAD /p?id0000 HTTP/1.1'), [
    `HEAD /p?id0000 ${SMUGGLED}`,
  ]),
  served('DELETE with a request in a chunk', post([CHUNKED], IN_A_CHUNK, 'DELETE /p?id0000 HTTP/1.1'), [
    `DELETE /p?id0000 ${SMUGGLED}`,
  ]),
  served('POST without framing, then a request', post([], NEXT), ['POST /p?id0000 ', SECOND]),
  served('a body that ends in a request without its end', post(['Content-Length: 12'], 'GET / HTTP/1'), [
    'POST /p?id0000 GET / HTTP/1',
  ]),
  { name: 'CL too long', send: post(['Content-Length: 99'], 'abc'), seen: [], answers: [], after: 'waits' },
  {
    name: 'CL of 2^32+5',
    send: post(['Content-Length: 4294967301'], FIVE),
    seen: [],
    answers: [],
    after: 'waits',
  },
  {
    name: 'CL too short by a line',
    send: post(['Content-Length: 3'], `abc\r\n${NEXT}`),
    seen: ['POST /p?id0000 abc', SECOND],
    answers: [200, 200],
    after: 'open',
  },
  {
    name: 'CL too short by a character',
    send: post(['Content-Length: 3'], 'abc:x'),
    seen: ['POST /p?id0000 abc'],
    answers: [200, 400],
    after: 'closed',
  },
  {
    name: 'HTTP/1.0 with CL, then a request',
    send: post(['Content-Length: 5'], FIVE, 'POST /p?id0000 HTTP/1.0'),
    seen: ['POST /p?id0000 abcde'],
    answers: [200],
    after: 'closed',
  },
  {
    name: 'Connection: close, then a request',
    send: post(['Content-Length: 5', 'Connection: close'], FIVE),
    seen: ['POST /p?id0000 abcde'],
    answers: [200],
    after: 'closed',
  },
]

function fillers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `X-Filler-${index}: y`)
}

export const FRAMING: readonly Attack[] = [...both, ...transferEncodings, ...contentLengths, ...legitimate]
