import { shown } from './attack.ts'

/** What an upstream sends instead of a response, and what the client who asked for it may get. */
export interface BadResponse {
  readonly name: string
  /** One character per byte. */
  readonly bytes: string
  /** Default: a plain GET. */
  readonly request?: string
  /** A FIN follows. */
  readonly close?: boolean
  /**
   * `refused`: 502. `cut`: the start of a 200, then a reset. `taken`: 200 with content `ok`, yet the connection has
   * served its last. `fine`: 200, and the connection serves the next client.
   */
  readonly outcome: 'refused' | 'cut' | 'taken' | 'fine'
  /** Two sendings mean something else than one: only the whole is sent. */
  readonly wholeOnly?: boolean
}

const OK = 'HTTP/1.1 200 OK\r\n'
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
const LENGTH_2 = `${OK}Content-Length: 2\r\n\r\n`

const UPGRADE = 'GET /attack HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n'

const refused = (name: string, bytes: string): BadResponse => ({ name, bytes, outcome: 'refused' })
const head = (...lines: string[]): string => `${OK}${lines.join('\r\n')}\r\n\r\nok${POISON}`

const STATUS_LINES = [
  'HTTP/1.1 000 OK',
  'HTTP/1.1 099 OK',
  'HTTP/1.1 600 OK',
  'HTTP/1.1 999 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 +20 OK',
  'HTTP/1.1 2x0 OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.1\t200 OK',
  'HTTP/1.1 200\tOK',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 O\rK',
  'HTTP/1.1 200 O\nK',
  'HTTP/1.2 200 OK',
  'HTTP/2.0 200 OK',
  'HTTP/0.9 200 OK',
  'HTTP/1 200 OK',
  'http/1.1 200 OK',
  'ICY 200 OK',
  'HTTP/1.1200 OK',
  ' HTTP/1.1 200 OK',
  '\r\nHTTP/1.1 200 OK',
  '<html>ok</html>',
  'GET / HTTP/1.1',
]

const FIELD_LINES = [
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: chunked\x0b',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked\r\nContent-Length: 2',
  'Content-Length: 2\r\nTransfer-Encoding: chunked',
  'Content-Length: 2\r\nContent-Length: 2',
  'Content-Length: 2\r\nContent-Length: 50',
  'Content-Length: 2, 2',
  'Content-Length: +2',
  'Content-Length: -2',
  'Content-Length: 0x2',
  'Content-Length: 2 2',
  'Content-Length:',
  'Content-Length: 18446744073709551618',
  'Content-Length : 2',
  'Content-Length\t: 2',
  ' Content-Length: 2',
  'X: y\r\n Content-Length: 2',
  'X: y\n Content-Length: 2',
  'X: y\rContent-Length: 2',
  'X: y\0',
  'X\0: y',
  'X: \x1b[31m',
  ': y',
  'X',
  '\xa0X: y',
  `X: ${'y'.repeat(40_000)}`,
  'X: y\r\n'.repeat(101).trimEnd(),
]

const heads: BadResponse[] = [
  ...STATUS_LINES.map((line) => refused(shown(line), `${line}\r\nContent-Length: 2\r\n\r\nok`)),
  ...FIELD_LINES.map((line) => refused(shown(line), head(line))),
  refused('LF everywhere', `${OK}Content-Length: 2\r\n\r\n`.replaceAll('\r', '')),
  refused('LF for the empty line', `${OK}Content-Length: 2\r\n\nok`),
  refused(
    'HTTP/1.0 with Transfer-Encoding',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  // Not sent again on another connection, as a GET would be.
  { ...refused('no byte at all', ''), request: 'POST /attack HTTP/1.1\r\nHost: a\r\n\r\n' },
  refused('half a head', `${OK}Content-Length: 2\r\n`),
  refused('HTTP/0.9', 'ok'),
].map((response) => ({ ...response, close: true }))

const interim: BadResponse[] = [
  refused(
    '101 unasked',
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n${POISON}`,
  ),
  refused('101 unasked, without Upgrade', `HTTP/1.1 101 Switching Protocols\r\n\r\n${POISON}`),
  {
    ...refused('101 to another protocol', 'HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nx'),
    request: UPGRADE,
  },
  {
    ...refused('101 to no protocol', 'HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\nx'),
    request: UPGRADE,
  },
  refused('endless interim responses', `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(500)}${LENGTH_2}ok`),
  refused('endless unasked 100', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(500)}${LENGTH_2}ok`),
  refused('103 with content', `HTTP/1.1 103 Early Hints\r\nContent-Length: 50\r\n\r\n${LENGTH_2}ok`),
  refused('103 with chunks', `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n${LENGTH_2}ok`),
  refused('103 in HTTP/1.0', `HTTP/1.0 103 Early Hints\r\n\r\n${LENGTH_2}ok`),
  refused('103 and a bad head', `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\nX: y\r\n\r\n`),
  { ...refused('103 and the end', 'HTTP/1.1 103 Early Hints\r\n\r\n'), close: true },
  {
    name: '103 twice and 200',
    bytes: `${`HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n`.repeat(2)}${LENGTH_2}ok`,
    outcome: 'fine',
  },
]

const CHUNKS = [
  '0x2\r\nok\r\n0\r\n\r\n',
  '+2\r\nok\r\n0\r\n\r\n',
  '-2\r\nok\r\n0\r\n\r\n',
  ' 2\r\nok\r\n0\r\n\r\n',
  '2 \r\nok\r\n0\r\n\r\n',
  '2\nok\r\n0\r\n\r\n',
  '2;\nok\r\n0\r\n\r\n',
  '2;a="\r\n"\r\nok\r\n0\r\n\r\n',
  '10000000000000002\r\nok\r\n0\r\n\r\n',
  '2\r\nokx\r\n0\r\n\r\n',
  '2\r\nok0\r\n\r\n',
  '2\r\nok\n0\r\n\r\n',
  '\r\n\r\n',
  '2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n',
  '2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n',
  '2\r\nok\r\n0\r\nX : y\r\n\r\n',
  `2\r\nok\r\n0\r\n${POISON}`,
]

const bodies: BadResponse[] = [
  ...CHUNKS.map(
    (text): BadResponse => ({ name: `chunks ${shown(text)}`, bytes: CHUNKED + text, outcome: 'cut' }),
  ),
  { name: 'too little content', bytes: `${OK}Content-Length: 9\r\n\r\nok`, close: true, outcome: 'cut' },
  { name: 'half a chunk', bytes: `${CHUNKED}9\r\nok`, close: true, outcome: 'cut' },
  { name: 'no last chunk', bytes: `${CHUNKED}2\r\nok\r\n`, close: true, outcome: 'cut' },
  { name: 'half a last chunk', bytes: `${CHUNKED}2\r\nok\r\n0\r\n`, close: true, outcome: 'cut' },
  { name: 'half the trailers', bytes: `${CHUNKED}2\r\nok\r\n0\r\nX: y\r\n`, close: true, outcome: 'cut' },
]

/** More than the response: whoever is next on this connection would get it. */
const surplus: BadResponse[] = [
  { name: 'a second response', bytes: `${LENGTH_2}ok${POISON}` },
  { name: 'one more byte', bytes: `${LENGTH_2}ok\n` },
  { name: 'one more line break', bytes: `${LENGTH_2}ok\r\n` },
  { name: 'half a second head', bytes: `${LENGTH_2}okHTTP/1.1 200 OK\r\nX: ` },
  { name: 'a second response after the last chunk', bytes: `${CHUNKED}2\r\nok\r\n0\r\n\r\n${POISON}` },
  { name: 'a second last chunk', bytes: `${CHUNKED}2\r\nok\r\n0\r\n\r\n0\r\n\r\n` },
  {
    name: 'a second response with interim ones',
    bytes: `${LENGTH_2}okHTTP/1.1 100 Continue\r\n\r\n${POISON}`,
  },
  { name: '204 with content', bytes: `HTTP/1.1 204 No Content\r\n\r\n${POISON}` },
  { name: '204 that announces content', bytes: 'HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n' },
  {
    name: '204 that announces chunks',
    bytes: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n',
  },
  { name: '304 with content', bytes: `HTTP/1.1 304 Not Modified\r\nContent-Length: 54\r\n\r\n${POISON}` },
  {
    name: 'Connection: close and more',
    bytes: `${OK}Connection: close\r\nContent-Length: 2\r\n\r\nok${POISON}`,
  },
  { name: 'Connection: close in a list', bytes: `${OK}Connection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok` },
  { name: 'HTTP/1.0 without keep-alive', bytes: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok' },
  { name: 'content until the end', bytes: `${OK}\r\nok`, close: true },
  { name: 'HTTP/1.0 until the end', bytes: 'HTTP/1.0 200 OK\r\n\r\nok', close: true },
].map((response): BadResponse => ({ ...response, outcome: 'taken', wholeOnly: true }))

const fine: BadResponse[] = [
  { name: 'content with a response in it', bytes: `${OK}Content-Length: 2\r\n\r\nok`, outcome: 'fine' },
  { name: 'chunks', bytes: `${CHUNKED}1;a=b\r\no\r\n01\r\nk\r\n0\r\nX: y\r\n\r\n`, outcome: 'fine' },
  { name: 'no reason', bytes: `HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok`, outcome: 'fine' },
  {
    name: 'HTTP/1.0 with keep-alive',
    bytes: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
    outcome: 'fine',
  },
  { name: '204', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', outcome: 'fine' },
  {
    name: '304 with the length of what it stands for',
    bytes: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
    outcome: 'fine',
  },
]

export const RESPONSES: readonly BadResponse[] = [...heads, ...interim, ...bodies, ...surplus, ...fine]
