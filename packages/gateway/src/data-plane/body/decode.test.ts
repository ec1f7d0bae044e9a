import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import type { Context } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

const CONTENT = 'hello, hello, hello! '.repeat(500)

const CODINGS: readonly (readonly [string, (content: Buffer | string) => Buffer])[] = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
  ['GZIP', gzipSync],
  ['identity', (content) => Buffer.from(content)],
]

/** Chunks of a size that no coding's frame fits in. */
function pieces(bytes: Buffer, size = 37): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

const onRequest = (use: (request: Context['request']) => unknown): Hooks => ({
  async handle({ request }) {
    await use(request)
    return true
  },
})

for (const [coding, compress] of CODINGS) {
  const encoded = compress(CONTENT)

  test(`text({ decode: true }) opens ${coding}, and what goes on stays encoded`, async (t) => {
    const read: unknown[] = []
    const { send, plane } = exchangeBench(t, {
      chain: [
        onRequest(async (request) => {
          read.push(await request.text({ decode: true }), await request.text({ decode: true }))
          read.push(Buffer.from(await request.bytes()).equals(encoded))
        }),
      ],
    })
    for (const body of [encoded, pieces(encoded)]) {
      await send({ method: 'POST', target: '/', headers: { 'content-encoding': coding }, body })
    }
    assert.deepEqual(read, [CONTENT, CONTENT, true, CONTENT, CONTENT, true])
    assert.deepEqual(Buffer.from(plane.seen[1]?.body ?? []), encoded)
    assert.equal(plane.seen[0]?.headers.get('content-encoding'), coding)
  })

  test(`transformBody({ decode: true }) opens ${coding} in both directions, and Content-Encoding goes`, async (t) => {
    const upper = (chunk: Uint8Array) => Buffer.from(Buffer.from(chunk).toString().toUpperCase())
    const { send, plane } = exchangeBench(t, {
      chain: [
        {
          ...onRequest((request) => request.transformBody(upper, { decode: true })),
          onResponse: ({ response }) => response.transformBody(upper, { decode: true }),
        },
      ],
      upstream: { headers: { 'content-encoding': coding }, body: pieces(encoded) },
    })
    const { text, headers } = await send({
      method: 'POST',
      target: '/',
      headers: { 'content-encoding': coding },
      body: pieces(encoded),
    })
    assert.equal(text, CONTENT.toUpperCase())
    assert.equal(plane.seen[0]?.text(), CONTENT.toUpperCase())
    const left = coding === 'identity' ? coding : null
    assert.equal(headers.get('content-encoding'), left)
    assert.equal(plane.seen[0]?.headers.get('content-encoding'), left)
  })
}

test('several codings are undone, the last first', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [onRequest(async (request) => assert.equal(await request.text({ decode: true }), CONTENT))],
  })
  const body = brotliCompressSync(gzipSync(CONTENT))
  const headers = [
    ['content-encoding', 'gzip'],
    ['content-encoding', ' br '],
  ] as [string, string][]
  assert.equal((await send({ method: 'POST', target: '/', headers, body })).status, 200)
})

test('only the first transform that asks for it decodes; later ones get what it leaves', async (t) => {
  const seen: string[] = []
  const noting = (chunk: Uint8Array) => {
    seen.push(Buffer.from(chunk).toString())
    return chunk
  }
  const { send, plane } = exchangeBench(t, {
    chain: [
      onRequest((request) => request.transformBody(noting, { decode: true })),
      onRequest((request) => request.transformBody(noting, { decode: true })),
      onRequest(async (request) => seen.push(await request.text({ decode: true }))),
    ],
  })
  await send({ method: 'POST', target: '/', headers: { 'content-encoding': 'gzip' }, body: gzipSync('x') })
  assert.ok(seen.every((text) => text === 'x' || text === ''))
  assert.equal(seen.at(-1), 'x')
  assert.equal(plane.seen[0]?.text(), 'x')
})

test('a decoded read after a transform sees what the transform made', async (t) => {
  const read: string[] = []
  const { send } = exchangeBench(t, {
    chain: [
      onRequest(async (request) => read.push(await request.text({ decode: true }))),
      onRequest((request) => request.transformBody((_, last) => (last ? gzipSync('other') : null))),
      onRequest(async (request) => read.push(await request.text({ decode: true }))),
    ],
  })
  await send({ method: 'POST', target: '/', headers: { 'content-encoding': 'gzip' }, body: gzipSync('one') })
  assert.deepEqual(read, ['one', 'other'])
})

const broken: readonly (readonly [string, string, Buffer])[] = [
  ['is not gzip', 'gzip', Buffer.from('plain text')],
  ['is cut off', 'gzip', gzipSync(CONTENT).subarray(0, 30)],
  ['is cut off within brotli', 'br', brotliCompressSync(CONTENT).subarray(0, 10)],
  ['is cut off within zstd', 'zstd', zstdCompressSync(CONTENT).subarray(0, 20)],
  ['has an unknown coding', 'compress', Buffer.from('x')],
  ['has four codings', 'gzip, gzip, gzip, gzip', Buffer.from('x')],
  ['names a member of Object', 'constructor', Buffer.from('x')],
]

for (const [what, coding, body] of broken) {
  test(`a body that ${what} rejects with BODY_UNREADABLE`, async (t) => {
    const codes: string[] = []
    const { send } = exchangeBench(t, {
      chain: [
        {
          handle: ({ request, response }) =>
            request.text({ decode: true }).then(
              () => true,
              (error: { code: string }) => {
                codes.push(error.code)
                return response.send('', { status: 415 })
              },
            ),
        },
      ],
    })
    const request = { method: 'POST', target: '/', headers: { 'content-encoding': coding }, body }
    assert.equal((await send(request)).status, 415)
    const transforming = exchangeBench(t, {
      chain: [onRequest((wanted) => wanted.transformBody((chunk) => chunk, { decode: true }))],
    })
    const { status, text } = await transforming.send(request)
    assert.deepEqual([status, JSON.parse(text).code], [503, 'BODY_UNREADABLE'])
    assert.deepEqual(codes, ['BODY_UNREADABLE'])
  })
}

test('an empty body decodes to an empty body', async (t) => {
  const read: string[] = []
  const { send } = exchangeBench(t, {
    chain: [
      onRequest(async (request) => read.push(await request.text({ decode: true }))),
      onRequest((request) => request.transformBody((chunk) => chunk, { decode: true })),
    ],
  })
  for (const [coding] of CODINGS) {
    await send({ method: 'POST', target: '/', headers: { 'content-encoding': coding }, body: '' })
  }
  assert.deepEqual(read, Array(CODINGS.length).fill(''))
})

const BOMB = Buffer.alloc(32 * 1024 * 1024)

for (const [coding, compress] of CODINGS.slice(0, 5)) {
  const bomb = compress(BOMB)

  test(`a ${coding} bomb of ${bomb.length} bytes is not opened`, async (t) => {
    const limits = { bodyBytesMax: 1024 * 1024 }
    const read = exchangeBench(t, { chain: [onRequest((request) => request.text({ decode: true }))], limits })
    const request = { method: 'POST', target: '/', headers: { 'content-encoding': coding }, body: bomb }
    assert.equal((await read.send(request)).status, 413)
    assert.equal(read.plane.seen.length, 0)
    let bytes = 0
    const counting = (chunk: Uint8Array) => {
      bytes += chunk.length
      return chunk
    }
    const streamed = exchangeBench(t, {
      chain: [onRequest((wanted) => wanted.transformBody(counting, { decode: true }))],
      limits,
    })
    await streamed.send(request)
    assert.ok(bytes <= limits.bodyBytesMax)
  })
}

test('a stream that decodes to more than may be gathered passes a transform', async (t) => {
  const limits = { bodyBytesMax: 256 * 1024 }
  const content = Buffer.alloc(1024 * 1024, 'abcdefghijklmnopqrstuvwxyz')
  let bytes = 0
  const { send } = exchangeBench(t, {
    chain: [
      {
        onResponse: ({ response }) =>
          response.transformBody(
            (chunk) => {
              bytes += chunk.length
              return chunk
            },
            { decode: true },
          ),
      },
    ],
    upstream: { headers: { 'content-encoding': 'gzip' }, body: pieces(gzipSync(content), 256) },
    limits,
  })
  const { text } = await send()
  assert.equal(text.length, content.length)
  assert.equal(bytes, content.length)
})

/** An earlier plugin of the chain, whose `onResponse` is the later one. */
const packing: Hooks = {
  onResponse({ response }) {
    assert.equal(response.headers.has('content-encoding'), false)
    response.headers.set('content-encoding', 'gzip')
    response.stream(new CompressionStream('gzip'))
  },
}

const codingsOf = (fields: readonly (readonly [string, string])[]): string[] =>
  fields.flatMap(([name, value]) => (name === 'content-encoding' ? [value] : []))

const rewriters: Readonly<Record<string, Hooks>> = {
  'setBody() after a decoded read': {
    async onResponse({ response }) {
      response.setBody((await response.text({ decode: true })).toUpperCase())
    },
  },
  'transformBody({ decode: true })': {
    onResponse({ response }) {
      response.transformBody((chunk) => Buffer.from(Buffer.from(chunk).toString().toUpperCase()), {
        decode: true,
      })
    },
  },
}

for (const [what, rewriter] of Object.entries(rewriters)) {
  for (const [coding, compress] of CODINGS) {
    test(`what a plugin encodes behind another one's ${what} of ${coding} says so`, async (t) => {
      const { open } = exchangeBench(t, {
        chain: [packing, rewriter],
        upstream: {
          headers: coding === 'identity' ? {} : { 'content-encoding': coding },
          body: compress(CONTENT),
        },
      })
      const { response } = open()
      assert.deepEqual(codingsOf((await response.head).fields), ['gzip'])
      assert.equal(gunzipSync(await response.content).toString(), CONTENT.toUpperCase())
    })
  }
}

test('a plugin that reads decoded, and says how it encoded what it makes of that, is believed', async (t) => {
  const { open } = exchangeBench(t, {
    chain: [
      {
        async onResponse({ response }) {
          const text = await response.text({ decode: true })
          response.headers.set('content-encoding', 'br')
          response.setBody(brotliCompressSync(text.toUpperCase()))
        },
      },
    ],
    upstream: { headers: { 'content-encoding': 'gzip' }, body: gzipSync(CONTENT) },
  })
  const { response } = open()
  assert.deepEqual(codingsOf((await response.head).fields), ['br'])
  assert.equal(brotliDecompressSync(await response.content).toString(), CONTENT.toUpperCase())
})

test('a plugin that only looks at the decoded body makes no other one answer for the encoding', async (t) => {
  const { open } = exchangeBench(t, {
    chain: [
      {
        // It opens and packs the content itself, and leaves the field as it is.
        async onResponse({ response }) {
          const text = gunzipSync(await response.bytes()).toString()
          response.setBody(gzipSync(text.toUpperCase()))
        },
      },
      {
        async onResponse({ response }) {
          assert.equal(await response.text({ decode: true }), CONTENT)
        },
      },
    ],
    upstream: { headers: { 'content-encoding': 'gzip' }, body: gzipSync(CONTENT) },
  })
  const { response } = open()
  assert.deepEqual(codingsOf((await response.head).fields), ['gzip'])
  assert.equal(gunzipSync(await response.content).toString(), CONTENT.toUpperCase())
})
