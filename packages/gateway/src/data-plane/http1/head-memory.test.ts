import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LIMIT_DEFAULTS } from '../../config/limits.ts'
import { readBuffer } from '../read-buffer.ts'
import { HeadMemory, LatestHead } from './head-memory.ts'
import { type HeadLimits, type RequestHead, readRequestHead } from './request-head.ts'
import { type ResponseHead, readResponseHead } from './response-head.ts'
import { linesOf } from './test-support.ts'

const limits: HeadLimits = LIMIT_DEFAULTS

/** Four bytes are compared at once: each number of bytes that are left over then. */
const PADDINGS = [0, 1, 2, 3, 300].map((length) => `X-Padding: ${'p'.repeat(length)}\r\n`)

/** Where heads are found: in the buffer that all plain sockets are read into, wherever in it, or in one of their own. */
const PLACES = {
  'the read buffer': (bytes: Buffer, at: number) => {
    readBuffer.fill('?', 0, at + bytes.length + 8)
    bytes.copy(readBuffer, at)
    return readBuffer
  },
  'a buffer of its own': (bytes: Buffer, at: number) => Buffer.concat([Buffer.alloc(at, '?'), bytes]),
}

const inReadBuffer = PLACES['the read buffer']

function readRequest(text: string, memory: HeadMemory<RequestHead> | null, from = limits): RequestHead {
  const start = text.length % 5
  const buffer = inReadBuffer(Buffer.from(text, 'latin1'), start)
  const head = readRequestHead(buffer, start, start + text.length, from, memory)
  assert.ok(head !== null)
  return head
}

function readResponse(text: string, memory: HeadMemory<ResponseHead> | null): ResponseHead {
  const start = text.length % 5
  const buffer = inReadBuffer(Buffer.from(text, 'latin1'), start)
  const head = readResponseHead(buffer, start, start + text.length, limits, memory)
  assert.ok(head !== null)
  return head
}

const seen = ({ fields, ...rest }: RequestHead | ResponseHead) => ({ ...rest, lines: linesOf(fields) })

describe('HeadMemory', () => {
  const bytes = Buffer.from('a: b\r\nccc: d\r\n\r\n')
  const remembering = (): HeadMemory<string> => {
    const memory = new HeadMemory<string>()
    memory.remember(bytes.toString('latin1'), limits, 'parsed')
    return memory
  }

  it('recalls equal bytes wherever they stand, and nothing of fewer', () => {
    const memory = remembering()
    const moved = Buffer.concat([Buffer.from('xyz'), bytes, Buffer.from('more')])
    assert.equal(memory.recall(moved, 3, moved.length, limits), 'parsed')
    assert.equal(memory.recall(moved, 2, moved.length, limits), null)
    for (let end = 3; end < 3 + bytes.length; end++) assert.equal(memory.recall(moved, 3, end, limits), null)
  })

  it('recalls what stands at the very end of the read buffer, and nothing of which the end has not come yet', () => {
    const memory = remembering()
    const { length } = readBuffer
    const start = length - bytes.length
    bytes.copy(readBuffer, start)
    assert.equal(memory.recall(readBuffer, start, length, limits), 'parsed')
    for (let end = start; end < length; end++)
      assert.equal(memory.recall(readBuffer, start, end, limits), null)
    bytes.copy(readBuffer, start + 1)
    assert.equal(memory.recall(readBuffer, start + 1, length, limits), null)
  })

  it('recalls nothing under other limits', () => {
    assert.equal(remembering().recall(bytes, 0, bytes.length, { ...limits }), null)
  })

  it('gives up on a peer that never repeats itself, and not on one that does now and then', () => {
    const memory = remembering()
    const other = Buffer.from('a: b\r\nccc: e\r\n\r\n')
    for (let i = 0; i < 15; i++) assert.equal(memory.recall(other, 0, other.length, limits), null)
    assert.equal(memory.recall(bytes, 0, bytes.length, limits), 'parsed')
    for (let i = 0; i < 16; i++) assert.equal(memory.recall(other, 0, other.length, limits), null)
    assert.equal(memory.recall(bytes, 0, bytes.length, limits), null)
    assert.equal(memory.wants(10), false)
  })

  it('recalls what another connection has remembered last, and holds that from then on', () => {
    const latest = new LatestHead<string>()
    const [one, another] = [new HeadMemory(latest), new HeadMemory(latest)]
    const other = Buffer.from('a: b\r\n\r\n')
    one.remember(bytes.toString('latin1'), limits, 'parsed')
    assert.equal(another.recall(bytes, 0, bytes.length, { ...limits }), null)
    assert.equal(another.recall(other, 0, other.length, limits), null)
    assert.equal(another.length, 0)
    assert.equal(another.recall(bytes, 0, bytes.length, limits), 'parsed')
    assert.equal(another.length, bytes.length)
    one.remember(other.toString('latin1'), limits, 'other')
    assert.equal(another.recall(bytes, 0, bytes.length, limits), 'parsed')
    assert.equal(another.recall(other, 0, other.length, limits), 'other')
    assert.equal(another.length, other.length)
    assert.equal(new HeadMemory().recall(other, 0, other.length, limits), null)
  })

  for (const [name, place] of Object.entries(PLACES)) {
    for (const padding of PADDINGS) {
      it(`sees a difference from its own head in any byte, in ${name} (${padding.length} bytes more)`, () => {
        const known = Buffer.from(`a: b\r\n${padding}\xe9: d\r\n\r\n`, 'latin1')
        for (let start = 0; start < 4; start++) {
          const memory = new HeadMemory<string>()
          memory.remember(known.toString('latin1'), limits, 'parsed')
          for (let i = 0; i < known.length; i++) {
            const other = Buffer.from(known)
            other[i] = (other[i] as number) ^ 0x80
            assert.equal(memory.recall(place(other, start), start, start + other.length, limits), null)
            assert.equal(memory.recall(place(known, start), start, start + known.length, limits), 'parsed')
          }
        }
      })
    }
  }

  for (const padding of PADDINGS) {
    it(`sees a difference from another connection's head in any byte (${padding.length} bytes more)`, () => {
      const latest = new LatestHead<string>()
      const known = Buffer.from(`a: b\r\n${padding}\xe9: d\r\n\r\n`, 'latin1')
      new HeadMemory(latest).remember(known.toString('latin1'), limits, 'parsed')
      for (let i = 0; i < known.length; i++) {
        for (const change of [1, 0x80]) {
          const other = Buffer.from(known)
          other[i] = (other[i] as number) ^ change
          assert.equal(new HeadMemory(latest).recall(other, 0, other.length, limits), null)
        }
      }
      assert.equal(new HeadMemory(latest).recall(known, 0, known.length, limits), 'parsed')
    })
  }

  it('gives up on a peer that never repeats itself, whatever others remember', () => {
    const latest = new LatestHead<string>()
    const [one, another] = [new HeadMemory(latest), new HeadMemory(latest)]
    for (let i = 0; i < 16; i++) {
      const head = Buffer.from(`a: ${String(i).padStart(2, '0')}\r\n\r\n`)
      assert.equal(another.recall(head, 0, head.length, limits), null)
      another.remember(head.toString('latin1'), limits, `${i}`)
    }
    one.remember(bytes.toString('latin1'), limits, 'parsed')
    assert.equal(another.recall(Buffer.from('a: 99\r\n\r\n'), 0, 9, limits), null)
    assert.equal(another.recall(bytes, 0, bytes.length, limits), null)
    assert.equal(another.wants(10), false)
    assert.equal(one.recall(bytes, 0, bytes.length, limits), 'parsed')
  })

  it('holds no long head', () => {
    assert.equal(new HeadMemory().wants(1_536), true)
    assert.equal(new HeadMemory().wants(1_537), false)
  })
})

const SECTIONS = [
  'Host: a.test\r\n',
  'Host: b.test\r\n',
  'Host: A.Test\r\nConnection: close\r\n',
  'Host: a.test\r\nConnection: keep-alive, x-drop\r\nX-Drop: 1\r\nX-Keep: 2\r\n',
  'Host: a.test\r\nContent-Length: 5\r\n',
  'Host: a.test\r\nTransfer-Encoding: chunked\r\n',
  'Host: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n',
  'Host: a.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n',
  'Host: a.test\r\nX-Forwarded-For: 1.2.3.4\r\n',
]

const REQUEST_LINES = [
  'GET / HTTP/1.1',
  'POST /other?x=1 HTTP/1.1',
  'GET http://absolute.test/x HTTP/1.1',
  'HEAD / HTTP/1.0',
]

describe('readRequestHead() with a memory', () => {
  for (const padding of PADDINGS) {
    it(`reads every head after every other as without one (${padding.length} bytes more)`, () => {
      const heads = REQUEST_LINES.flatMap((line) =>
        SECTIONS.map((section) => `${line}\r\n${section}${padding}\r\n`),
      ).filter((text) => !(text.includes('/1.0') && text.includes('chunked')))
      for (const first of heads) {
        const memory = new HeadMemory<RequestHead>()
        readRequest(first, memory)
        // Both orders, so that what is recalled has been recalled, replaced and remembered anew.
        for (const text of [...heads.slice(0, 8), first, ...heads.slice(8, 16), first]) {
          assert.deepEqual(seen(readRequest(text, memory)), seen(readRequest(text, null)), text)
        }
      }
    })

    it(`sees a difference in any byte (${padding.length} bytes more)`, () => {
      const section = `Host: a.test\r\nX-One: abc\r\n${padding}Content-Length: 10\r\n\r\n`
      const text = `GET / HTTP/1.1\r\n${section}`
      const memory = new HeadMemory<RequestHead>()
      for (let i = text.length - section.length; i < text.length; i++) {
        readRequest(text, memory)
        const other = `${text.slice(0, i)}\0${text.slice(i + 1)}`
        // A control character is refused wherever it stands; the end of the head may turn out to be missing.
        assert.throws(() => readRequest(other, memory))
      }
    })
  }

  it('refuses a repeated HTTP/1.1 section that HTTP/1.0 may not have', () => {
    const memory = new HeadMemory<RequestHead>()
    const section = 'Host: a.test\r\nTransfer-Encoding: chunked\r\n\r\n'
    readRequest(`POST / HTTP/1.1\r\n${section}`, memory)
    assert.throws(() => readRequest(`POST / HTTP/1.0\r\n${section}`, memory), /HTTP\/1.0/)
  })

  it('holds a repeated section to the bounds of the head as a whole, and to new limits', () => {
    const memory = new HeadMemory<RequestHead>()
    const section = 'Host: a.test\r\nX-One: 1\r\n\r\n'
    const small = { ...limits, headBytesMax: 60 }
    readRequest(`GET / HTTP/1.1\r\n${section}`, memory, small)
    assert.throws(() => readRequest(`GET /${'x'.repeat(40)} HTTP/1.1\r\n${section}`, memory, small), /longer/)
    const fewer = { ...limits, headerCountMax: 1 }
    assert.throws(() => readRequest(`GET / HTTP/1.1\r\n${section}`, memory, fewer), /more than 1 field/)
  })

  it('shows no request what was done to the fields of another', () => {
    const memory = new HeadMemory<RequestHead>()
    const text = 'GET / HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nX-Two: 2\r\n\r\n'
    const expected = linesOf(readRequest(text, null).fields)
    const written = 'host: a.test\r\nx-one: 1\r\nx-two: 2\r\n'
    for (let round = 0; round < 3; round++) {
      for (const edit of [
        (head: RequestHead) => head.fields.set('x-one', 'changed'),
        (head: RequestHead) => head.fields.append('x-new', 'added'),
        (head: RequestHead) => head.fields.delete('x-two'),
        (head: RequestHead) => head.fields.lines.splice(0, 2),
        (head: RequestHead) => head.fields.set('host', 'other.test'),
      ]) {
        const head = readRequest(text, memory)
        assert.deepEqual(linesOf(head.fields), expected)
        edit(head)
        assert.equal(readRequest(text, memory).fields.text, written)
        assert.notEqual(head.fields.text, written)
      }
    }
  })
})

describe('readResponseHead() with a memory', () => {
  for (const padding of PADDINGS) {
    it(`reads every head after every other as without one (${padding.length} bytes more)`, () => {
      const heads = ['HTTP/1.1 200 OK', 'HTTP/1.1 201 OK', 'HTTP/1.0 200 OK', 'HTTP/1.1 304 x'].flatMap(
        (line) =>
          [
            'Content-Length: 5\r\n',
            'Content-Length: 6\r\n',
            'Date: Mon, 02 Nov 2026 10:00:00 GMT\r\n',
            'Date: Mon, 02 Nov 2026 10:00:01 GMT\r\n',
            'Connection: close\r\n',
            'Connection: keep-alive, x-drop\r\nX-Drop: 1\r\n',
            'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n',
          ].map((section) => `${line}\r\n${section}${padding}\r\n`),
      )
      const memory = new HeadMemory<ResponseHead>()
      for (const first of heads) {
        for (const text of [first, first, ...heads.slice(0, 5), first]) {
          const head = readResponse(text, memory)
          assert.deepEqual(seen(head), seen(readResponse(text, null)), text)
          head.fields.append('via', '1.1 test')
          head.fields.set('date', 'changed')
        }
      }
    })
  }
})
