import fc from 'fast-check'
import type { Pieces } from './grammar.ts'

/** Bytes to feed, and where to cut them. */
export interface Sent {
  readonly bytes: Buffer
  readonly pieces: readonly Buffer[]
}

/** What attacks on parsers are made of; put in the place of any piece, or before it. */
const ODD: readonly string[] = [
  ...[
    '',
    ' ',
    '  ',
    '\t',
    '\v',
    '\f',
    '\n',
    '\r',
    '\r\n',
    '\r\r\n',
    '\n\r',
    '\r\n ',
    '\r\n\t',
    '\r\n\r\n',
    '\0',
    '\x7f',
    '\xa0',
    '\x85',
    '\xff',
  ],
  ...[
    ':',
    ' :',
    '::',
    ',',
    ';',
    '; ',
    ' ;',
    ';;',
    '=',
    '"',
    '\\',
    '#',
    '?',
    '*',
    '/',
    '//',
    '@',
    '%',
    '%00',
    '[',
    ']',
    '[::1]',
    '(',
  ],
  ...[
    '0',
    '00',
    '1',
    '3',
    '5',
    'a',
    'A',
    'g',
    '+1',
    '-1',
    '0x1',
    '1_0',
    '1e1',
    '1.0',
    ' 1',
    '1 ',
    '1, 1',
    '0,0',
    '1;1',
  ],
  ...[
    'ffffffffffffffff',
    '10000000000000000',
    '10000000000000001',
    '18446744073709551616',
    '9007199254740993',
    '4294967296',
  ],
  ...[
    'HTTP/1.1',
    'HTTP/1.0',
    'HTTP/0.9',
    'HTTP/2.0',
    'HTTP/1.2',
    'HTTP/1.',
    'HTTP/11',
    'http/1.1',
    'HTTP/1.10',
    'RTSP/1.0',
    'ICE/1.0',
  ],
  ...['GET', 'get', 'POST', 'PRI', 'CONNECT', 'OPTIONS', 'SOURCE', 'HTTP', 'G', 'GETT', 'M-SEARCH', 'FOO'],
  ...[
    'Host',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Upgrade',
    'Expect',
    'Content-Length ',
    'Transfer-Encoding\t',
  ],
  ...['Content_Length', 'Transfer-Encodin\xfe', 'Host\0', 'X\r\n', 'Proxy-Connection', 'Trailer', 'TE'],
  ...[
    'chunked',
    'CHUNKED',
    'identity',
    'gzip',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'chunked,',
    ',chunked',
    'xchunked',
  ],
  ...[
    'chunked;q=1',
    '"chunked"',
    'chunked\xa0',
    'chun\tked',
    'close',
    'keep-alive',
    'close, upgrade',
    'upgrade',
    'websocket',
    'h2c',
    '100-continue',
    'x',
  ],
  ...[
    'Host: b\r\n',
    'Content-Length: 3\r\n',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: identity\r\n',
  ],
  ...[
    'Content-Length: 3\n',
    'X: y\n',
    'X: y\r',
    'X\r\n',
    ': x\r\n',
    ' X: y\r\n',
    'X : y\r\n',
    'X: y\r\n z\r\n',
    'Connection: close\r\n',
  ],
  ...[
    'Connection: upgrade\r\nUpgrade: x\r\n',
    'Expect: 100-continue\r\n',
    'Transfer-Encoding : chunked\r\n',
    'Transfer-Encoding:\r\n chunked\r\n',
  ],
  ...[
    'a b',
    'a.b:80',
    'a:b',
    'u@a',
    'http://b/',
    'https://b',
    'http://b?c',
    'ftp://b/',
    'http://',
    'http:/b',
    'http://u@b/',
    '*a',
    'b:80',
    '/#a',
    '/\xe9',
  ],
  ...['200', '20', '2000', '099', '600', '999', '204', '304', '101', '100', '103', '2 00'],
  ...[
    '1\r\na\r\n',
    '1\r\na',
    '1\na\n',
    '0\r\n\r\n',
    '0\n\n',
    ';a',
    ';a=b',
    '; a=b',
    ';a=',
    ';a="b',
    ';a="\r\n"',
    ';a="\\\n"',
    ';a = b',
    ';\xff',
    ';a=b c',
  ],
]

/** Three in four do to a piece what they say; the rest work on bytes. */
interface Mutation {
  readonly what: 'replace' | 'insert' | 'remove' | 'repeat' | 'swap' | 'cut' | 'flip' | 'byte'
  readonly at: number
  readonly odd: string
  readonly byte: number
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  what: fc.constantFrom(
    'replace',
    'replace',
    'insert',
    'insert',
    'remove',
    'repeat',
    'swap',
    'cut',
    'flip',
    'byte',
  ),
  at: fc.nat(9_999),
  odd: fc.constantFrom(...ODD),
  byte: fc.nat(255),
})

function mutatePieces(pieces: Pieces, { what, at, odd }: Mutation): Pieces {
  const i = at % Math.max(pieces.length, 1)
  const piece = pieces[i] ?? ''
  if (what === 'replace') return pieces.toSpliced(i, 1, odd)
  if (what === 'insert') return pieces.toSpliced(i, 0, odd)
  if (what === 'remove') return pieces.toSpliced(i, 1)
  if (what === 'repeat') return pieces.toSpliced(i, 0, piece)
  if (what === 'swap') return pieces.toSpliced(i, 2, pieces[i + 1] ?? '', piece)
  return pieces
}

function mutateBytes(bytes: Buffer, { what, at, byte }: Mutation): Buffer {
  const i = at % Math.max(bytes.length, 1)
  if (what === 'cut') return bytes.subarray(0, i)
  if (what === 'flip' && i < bytes.length) bytes[i] = (bytes[i] ?? 0) ^ (1 << (byte & 7))
  if (what === 'byte' && i < bytes.length) bytes[i] = byte
  return bytes
}

/** Messages in a row, half of them left as they are and half mutated up to three times, cut in up to four pieces. */
export function sent(messages: fc.Arbitrary<readonly Pieces[]>): fc.Arbitrary<Sent> {
  const mutations = fc.oneof(
    { weight: 1, arbitrary: fc.constant<Mutation[]>([]) },
    { weight: 1, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3 }) },
  )
  return fc
    .tuple(messages, mutations, fc.array(fc.nat(9_999), { maxLength: 3 }))
    .map(([list, changes, cuts]) => {
      let pieces: Pieces = list.flat()
      for (const change of changes) pieces = mutatePieces(pieces, change)
      let bytes: Buffer = Buffer.from(pieces.join(''), 'latin1')
      for (const change of changes) bytes = mutateBytes(bytes, change)
      return { bytes, pieces: cutInto(bytes, cuts) }
    })
}

function cutInto(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)
  return [...places, bytes.length].map((place, i) => bytes.subarray(places[i - 1] ?? 0, place))
}
