import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../config/limits.ts'
import type { ResponseHead } from './response-head.ts'
import { linesOf, onEverySplit, type ReadLimits, readResponses, refusedOnEverySplit } from './test-support.ts'

const CODE = 'UPSTREAM_RESPONSE_INVALID'

const REFUSED: readonly [rule: string, text: string][] = [
  // The status line (RFC 9112, 4).
  ['something that is not HTTP', 'SSH-2.0-OpenSSH\r\n'],
  ['an empty line before the status line', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
  ['a version in lower case', 'http/1.1 200 OK\r\n\r\n'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
  ['HTTP/1.10', 'HTTP/1.10 200 OK\r\n\r\n'],
  ['no space after the version', 'HTTP/1.1200 OK\r\n\r\n'],
  ['a tab after the version', 'HTTP/1.1\t200 OK\r\n\r\n'],
  ['two spaces after the version', 'HTTP/1.1  200 OK\r\n\r\n'],
  ['no status code', 'HTTP/1.1 \r\n\r\nabcde'],
  ['a status code of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['a status code of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['a status code with a letter', 'HTTP/1.1 2O0 OK\r\n\r\n'],
  ['a status code below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['a status code above 599', 'HTTP/1.1 600 OK\r\n\r\n'],
  ['a tab after the status code', 'HTTP/1.1 200\tOK\r\n\r\n'],
  ['a NUL in the reason phrase', 'HTTP/1.1 200 O\0K\r\n\r\n'],
  ['DEL in the reason phrase', 'HTTP/1.1 200 O\x7fK\r\n\r\n'],
  // Line breaks (RFC 9112, 2.2).
  ['a bare LF after the status line', 'HTTP/1.1 200 OK\nX: y\r\n\r\n'],
  ['a bare LF after a status line without reason phrase', 'HTTP/1.1 200\nX: y\r\n\r\n'],
  ['a bare CR in the reason phrase', 'HTTP/1.1 200 O\rK\r\n\r\n'],
  ['a bare LF after a field line', 'HTTP/1.1 200 OK\r\nX: y\nZ: y\r\n\r\n'],
  ['a bare CR after a field line', 'HTTP/1.1 200 OK\r\nX: y\rZ: y\r\n\r\n'],
  ['a bare LF as the empty line', 'HTTP/1.1 200 OK\r\nX: y\r\n\n'],
  // Field lines (RFC 9112, 5).
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
  ['obs-fold', 'HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n'],
  ['an empty field name', 'HTTP/1.1 200 OK\r\n: y\r\n\r\n'],
  ['a field line without a colon', 'HTTP/1.1 200 OK\r\nX\r\n\r\n'],
  ['a field name that is no token', 'HTTP/1.1 200 OK\r\nX(: y\r\n\r\n'],
  ['a control character in a field value', 'HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n'],
  // Framing (RFC 9112, 6).
  ['both lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  [
    'both lengths, chunked first',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n',
  ],
  ['two differing lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ['two equal lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n'],
  ['Content-Length "1, 1"', 'HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n'],
  ['Content-Length "-1"', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['an empty Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n'],
  ['Transfer-Encoding "gzip, chunked"', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['Transfer-Encoding "identity"', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n'],
  ['an empty Transfer-Encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n'],
  [
    'two Transfer-Encodings',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['Transfer-Encoding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['an interim response that closes', 'HTTP/1.1 103 X\r\nConnection: close\r\n\r\n'],
  [
    'more options of Connection than anyone sends',
    `HTTP/1.1 200 OK\r\nConnection: ${'x,'.repeat(50)}\r\n\r\n`,
  ],
  ['an interim response of HTTP/1.0', 'HTTP/1.0 100 X\r\n\r\n'],
  ['both lengths in a 304', 'HTTP/1.1 304 X\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
]

/** The head of a response without content, on every split. */
function headOf(text: string, check: (head: ResponseHead) => void): void {
  onEverySplit(text, (pieces) => {
    const { messages, refused } = readResponses(pieces, { method: 'HEAD', closed: false })
    assert.equal(refused, null)
    assert.equal(messages.length, 1)
    for (const { head } of messages) check(head)
  })
}

describe('readResponseHead()', () => {
  for (const [rule, text] of REFUSED) {
    it(`refuses ${JSON.stringify(rule)}`, () => {
      refusedOnEverySplit(text, CODE, readResponses)
      refusedOnEverySplit(`HTTP/1.1 103 X\r\nLink: x\r\n\r\n${text}`, CODE, readResponses, 1)
    })
  }

  const LIMITS: ReadLimits = { ...LIMIT_DEFAULTS, headBytesMax: 40, headerCountMax: 2 }
  const limited = (pieces: readonly Buffer[]) =>
    readResponses(pieces, { method: 'HEAD', closed: false }, LIMITS)

  it('refuses a head longer than its limit, whole or not', () => {
    refusedOnEverySplit(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(17)}\r\n\r\n`, CODE, limited)
    refusedOnEverySplit(`HTTP/1.1 200 ${'a'.repeat(28)}`, CODE, limited)
    onEverySplit(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(16)}\r\n\r\n`, (pieces) => {
      assert.equal(limited(pieces).messages.length, 1)
    })
  })

  it('refuses more field lines than their limit', () => {
    refusedOnEverySplit('HTTP/1.1 200 OK\r\na:b\r\na:b\r\na:b\r\n\r\n', CODE, limited)
    onEverySplit('HTTP/1.1 200 OK\r\na:b\r\na:b\r\n\r\n', (pieces) => {
      assert.equal(limited(pieces).messages.length, 1)
    })
  })

  it('asks for more bytes while the head is not whole', () => {
    const text = 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n'
    for (let length = 1; length < text.length; length++) {
      const { messages, refused, incomplete } = readResponses([Buffer.from(text.slice(0, length))])
      assert.deepEqual([messages.length, refused, incomplete], [0, null, true])
    }
  })

  it('reads status and field lines as they were sent', () => {
    headOf('HTTP/1.1 299 \xff\t "Fine"\r\nSet-Cookie: a\r\nSET-cookie: b\r\nX:\r\n\r\n', (head) => {
      assert.deepEqual([head.status, head.minorVersion, head.contentLength], [299, 1, -1])
      assert.deepEqual(linesOf(head.fields), [
        ['set-cookie', 'a'],
        ['set-cookie', 'b'],
        ['x', ''],
      ])
    })
  })

  it('takes a status line without reason phrase, with its space or without', () => {
    headOf('HTTP/1.1 100 \r\n\r\n', (head) => assert.equal(head.status, 100))
    headOf('HTTP/1.0 599\r\n\r\n', (head) => assert.deepEqual([head.status, head.minorVersion], [599, 0]))
  })

  it('keeps Date and Via as they came', () => {
    headOf('HTTP/1.1 200 OK\r\nDATE: x\r\nVia: y\r\n\r\n', (head) => {
      assert.deepEqual(linesOf(head.fields), [
        ['date', 'x'],
        ['via', 'y'],
      ])
    })
  })
})

describe('readResponseHead(): Connection (RFC 9110, 7.6.1; RFC 9112, 9.3)', () => {
  const CASES: readonly [version: string, lines: string, keepAlive: boolean][] = [
    ['1.1', '', true],
    ['1.0', '', false],
    ['1.1', 'Connection: close\r\n', false],
    ['1.1', 'Connection: x, CLOSE\r\n', false],
    ['1.1', 'Connection: close\r\nConnection: keep-alive\r\n', false],
    ['1.1', 'Connection: keep-alive\r\nConnection: close\r\n', false],
    ['1.0', 'Connection: keep-alive\r\n', true],
    ['1.0', 'Connection: Keep-Alive, x\r\n', true],
    ['1.0', 'Connection: close, keep-alive\r\n', false],
    ['1.1', 'Connection: close\xa0\r\n', true],
  ]
  for (const [version, lines, keepAlive] of CASES) {
    it(`keeps ${keepAlive ? 'alive' : 'no'} HTTP/${version} with ${JSON.stringify(lines)}`, () => {
      headOf(`HTTP/${version} 200 OK\r\n${lines}\r\n`, (head) => assert.equal(head.keepAlive, keepAlive))
    })
  }

  it('drops hop-by-hop fields and what Connection names, but never Content-Length', () => {
    const lines =
      'X: 1\r\nKeep-Alive: 5\r\nConnection: x, content-length, Y\r\ny: 1\r\nTE: x\r\nContent-Length: 1\r\n'
    headOf(`HTTP/1.1 200 OK\r\n${lines}Proxy-Connection: x\r\nZ: 1\r\n\r\n`, (head) => {
      assert.deepEqual(linesOf(head.fields), [
        ['content-length', '1'],
        ['z', '1'],
      ])
      assert.equal(head.contentLength, 1)
    })
  })

  it('takes an Upgrade that Connection lists, and no other', () => {
    const upgradeOf = (lines: string, upgrade: string | null) =>
      headOf(`HTTP/1.1 101 X\r\n${lines}\r\n`, (head) => {
        assert.deepEqual([head.upgrade, head.fields.has('upgrade')], [upgrade, false])
      })
    upgradeOf('Upgrade: websocket\r\nConnection: Upgrade\r\n', 'websocket')
    upgradeOf('Connection: x, upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n', 'a, b')
    upgradeOf('Upgrade: websocket\r\n', null)
    upgradeOf('Upgrade: websocket\r\nConnection: keep-alive\r\n', null)
    upgradeOf('Connection: upgrade\r\n', null)
    upgradeOf('Connection: upgrade\r\nUpgrade: \r\n', null)
  })
})

describe('readResponseHead(): framing (RFC 9112, 6.3)', () => {
  const get = { method: 'GET', closed: false }
  const CASES: readonly [text: string, how: typeof get, body: string | null][] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd', get, 'abc'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 003\r\n\r\nabc', get, 'abc'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nab\r\n0\r\n\r\nc', get, 'ab'],
    ['HTTP/1.1 200 OK\r\n\r\nabc', get, null],
    ['HTTP/1.1 200 OK\r\n\r\nabc', { ...get, closed: true }, 'abc'],
    ['HTTP/1.1 200 OK\r\n\r\n', { ...get, closed: true }, ''],
    ['HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nab', get, 'a'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab', { ...get, closed: true }, null],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n', { ...get, closed: true }, null],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', { ...get, method: 'HEAD' }, ''],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', { ...get, method: 'HEAD' }, ''],
    ['HTTP/1.1 204 X\r\n\r\nabc', get, ''],
    ['HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\nabc', get, ''],
    ['HTTP/1.1 100 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na', get, 'a'],
    ['HTTP/1.1 101 X\r\n\r\nabc', get, ''],
  ]
  for (const [text, how, body] of CASES) {
    it(`finds ${JSON.stringify(body)} in ${JSON.stringify(text)} (${how.method}${how.closed ? ', closed' : ''})`, () => {
      onEverySplit(text, (pieces) => {
        const { messages, refused, incomplete } = readResponses(pieces, how)
        assert.equal(refused, null)
        const last = messages.at(-1)
        assert.equal(last === undefined ? null : last.body, body)
        assert.equal(incomplete, body === null)
      })
    })
  }
})
