import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { BodyTransform, Context, StreamPair } from '@cardea/sdk'
import { everySplit } from '../http1/test-support.ts'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** Bodies through pairs of web streams that do their work; what goes wrong is in stream-faults.test.ts. */

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString()

/** What a pair does with each chunk, and at the end. */
const pairOf = (
  transform: (chunk: Uint8Array) => readonly string[],
  flush: () => readonly string[] = () => [],
): StreamPair =>
  new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      for (const piece of transform(chunk)) controller.enqueue(Buffer.from(piece))
    },
    flush(controller) {
      for (const piece of flush()) controller.enqueue(Buffer.from(piece))
    },
  })

const wrapping = (name: string): StreamPair =>
  pairOf(
    (chunk) => [`${name}(${text(chunk)})`],
    () => [`${name}.`],
  )

/** The same as text, whose parts take a while to hand a chunk on. */
function shouting(): StreamPair {
  const decoder = new TextDecoderStream()
  const upper = new TransformStream<string, string>({
    transform: (chunk, controller) => controller.enqueue(chunk.toUpperCase()),
  })
  const { readable } = decoder
  return {
    writable: decoder.writable,
    readable: readable.pipeThrough(upper).pipeThrough(new TextEncoderStream()),
  }
}

const onRequest = (use: (request: Context['request']) => unknown): Hooks => ({
  async handle({ request }) {
    await use(request)
    return true
  },
})

const onResponse = (use: (response: Context['response']) => void): Hooks => ({
  onResponse: ({ response }) => use(response),
})

/** A new pair of `open` for each body of either direction. */
const bothWays = (open: () => StreamPair): Hooks => ({
  handle({ request, response }) {
    request.stream(open())
    response.stream(open())
    return true
  },
})

/** What becomes of content that is sent, and of the same content when it is answered. */
async function through(t: Parameters<typeof exchangeBench>[0], open: () => StreamPair, body: Buffer[]) {
  const { plane, open: ask } = exchangeBench(t, { chain: [bothWays(open)], upstream: { body } })
  const { response, finished } = ask({ method: 'POST', target: '/', body })
  const [content] = await Promise.all([response.content, finished])
  return { sent: Buffer.from(plane.seen[0]?.body ?? []), answered: content }
}

test('streams of a request run in chain order among transforms, those of a response in reverse', async (t) => {
  const transform = (name: string): BodyTransform => {
    return (chunk) => (chunk.length === 0 ? null : Buffer.from(`${name}(${text(chunk)})`))
  }
  const { send, plane } = exchangeBench(t, {
    chain: [
      { ...onRequest((it) => it.stream(wrapping('a'))), ...onResponse((it) => it.stream(wrapping('a'))) },
      {
        ...onRequest((it) => it.transformBody(transform('b'))),
        ...onResponse((it) => it.transformBody(transform('b'))),
      },
      { ...onRequest((it) => it.stream(wrapping('c'))), ...onResponse((it) => it.stream(wrapping('c'))) },
    ],
    upstream: {
      body: ['x', 'y'],
      headers: { etag: '"e"', 'content-digest': 'd', 'accept-ranges': 'bytes' },
    },
  })
  const { headers, text: content } = await send({ method: 'POST', target: '/', body: ['1', '2'] })
  assert.equal(plane.seen[0]?.text(), 'c(b(a(1)))c(b(a(2)))c(b(a.))c.')
  assert.equal(content, 'a(b(c(x)))a(b(c(y)))a(b(c.))a.')
  assert.equal(headers.get('transfer-encoding'), 'chunked')
  assert.equal(headers.get('etag'), 'W/"e"')
  assert.deepEqual(
    ['content-length', 'content-digest', 'accept-ranges'].filter((name) => headers.has(name)),
    [],
  )
})

test('a small body passes whatever its pieces, both ways', async (t) => {
  const pairs: [open: () => StreamPair, becomes: string][] = [
    [() => new TransformStream(), 'A body.'],
    [shouting, 'A BODY.'],
    // Of each chunk nothing, and everything at the end.
    [
      () => {
        const kept: string[] = []
        return pairOf(
          (chunk) => (kept.push(text(chunk)) > 0 ? [] : []),
          () => [kept.join(''), '!'],
        )
      },
      'A body.!',
    ],
    // Of each chunk many.
    [() => pairOf((chunk) => [...text(chunk)].flatMap((letter) => [letter, '', letter])), 'AA  bbooddyy..'],
  ]
  for (const pieces of everySplit(Buffer.from('A body.'))) {
    for (const [open, becomes] of pairs) {
      const { sent, answered } = await through(t, open, pieces)
      assert.deepEqual([String(sent), String(answered)], [becomes, becomes], pieces.join('|'))
    }
  }
})

test('compressed bodies pass whatever their pieces, both ways', async (t) => {
  const content = 'abcabcabc'
  for (const pieces of everySplit(Buffer.from(content))) {
    const { sent, answered } = await through(t, () => new CompressionStream('gzip'), pieces)
    assert.deepEqual([String(gunzipSync(sent)), String(gunzipSync(answered))], [content, content])
  }
  const packed = gzipSync(content)
  for (let at = 0; at < packed.length; at++) {
    const pieces = [packed.subarray(0, at), packed.subarray(at)]
    const { sent, answered } = await through(t, () => new DecompressionStream('gzip'), pieces)
    assert.deepEqual([String(sent), String(answered)], [content, content])
  }
})

test('a large body passes through a pair that gives all at its end, and is the same', async (t) => {
  const content = Buffer.alloc(1_000_000, 'abcdefghijklmnopqrstuvwxyz')
  const pieces = Array.from({ length: 20 }, (_, at) => content.subarray(at * 50_000, (at + 1) * 50_000))
  const { sent, answered } = await through(t, () => new CompressionStream('deflate'), pieces)
  const { sent: opened } = await through(t, () => new DecompressionStream('deflate'), [sent])
  assert.ok(sent.equals(answered) && sent.length < 20_000)
  assert.ok(opened.equals(content))
})

test('a pair is closed without a chunk for an empty body, and what it gives then goes on', async (t) => {
  const chunks: number[] = []
  const open = () =>
    pairOf(
      (chunk) => (chunks.push(chunk.length) > 0 ? [] : []),
      () => ['end'],
    )
  const { send, plane } = exchangeBench(t, { chain: [bothWays(open)] })
  assert.equal((await send({ method: 'POST', target: '/', body: '' })).text, 'end')
  assert.equal(plane.seen[0]?.text(), 'end')
  assert.deepEqual(chunks, [])
})

test('a message that has no body gets none from a pair, which is closed all the same', async (t) => {
  let closed = 0
  const open = () =>
    pairOf(
      () => [],
      () => [`end ${++closed}`],
    )
  for (const [method, upstream] of [
    ['HEAD', { headers: { 'content-length': '5' } }],
    ['GET', { status: 204 }],
    ['GET', { status: 304, headers: { etag: '"e"' } }],
  ] as const) {
    const { send, plane } = exchangeBench(t, { chain: [bothWays(open)], upstream })
    const { headers, text: content } = await send({ method, target: '/' })
    assert.deepEqual(
      [content, headers.get('content-length'), headers.get('transfer-encoding')],
      ['', null, null],
    )
    assert.equal(plane.seen[0]?.text(), '')
    assert.equal(plane.seen[0]?.headers.has('transfer-encoding'), false)
  }
  assert.equal(closed, 6)
})

test('an empty piece is none', async (t) => {
  const seen: string[] = []
  const { send } = exchangeBench(t, {
    chain: [
      onResponse((response) =>
        response.transformBody((chunk) => (seen.push(text(chunk)) > 0 ? chunk : null)),
      ),
      onResponse((response) => response.stream(pairOf((chunk) => ['', text(chunk), '', '']))),
    ],
    upstream: { body: ['a', 'b'] },
  })
  assert.equal((await send()).text, 'ab')
  assert.deepEqual(seen, ['a', 'b', ''])
})

test('trailers pass by streams', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [bothWays(() => wrapping('a'))],
    upstream: { body: ['x'], trailers: { 'x-r': '1' } },
  })
  const { trailers } = await send({ method: 'POST', target: '/', body: ['y'], trailers: { 'x-q': '2' } })
  assert.deepEqual(trailers, [['x-r', '1']])
  assert.equal(plane.seen[0]?.trailers.get('x-q'), '2')
})

test('stream({ decode: true }) opens the body first, and Content-Encoding goes', async (t) => {
  const seen = { headers: { 'content-encoding': 'gzip' }, body: gzipSync('content') }
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        ...onRequest((request) => request.stream(shouting(), { decode: true })),
        ...onResponse((response) => response.stream(shouting(), { decode: true })),
      },
    ],
    upstream: seen,
  })
  const { text: content, headers } = await send({ method: 'POST', target: '/', ...seen })
  assert.deepEqual([content, plane.seen[0]?.text()], ['CONTENT', 'CONTENT'])
  assert.equal(headers.has('content-encoding') || plane.seen[0]?.headers.has('content-encoding'), false)
})

test('streams run over what others have read and set, and their output is read', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      onRequest((request) => request.text()),
      onRequest((request) => request.stream(wrapping('a'))),
      onRequest(async (request) => assert.equal(await request.text(), 'a(content)a.')),
      onRequest((request) => request.stream(wrapping('b'))),
      onRequest((request) => request.path === '/set' && request.setBody('set')),
      onRequest((request) => request.stream(wrapping('c'))),
    ],
  })
  await send({ method: 'POST', target: '/', body: 'content' })
  await send({ method: 'POST', target: '/set', body: 'content' })
  assert.deepEqual(
    plane.seen.map((seen) => seen.text()),
    ['c(b(a(content)a.))c(b.)c.', 'c(set)c.'],
  )
})

test('a stream that handle() asks for on the response takes Range off the request', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        handle({ response }) {
          response.stream(shouting())
          return true
        },
      },
    ],
    upstream: { body: 'x' },
  })
  const { text: content } = await send({ target: '/', headers: { range: 'bytes=0-1', 'if-range': '"a"' } })
  assert.equal(content, 'X')
  assert.equal(plane.seen[0]?.headers.has('range') || plane.seen[0]?.headers.has('if-range'), false)
})

test('a pair is written plain bytes in memory of their own, and may give a Buffer or a part of more memory', async (t) => {
  const given: string[] = []
  class Bytes extends Uint8Array {}
  const forms = [
    (chunk: Uint8Array) => Buffer.from(chunk),
    (chunk: Uint8Array) => new Bytes(chunk),
    (chunk: Uint8Array) => new Uint8Array([0, ...chunk, 0]).subarray(1, 1 + chunk.length),
    (chunk: Uint8Array) => new Uint8Array(new SharedArrayBuffer(chunk.length)).fill(chunk[0] ?? 0),
  ]
  const open = () => {
    let at = 0
    return new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const { name } = Object.getPrototypeOf(chunk).constructor
        given.push(`${name} ${chunk.byteOffset} ${chunk.buffer.byteLength - chunk.length}`)
        controller.enqueue(forms[at++]?.(chunk) ?? chunk)
      },
    })
  }
  const { sent, answered } = await through(
    t,
    open,
    [...'abcd'].map((letter) => Buffer.from(letter)),
  )
  assert.deepEqual([String(sent), String(answered)], ['abcd', 'abcd'])
  assert.deepEqual(new Set(given), new Set(['Uint8Array 0 0']))
})

for (const [how, open] of [
  ['at once', () => new TransformStream()],
  ['through several streams', shouting],
] as const) {
  test(`small pieces pass ${how}, in both directions`, async (t) => {
    const {
      open: ask,
      clock,
      plane,
    } = exchangeBench(t, {
      chain: [bothWays(open)],
      upstream: { onHead: () => ({ body: ['1', { pauseMs: 1_000 }, '2'] }) },
    })
    const client = ask({ method: 'POST', target: '/', streamed: true })
    client.write(Buffer.from('3'))
    await clock.advance(0)
    assert.equal(client.response.received.toString(), '1')
    await clock.advance(1_000)
    assert.equal(client.response.received.toString(), '12')
    const late = exchangeBench(t, { chain: [bothWays(open)] })
    const sending = late.open({ method: 'POST', target: '/', streamed: true })
    for (const [piece, seen] of [
      ['3', '3'],
      ['4', '34'],
    ] as const) {
      sending.write(Buffer.from(piece))
      await late.clock.advance(0)
      assert.equal(late.plane.seen[0]?.text(), seen)
    }
    assert.equal(plane.seen.length, 1)
  })
}

test('what a pair gives in its own time goes on when it is there, without a further chunk', async (t) => {
  let give: ReadableStreamDefaultController<Uint8Array> | null = null
  const taken: string[] = []
  const open = (): StreamPair => ({
    readable: new ReadableStream({
      start(controller) {
        give = controller
      },
    }),
    writable: new WritableStream({
      write: (chunk) => void taken.push(text(chunk)),
      close: () => give?.close(),
    }),
  })
  const { open: ask, clock } = exchangeBench(t, {
    chain: [onResponse((response) => response.stream(open()))],
    upstream: { body: ['a', { pauseMs: 5_000 }, 'b'] },
  })
  const { response } = ask()
  const enqueue = (piece: string) => give?.enqueue(Buffer.from(piece))
  await clock.advance(10)
  for (const [piece, received] of [
    ['1', '1'],
    ['2', '12'],
  ] as const) {
    enqueue(piece)
    await clock.advance(2_000)
    assert.deepEqual([response.received.toString(), taken], [received, ['a']])
  }
  await clock.advance(2_000)
  assert.equal((await response.content).toString(), '12')
  assert.deepEqual(taken, ['a', 'b'])
})
