import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../config/limits.ts'
import { BodyDecoder, type BodySink } from './body-decoder.ts'
import { REQUEST_CODES } from './malformed.ts'
import {
  type Lines,
  onEverySplit,
  type ReadLimits,
  readRequests,
  refusedOnEverySplit,
} from './test-support.ts'

const HEAD = 'PUT / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n'

const REFUSED: readonly [rule: string, chunks: string][] = [
  // Chunk sizes (RFC 9112, 7.1).
  ['an empty size', '\r\n'],
  ['no size before an extension', ';a\r\n'],
  ['a size with 0x', '0x1\r\na\r\n'],
  ['a size with a sign', '+1\r\na\r\n'],
  ['a negative size', '-1\r\na\r\n'],
  ['a size that is not hexadecimal', '1g\r\na\r\n'],
  ['a space before the size', ' 1\r\na\r\n'],
  ['a space after the size', '1 \r\na\r\n'],
  ['a tab after the size', '1\t\r\na\r\n'],
  ['an underscore in the size', '1_0\r\na\r\n'],
  ['a NUL in the size', '1\x00\r\na\r\n'],
  ['a size past 2^48', '1000000000000\r\n'],
  ['a size that would wrap 64 bits round', '10000000000000001\r\na\r\n0\r\n\r\n'],
  ['more than twelve digits, zeros or not', '0000000000001\r\na\r\n'],
  ['a bare LF after the size', '1\na\r\n0\r\n\r\n'],
  ['a bare CR after the size', '1\ra\r\n0\r\n\r\n'],
  ['CR CR LF after the size', '1\r\r\na\r\n0\r\n\r\n'],
  // Chunk data.
  ['a chunk longer than its size', '1\r\nab\r\n0\r\n\r\n'],
  ['a chunk shorter than its size', '3\r\na\r\n0\r\n\r\n'],
  ['a bare LF after a chunk', '1\r\na\n0\r\n\r\n'],
  ['a bare CR after a chunk', '1\r\na\r0\r\n\r\n'],
  ['no line break after a chunk', '1\r\na0\r\n\r\n'],
  // Chunk extensions (RFC 9112, 7.1.1).
  ...[
    ';',
    '; a',
    ' ;a',
    ';a ',
    ';a =b',
    ';a= b',
    ';=b',
    ';a=',
    ';;a',
    ';a;',
    ';a=b=c',
    ';a b',
    ';a,b',
    ';a=b"c"',
    ';a="b"c',
    ';a="b',
    ';a="b\\"',
    ';a=\\b',
    ';a="\x00"',
    ';a="\\\x00"',
    ';a="\x7f"',
    ';\xff',
    ';a=\xff',
    ';a\n',
    ';a="b\nc"',
    ';a="b\r\nc"',
    ';a="\\\r\n"',
    ';a\rb',
  ].map((extension): [string, string] => [
    `the extension ${JSON.stringify(extension)}`,
    `1${extension}\r\na\r\n0\r\n\r\n`,
  ]),
  ['a bad extension of the last chunk', '0; a\r\n\r\n'],
  // The trailer section (RFC 9112, 7.1.2).
  ['obs-fold in a trailer', '0\r\nx: y\r\n z\r\n\r\n'],
  ['a space before the colon of a trailer', '0\r\nx : y\r\n\r\n'],
  ['a trailer without a colon', '0\r\nx\r\n\r\n'],
  ['a bare LF after a trailer', '0\r\nx: y\n\r\n'],
  ['a bare LF as the empty line', '0\r\n\n'],
  ['a bare CR as the empty line', '0\r\n\rX'],
  ['a NUL in a trailer', '0\r\nx: \x00\r\n\r\n'],
  ['a next request where trailers stand', '0\r\nGET / HTTP/1.1\r\n\r\n'],
  ['Content-Length as a trailer', '0\r\nContent-Length: 3\r\n\r\n'],
  ['Transfer-Encoding as a trailer', '0\r\nx: y\r\nTRANSFER-encoding: chunked\r\n\r\n'],
  ['Host as a trailer', '0\r\nhost: b\r\n\r\n'],
]

const ACCEPTED: readonly [what: string, chunks: string, body: string, trailers: Lines | null][] = [
  ['no content', '0\r\n\r\n', '', null],
  ['several zeros', '000\r\n\r\n', '', null],
  ['chunks', '1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n', 'abcd', null],
  [
    'sizes in either case, with zeros before them',
    '00A\r\n0123456789\r\na\r\n9876543210\r\n0\r\n\r\n',
    '01234567899876543210',
    null,
  ],
  ['line breaks and sizes as content', '7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n', '\r\n0\r\n\r\n', null],
  ['extensions', '1;a\r\na\r\n1;a=b;c-d="e;"\r\nb\r\n0;x\r\n\r\n', 'ab', null],
  ['quoted extensions', '1;a="";b="\t\xff \\"\\\\\\\xff"\r\na\r\n0\r\n\r\n', 'a', null],
  [
    'trailers',
    '1\r\na\r\n0\r\nX:  y \r\nGrpc-Status: 0\r\nx:\r\n\r\n',
    'a',
    [
      ['x', 'y'],
      ['grpc-status', '0'],
      ['x', ''],
    ],
  ],
  [
    'trailers, without those that come too late',
    '0\r\nAuthorization: x\r\ncookie: y\r\nX: z\r\nIf-Match: x\r\nVia: x\r\nConnection: x\r\nDate: x\r\nExpect: x\r\n\r\n',
    '',
    [['x', 'z']],
  ],
  [
    'trailers that come too late, with _ for - as CGI has it, as none',
    '0\r\nContent_Type: x\r\nSET_COOKIE: y\r\nX_Forwarded_For: z\r\nWWW-Authenticate: a\r\nX-Cardea_Generation: 1\r\n\r\n',
    '',
    null,
  ],
]

describe('BodyDecoder', () => {
  for (const [rule, chunks] of REFUSED) {
    it(`refuses ${JSON.stringify(rule)}`, () => {
      refusedOnEverySplit(HEAD + chunks, 'REQUEST_MALFORMED', readRequests)
      refusedOnEverySplit(`${HEAD}1\r\nz\r\n${chunks}`, 'REQUEST_MALFORMED', readRequests)
    })
  }

  for (const [what, chunks, body, trailers] of ACCEPTED) {
    it(`decodes ${what}`, () => {
      const whole = HEAD + chunks
      onEverySplit(`${whole}GET /2 HTTP/1.1\r\nHost: a\r\n\r\n`, (pieces) => {
        const { messages, refused } = readRequests(pieces)
        assert.equal(refused, null)
        assert.deepEqual(
          messages.map((message) => [message.head.target, message.body, message.trailers]),
          [
            ['/', body, trailers],
            ['/2', '', null],
          ],
        )
        assert.equal(messages[0]?.end, whole.length)
      })
    })
  }

  it('drops trailers that Connection names: they are for this hop only (RFC 9110, 7.6.1)', () => {
    const head = HEAD.replace('Host:a', 'Connection: keep-alive, X-Hop\r\nHost:a\r\nconnection:\tx-OTHER')
    const trailers = '0\r\nX-HOP: 1\r\nx_hop: 2\r\nX-Other: 3\r\nX-Hop-Not: 4\r\n\r\n'
    onEverySplit(`${head}${trailers}${HEAD}0\r\nX-Hop: 5\r\n\r\n`, (pieces) => {
      const { messages, refused } = readRequests(pieces)
      assert.equal(refused, null)
      assert.deepEqual(
        messages.map((message) => message.trailers),
        [[['x-hop-not', '4']], [['x-hop', '5']]],
      )
    })
  })

  const LIMITS: ReadLimits = {
    ...LIMIT_DEFAULTS,
    trailerBytesMax: 20,
    chunkExtensionBytesMax: 10,
    headerCountMax: 3,
  }
  const limited = (pieces: readonly Buffer[]) => readRequests(pieces, LIMITS)
  const acceptedOnEverySplit = (chunks: string) =>
    onEverySplit(HEAD + chunks, (pieces) => assert.equal(limited(pieces).messages.length, 1))

  it('refuses extensions that are too long all together, though each is short', () => {
    refusedOnEverySplit(`${HEAD}1;${'a'.repeat(11)}`, 'REQUEST_MALFORMED', limited)
    refusedOnEverySplit(`${HEAD}${'1;abcd\r\nx\r\n'.repeat(3)}`, 'REQUEST_MALFORMED', limited)
    acceptedOnEverySplit('1;abcd\r\nx\r\n1;abc\r\nx\r\n0\r\n\r\n')
  })

  it('refuses a trailer section that is too long, whole or not', () => {
    refusedOnEverySplit(`${HEAD}0\r\nx: ${'a'.repeat(14)}\r\n\r\n`, 'REQUEST_HEAD_TOO_LARGE', limited)
    refusedOnEverySplit(`${HEAD}0\r\nx: ${'a'.repeat(18)}`, 'REQUEST_HEAD_TOO_LARGE', limited)
    acceptedOnEverySplit(`0\r\nx: ${'a'.repeat(13)}\r\n\r\n`)
  })

  it('refuses too many trailers', () => {
    refusedOnEverySplit(`${HEAD}0\r\na:\r\na:\r\na:\r\na:\r\n\r\n`, 'REQUEST_HEAD_TOO_LARGE', limited)
    acceptedOnEverySplit('0\r\na:\r\na:\r\na:\r\n\r\n')
  })

  it('counts extensions of each body anew', () => {
    const message = `${HEAD}1;abcdefg\r\nx\r\n0\r\n\r\n`
    onEverySplit(message + message, (pieces) => assert.equal(limited(pieces).messages.length, 2))
  })
})

/** Ours to hold directly: what a connection asks of a decoder besides feeding it. */
describe('BodyDecoder by itself', () => {
  class Gathered implements BodySink {
    text = ''
    ends = 0
    onBodyData(buffer: Buffer, start: number, end: number): void {
      this.text += buffer.toString('latin1', start, end)
    }
    onBodyEnd(): void {
      this.ends++
    }
  }
  const feed = (decoder: BodyDecoder, text: string, sink: BodySink) =>
    decoder.feed(Buffer.from(text), 0, text.length, sink)

  it('is done before it starts, and takes nothing', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    assert.deepEqual([decoder.done, feed(decoder, 'abc', new Gathered())], [true, 0])
  })

  it('takes all until the connection closes, and calls no end', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    const sink = new Gathered()
    decoder.startUntilClose()
    assert.equal(feed(decoder, 'abc', sink), 3)
    assert.deepEqual([decoder.untilClose, decoder.done, sink.text, sink.ends], [true, false, 'abc', 0])
  })

  it('is done when its sink hears of the end', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    const seen: boolean[] = []
    const sink: BodySink = { onBodyData() {}, onBodyEnd: () => void seen.push(decoder.done) }
    decoder.startLength(1)
    feed(decoder, 'a', sink)
    decoder.startChunked()
    feed(decoder, '0\r\n\r\n', sink)
    assert.deepEqual(seen, [true, true])
  })

  it('stops at once when its sink abandons the body, and starts clean after that', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    const sink = new Gathered()
    decoder.startChunked()
    const taken = feed(decoder, '1\r\na\r\n1\r\n', {
      onBodyData: () => decoder.abandon(),
      onBodyEnd: () => assert.fail('an abandoned body has no end'),
    })
    assert.deepEqual([taken, decoder.done], [4, true])
    decoder.startLength(1)
    feed(decoder, 'a', {
      onBodyData: () => decoder.abandon(),
      onBodyEnd: () => assert.fail('an abandoned body has no end'),
    })
    decoder.startChunked()
    feed(decoder, '0\r\nx: y\r\n', sink)
    decoder.abandon()
    decoder.startChunked()
    assert.equal(feed(decoder, '1\r\nb\r\n0\r\n\r\n', sink), 11)
    assert.deepEqual([sink.text, sink.ends], ['b', 1])
  })

  it('starts the next chunked body clean after a refused one', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    const sink = new Gathered()
    decoder.startChunked()
    assert.throws(() => feed(decoder, '12;"', sink), { code: 'REQUEST_MALFORMED' })
    decoder.startChunked()
    feed(decoder, '1;a\r\nb\r\n0\r\n\r\n', sink)
    assert.deepEqual([sink.text, sink.ends], ['b', 1])
  })

  it('counts sizes up to twelve digits exactly', () => {
    const decoder = new BodyDecoder(LIMIT_DEFAULTS, REQUEST_CODES)
    const sink = new Gathered()
    decoder.startChunked()
    feed(decoder, 'ffffffffffff\r\nabc', sink)
    assert.deepEqual([sink.text, decoder.done], ['abc', false])
  })
})
