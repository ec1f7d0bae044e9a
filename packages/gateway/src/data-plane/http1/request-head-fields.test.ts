import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RequestHead } from './request-head.ts'
import { linesOf, onEverySplit, readRequests } from './test-support.ts'

/** Host and the given lines, read on every split; the two ways round too where the lines are two. */
function headWith(lines: readonly string[], check: (head: RequestHead) => void, minorVersion = 1): void {
  const orders = lines.length === 2 ? [lines, lines.toReversed()] : [lines]
  for (const order of orders) {
    const text = `GET / HTTP/1.${minorVersion}\r\nHost: a\r\n${order.map((line) => `${line}\r\n`).join('')}\r\n`
    onEverySplit(text, (pieces) => {
      const { messages, refused } = readRequests(pieces)
      assert.equal(refused, null)
      const head = messages[0]?.head
      assert.ok(head !== undefined)
      check(head)
    })
  }
}

const namesOf = (head: RequestHead) => linesOf(head.fields).map(([name]) => name)

describe('readRequestHead(): Connection (RFC 9110, 7.6.1; RFC 9112, 9.3)', () => {
  const CASES: readonly [lines: string[], minorVersion: number, keepAlive: boolean][] = [
    [[], 1, true],
    [[], 0, false],
    [['Connection: close'], 1, false],
    [['Connection: CLOSE'], 1, false],
    [['Connection: x, close ,y'], 1, false],
    [['Connection: close, keep-alive'], 1, false],
    [['Connection: close', 'Connection: keep-alive'], 1, false],
    [['Connection: keep-alive'], 0, true],
    [['Connection: Keep-Alive'], 0, true],
    [['Connection:\tKEEP-ALIVE ,'], 0, true],
    [['Connection: close', 'Connection: keep-alive'], 0, false],
    [['Connection: '], 0, false],
    // U+00A0 and a form feed are no white space here: no reader but String.trim would see `close`.
    [['Connection: close\xa0'], 1, true],
    [['Connection: \xa0close'], 1, true],
    [['Connection: closed'], 1, true],
    [['Connection: "close"'], 1, true],
    [['Proxy-Connection: keep-alive'], 0, false],
  ]
  for (const [lines, minorVersion, keepAlive] of CASES) {
    it(`keeps ${keepAlive ? 'alive' : 'no'} HTTP/1.${minorVersion} with ${JSON.stringify(lines)}`, () => {
      headWith(lines, (head) => assert.equal(head.keepAlive, keepAlive), minorVersion)
    })
  }

  it('drops hop-by-hop fields, named or not', () => {
    const lines = [
      'Keep-Alive: 5',
      'TE: gzip',
      'Proxy-Connection: x',
      'HTTP2-Settings: x',
      'Upgrade: x',
      'Cookie: c',
    ]
    headWith(lines, (head) => assert.deepEqual(namesOf(head), ['host', 'cookie']))
  })

  it('drops what Connection names, before and after it, in any case', () => {
    headWith(['X-Hop: 1', 'Connection: x-HOP , y'], (head) => assert.deepEqual(namesOf(head), ['host']))
    headWith(['X: 1', 'Connection: x, y', 'Y: 1', 'x: 2', 'Z: 3'], (head) => {
      assert.deepEqual(namesOf(head), ['host', 'z'])
    })
  })

  it('takes as many options as anyone sends, and refuses a list that only costs time', () => {
    const options = (count: number): string => Array.from({ length: count }, (_, i) => `x-${i}`).join(', ')
    headWith(['X-49: 1', `Connection: ${options(50)}`], (head) => assert.deepEqual(namesOf(head), ['host']))
    for (const lines of [[options(51)], [options(30), options(30)], [','.repeat(30_000)]]) {
      const fields = lines.map((line) => `Connection: ${line}\r\n`).join('')
      const { refused } = readRequests([Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)])
      assert.equal(refused?.code, 'REQUEST_MALFORMED')
    }
  })

  it('drops neither Host nor Content-Length, though Connection names them', () => {
    headWith(['Connection: host, content-length, transfer-encoding', 'Content-Length: 0'], (head) => {
      assert.deepEqual(linesOf(head.fields), [
        ['host', 'a'],
        ['content-length', '0'],
      ])
      assert.deepEqual([head.host, head.contentLength], ['a', 0])
    })
  })
})

describe('readRequestHead(): Upgrade, Expect, TE', () => {
  it('takes an Upgrade that Connection lists', () => {
    headWith(['Connection: Upgrade', 'Upgrade: websocket'], (head) => assert.equal(head.upgrade, 'websocket'))
    headWith(['Connection: x, upgrade', 'Upgrade: a', 'Upgrade: b/1'], (head) => {
      assert.equal(head.upgrade, 'a, b/1')
    })
    headWith(['Connection: upgrade', 'Upgrade: x-http, tlsx/1'], (head) => {
      assert.equal(head.upgrade, 'x-http, tlsx/1')
    })
  })

  it('takes no Upgrade that Connection does not list, none from HTTP/1.0, none beside content, none to HTTP', () => {
    const cases: [string[], number?][] = [
      [['Upgrade: websocket']],
      [['Upgrade: websocket', 'Connection: keep-alive']],
      [['Connection: upgrade']],
      [['Upgrade:', 'Connection: upgrade']],
      [['Upgrade: websocket', 'Connection: upgrade'], 0],
      [['Upgrade: h2c', 'Connection: upgrade']],
      [['Upgrade: websocket, H2C', 'Connection: upgrade, http2-settings']],
      [['Upgrade: TLS/1.0, HTTP/1.1', 'Connection: upgrade']],
      [['Upgrade: tls', 'Connection: upgrade']],
      [['Upgrade: websocket,\thttp/2.0', 'Connection: upgrade']],
      [['Upgrade: websocket', 'Connection: upgrade', 'Content-Length: 1']],
      [['Upgrade: websocket', 'Connection: upgrade', 'Transfer-Encoding: chunked']],
    ]
    for (const [lines, minorVersion = 1] of cases) {
      const text = `GET / HTTP/1.${minorVersion}\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`
      onEverySplit(`${text}${lines.length === 3 ? '1\r\na\r\n0\r\n\r\n' : ''}`, (pieces) => {
        const { messages } = readRequests(pieces)
        assert.deepEqual([messages[0]?.head.upgrade, messages[0]?.head.fields.has('upgrade')], [null, false])
      })
    }
  })

  it('knows 100-continue, and ignores it from HTTP/1.0', () => {
    headWith(['Expect: 100-Continue'], (head) => assert.equal(head.expectContinue, true))
    headWith(['Expect: 100-continue'], (head) => assert.equal(head.expectContinue, false), 0)
    headWith([], (head) => assert.equal(head.expectContinue, false))
    headWith(['Expect: 100-continue'], (head) => assert.deepEqual(namesOf(head), ['host']))
  })

  it('drops TE: what a hop takes is its own affair (RFC 9110, 10.1.4)', () => {
    headWith(['TE: gzip;q=0.5, Trailers'], (head) => assert.deepEqual(namesOf(head), ['host']))
  })

  it('says when fields are there that the gateway writes itself', () => {
    for (const name of ['X-Forwarded-For', 'forwarded', 'Via', 'X-Request-ID', 'X-Forwarded-Host']) {
      headWith([`${name}: x`], (head) => {
        assert.deepEqual([head.hasForwardingFields, head.fields.get(name.toLowerCase())], [true, 'x'])
      })
    }
    headWith(['X-Forwarded-User: x'], (head) => {
      assert.deepEqual([head.hasForwardingFields, head.fields.get('x-forwarded-user')], [true, 'x'])
    })
    headWith(['X-Forwarded: x'], (head) => assert.equal(head.hasForwardingFields, false))
  })
})

describe('readRequestHead(): framing and target', () => {
  it('reads Content-Length, leading zeros too', () => {
    for (const [value, length] of [
      ['0', 0],
      ['3', 3],
      ['003', 3],
    ] as const) {
      onEverySplit(
        `PUT / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: ${value} \r\n\r\n${'a'.repeat(length)}`,
        (pieces) => {
          const { messages, incomplete } = readRequests(pieces)
          assert.deepEqual(
            messages.map(({ head, body }) => [head.contentLength, head.hasBody, body.length]),
            [[length, length > 0, length]],
          )
          assert.equal(incomplete, false)
        },
      )
    }
  })

  it('counts a Content-Length of 15 digits exactly', () => {
    onEverySplit('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999\r\n\r\n', (pieces) => {
      const { messages, refused, incomplete } = readRequests(pieces)
      assert.deepEqual([messages.length, refused, incomplete], [0, null, true])
    })
  })

  it('reads chunked in any case', () => {
    onEverySplit('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t ChunkeD \r\n\r\n0\r\n\r\n', (pieces) => {
      const { messages } = readRequests(pieces)
      assert.deepEqual(
        [messages[0]?.head.chunked, messages[0]?.head.fields.has('transfer-encoding')],
        [true, false],
      )
    })
  })

  const TARGETS: readonly [line: string, target: string, host: string][] = [
    ['GET http://B.example/x?y', '/x?y', 'b.example'],
    ['GET HTTPS://b:8080/', '/', 'b:8080'],
    ['GET http://b', '/', 'b'],
    ['GET http://b?y/z', '/?y/z', 'b'],
    ['GET http://[::1]:80/x', '/x', '[::1]:80'],
    ['GET http://b//x', '//x', 'b'],
    ['OPTIONS http://b', '*', 'b'],
    ['OPTIONS http://b/', '/', 'b'],
    ['OPTIONS http://b?', '/?', 'b'],
    ['OPTIONS *', '*', 'a'],
    ['OPTIONS /', '/', 'a'],
  ]
  for (const [line, target, host] of TARGETS) {
    it(`reads "${line}" as ${target} of ${host}`, () => {
      onEverySplit(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`, (pieces) => {
        const head = readRequests(pieces).messages[0]?.head
        assert.deepEqual([head?.target, head?.host], [target, host])
        assert.deepEqual(
          head?.fields.getAll('host').map((value) => value.toLowerCase()),
          [host],
        )
      })
    })
  }

  it('gives an absolute-form HTTP/1.0 request its Host', () => {
    onEverySplit('GET http://b/ HTTP/1.0\r\n\r\n', (pieces) => {
      assert.equal(readRequests(pieces).messages[0]?.head.fields.get('host'), 'b')
    })
  })
})
