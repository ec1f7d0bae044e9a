import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BodyTransform, Context } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString()

/** Wraps every chunk, and notes what came. */
function wrapping(name: string, seen: string[] = []): BodyTransform {
  return (chunk, last) => {
    seen.push(`${name}:${text(chunk)}${last ? '.' : ''}`)
    return Buffer.from(`${name}(${text(chunk)})`)
  }
}

const slowly =
  (transform: BodyTransform): BodyTransform =>
  async (chunk, last) => {
    const copy = Uint8Array.from(chunk)
    await null
    return transform(copy, last)
  }

const onRequest = (transform: BodyTransform): Hooks => ({
  handle({ request }: Context) {
    request.transformBody(transform)
    return true
  },
})

const onResponse = (transform: BodyTransform): Hooks => ({
  onResponse: ({ response }: Context) => response.transformBody(transform),
})

for (const [how, way] of [
  ['sync', (transform: BodyTransform) => transform],
  ['async', slowly],
] as const) {
  test(`${how} transforms of a request run in chain order, each chunk through all, last once`, async (t) => {
    const seen: string[] = []
    const { send, plane } = exchangeBench(t, {
      chain: [onRequest(way(wrapping('a', seen))), onRequest(way(wrapping('b', seen)))],
    })
    await send({ method: 'POST', target: '/', body: ['1', '2'] })
    assert.equal(plane.seen[0]?.text(), 'b(a(1))b(a(2))b(a())')
    assert.deepEqual(seen, ['a:1', 'b:a(1)', 'a:2', 'b:a(2)', 'a:.', 'b:a().'])
    assert.equal(plane.seen[0]?.headers.get('transfer-encoding'), 'chunked')
    assert.equal(plane.seen[0]?.headers.has('content-length'), false)
  })

  test(`${how} transforms of a response run in reverse chain order`, async (t) => {
    const { send } = exchangeBench(t, {
      chain: [onResponse(way(wrapping('a'))), onResponse(way(wrapping('b')))],
      upstream: { body: 'x', headers: { etag: '"e"', 'content-digest': 'd', 'accept-ranges': 'bytes' } },
    })
    const { headers, text: content } = await send()
    assert.equal(content, 'a(b(x))a(b())')
    assert.equal(headers.get('transfer-encoding'), 'chunked')
    assert.deepEqual(
      ['content-length', 'content-digest', 'accept-ranges'].filter((name) => headers.has(name)),
      [],
    )
    assert.equal(headers.get('etag'), 'W/"e"')
  })

  test(`${how} transforms keep the order of chunks under a slow one`, async (t) => {
    const chunks = Array.from({ length: 50 }, (_, index) => `${index} `)
    const { send } = exchangeBench(t, {
      chain: [onResponse(way((chunk) => chunk))],
      upstream: { body: chunks },
    })
    assert.equal((await send()).text, chunks.join(''))
  })
}

test('a transform that handle() asks for on the response is applied at its turn', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle({ response }) {
          response.transformBody(wrapping('a'))
          return true
        },
      },
      onResponse(wrapping('b')),
    ],
    upstream: { body: 'x' },
  })
  assert.equal((await send()).text, 'a(b(x))a(b())')
})

test('it asks the upstream for the whole, not for a part', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        handle({ response }) {
          response.transformBody(wrapping('a'))
          return true
        },
      },
    ],
    upstream: { body: 'x' },
  })
  await send({ target: '/', headers: { range: 'bytes=0-1', 'if-range': '"a"', 'x-kept': 'yes' } })
  assert.deepEqual(
    ['range', 'if-range', 'x-kept'].map((name) => plane.seen[0]?.headers.get(name)),
    [null, null, 'yes'],
  )
})

test('a transform of a hook that failed or answered is not applied', async (t) => {
  const recording = (after: (ctx: Context) => boolean): Hooks => ({
    handle(ctx) {
      ctx.response.transformBody(wrapping('a'))
      return after(ctx)
    },
    plan: { onFailure: { kind: 'open' } },
  })
  const failed = exchangeBench(t, {
    chain: [
      recording(() => {
        throw new Error('no')
      }),
    ],
    upstream: { body: 'x' },
  })
  assert.equal((await failed.send()).text, 'x')
  const answered = exchangeBench(t, { chain: [recording((ctx) => ctx.response.send('mine'))] })
  assert.equal((await answered.send()).text, 'mine')
})

test('null drops a chunk; the last call may still add one', async (t) => {
  const pieces: string[] = []
  const { send } = exchangeBench(t, {
    chain: [
      onResponse((chunk, last) => {
        pieces.push(text(chunk))
        return last ? Buffer.from(pieces.join('')) : null
      }),
    ],
    upstream: { body: ['a', 'b', 'c'] },
  })
  assert.equal((await send()).text, 'abc')
})

test('a body that is dropped as a whole is empty', async (t) => {
  for (const drop of [() => null, async () => null, () => new Uint8Array()]) {
    const { send, plane } = exchangeBench(t, {
      chain: [{ ...onResponse(drop), ...onRequest(drop) }],
      upstream: { body: 'x' },
    })
    assert.equal((await send({ method: 'POST', target: '/', body: 'content' })).text, '')
    assert.equal(plane.seen[0]?.text(), '')
  }
})

test('transforms run over what others have read and set', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        async handle({ request }) {
          await request.text()
          return true
        },
      },
      onRequest(wrapping('a')),
      {
        async handle({ request }) {
          assert.equal(await request.text(), 'a(content)')
          return true
        },
      },
      onRequest(wrapping('b')),
      {
        handle({ request }) {
          if (request.path === '/set') request.setBody('set')
          return true
        },
      },
      onRequest(wrapping('c')),
    ],
  })
  await send({ method: 'POST', target: '/', body: 'content' })
  await send({ method: 'POST', target: '/set', body: 'content' })
  assert.deepEqual(
    plane.seen.map((seen) => seen.text()),
    ['c(b(a(content)))', 'c(set)'],
  )
})

test('a read after a transform knows the length', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        async onResponse({ response }) {
          assert.equal(await response.text(), 'a(x)a()')
        },
      },
      onResponse(wrapping('a')),
    ],
    upstream: { body: ['x'], headers: { etag: '"e"' } },
  })
  const { headers } = await send()
  assert.deepEqual([headers.get('content-length'), headers.get('etag')], ['7', 'W/"e"'])
})

test('a request without a body gets none from a transform', async (t) => {
  const seen: string[] = []
  const { send, plane } = exchangeBench(t, { chain: [onRequest(wrapping('a', seen))] })
  await send()
  assert.deepEqual(seen, ['a:.'])
  const [request] = plane.seen
  assert.equal(request?.text(), '')
  assert.equal(request?.headers.has('transfer-encoding') || request?.headers.has('content-length'), false)
  await send({ method: 'POST', target: '/', body: '' })
  assert.equal(plane.seen[1]?.text(), 'a()')
})

test('HEAD, 204 and 304 get no content from a transform, and HEAD no length that is not known', async (t) => {
  for (const [method, upstream] of [
    ['HEAD', { headers: { 'content-length': '5' } }],
    ['GET', { status: 204 }],
    ['GET', { status: 304, headers: { etag: '"e"' } }],
  ] as const) {
    const seen: string[] = []
    const { send } = exchangeBench(t, { chain: [onResponse(wrapping('a', seen))], upstream })
    const { headers, text: content } = await send({ method, target: '/' })
    assert.deepEqual(
      [content, headers.get('content-length'), headers.get('transfer-encoding')],
      ['', null, null],
    )
    assert.deepEqual(seen, ['a:.'])
  }
})

test('trailers pass by transforms', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [{ ...onRequest(wrapping('a')), ...onResponse(wrapping('b')) }],
    upstream: { body: ['x'], trailers: { 'x-r': '1' } },
  })
  const { trailers } = await send({ method: 'POST', target: '/', body: ['y'], trailers: { 'x-q': '2' } })
  assert.deepEqual(trailers, [['x-r', '1']])
  assert.equal(plane.seen[0]?.trailers.get('x-q'), '2')
})

const faults: readonly (readonly [string, BodyTransform, string])[] = [
  [
    'throws',
    () => {
      throw new Error('oops')
    },
    'HOOK_THREW',
  ],
  ['rejects', () => Promise.reject(new Error('oops')), 'HOOK_THREW'],
  ['returns a string', () => 'text' as unknown as Uint8Array, 'HOOK_RETURN_INVALID'],
  ['returns undefined', () => undefined as unknown as null, 'HOOK_RETURN_INVALID'],
  ['returns a promise of undefined', async () => undefined as unknown as null, 'HOOK_RETURN_INVALID'],
]

for (const [what, transform, code] of faults) {
  test(`a request transform that ${what} fails the exchange by on_failure, and open cannot pass it over`, async (t) => {
    const errors: unknown[] = []
    const observing: Hooks = { onError: (_, error) => void errors.push([error.code, error.plugin]) }
    for (const [onFailure, status] of [
      [{ kind: 'closed' }, 503],
      [{ kind: 'open' }, 503],
      [{ kind: 'fallback', status: 299, headers: {}, body: '' }, 299],
    ] as const) {
      const { send, logs } = exchangeBench(t, {
        chain: [observing, { ...onRequest(transform), plan: { onFailure } }],
      })
      const response = await send({ method: 'POST', target: '/', body: 'content' })
      assert.equal(response.status, status)
      assert.deepEqual(
        [logs.length, logs[0]?.message, logs[0]?.fields.code],
        [1, 'transformBody failed', code],
      )
    }
    assert.deepEqual(errors, Array(3).fill([code, 'b']))
  })
}

test('a response transform that fails resets the response, whose head has left', async (t) => {
  for (const [, transform] of faults) {
    const { open, clock, logs } = exchangeBench(t, {
      chain: [onResponse((chunk, last) => (last ? transform(chunk, last) : chunk))],
      upstream: { body: ['some', { pauseMs: 1 }, 'more'] },
    })
    const { response, finished } = open()
    assert.equal((await response.head).status, 200)
    await clock.advance(1)
    await assert.rejects(response.content, /The gateway reset the connection/)
    await finished
    assert.equal(logs[0]?.message, 'transformBody failed')
  }
})

test('a read through a transform that fails is a failed hook', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        async onResponse({ response }) {
          await response.text()
        },
      },
      onResponse(() => {
        throw new Error('oops')
      }),
    ],
    upstream: { body: 'x' },
  })
  assert.equal((await send()).status, 503)
})

test('a transform that does not settle in timeout_ms fails', async (t) => {
  const { open, clock, logs } = exchangeBench(t, {
    chain: [{ ...onRequest(() => new Promise(() => {})), plan: { timeoutMs: 300 } }],
  })
  const { response } = open({ method: 'POST', target: '/', body: 'content' })
  await clock.advance(299)
  assert.equal(logs.length, 0)
  await clock.advance(100)
  assert.equal((await response.head).status, 503)
  assert.equal(logs[0]?.fields.code, 'HOOK_TIMEOUT')
})

for (const [how, settle] of [
  ['rejects', ({ reject }) => reject(new Error('too late'))],
  ['resolves with what is no chunk', ({ resolve }) => resolve('no bytes' as never)],
] satisfies [string, (late: PromiseWithResolvers<Uint8Array>) => void][]) {
  test(`a transform that ${how} after its timeout has failed once`, async (t) => {
    const late = Promise.withResolvers<Uint8Array>()
    const { open, clock, logs, plane } = exchangeBench(t, {
      chain: [{ ...onRequest(() => late.promise), plan: { timeoutMs: 300 } }],
    })
    const { response } = open({ method: 'POST', target: '/', body: 'x' })
    await clock.advance(400)
    assert.equal((await response.head).status, 503)
    settle(late)
    await clock.advance(1_100)
    assert.deepEqual(
      logs.map(({ fields }) => fields.code),
      ['HOOK_TIMEOUT'],
    )
    assert.deepEqual(
      plane.faults.map((fault) => fault.kind === 'failures' && fault.count),
      [1],
    )
  })
}

test('small pieces pass at once, in both directions', async (t) => {
  for (const way of [(transform: BodyTransform) => transform, slowly]) {
    const { open, clock, plane } = exchangeBench(t, {
      chain: [{ ...onRequest(way((chunk) => chunk)), ...onResponse(way((chunk) => chunk)) }],
      upstream: { onHead: () => ({ body: ['event 1', { pauseMs: 1_000 }, 'event 2'] }) },
    })
    const client = open({ method: 'POST', target: '/', streamed: true })
    await clock.advance(0)
    client.write(Buffer.from('piece'))
    await clock.advance(0)
    assert.equal(client.response.received.toString(), 'event 1')
    await clock.advance(1_000)
    assert.equal(client.response.received.toString(), 'event 1event 2')
    assert.ok(plane.seen.length === 1)
  }
  const { open, clock, plane } = exchangeBench(t, { chain: [onRequest(slowly((chunk) => chunk))] })
  const client = open({ method: 'POST', target: '/', streamed: true })
  client.write(Buffer.from('piece'))
  await clock.advance(0)
  assert.equal(plane.seen[0]?.text(), 'piece')
})

test('a transform gets memory in which nothing else lies', async (t) => {
  const sizes: [number, number][] = []
  const note = (chunk: Uint8Array) => {
    sizes.push([chunk.buffer.byteLength, chunk.byteLength])
    return chunk
  }
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        handle({ request, response }) {
          request.transformBody(note)
          response.transformBody(note)
          return true
        },
      },
    ],
    upstream: { body: ['he', 'llo'] },
  })
  assert.equal((await send({ method: 'POST', target: '/', body: ['con', 'tent'] })).text, 'hello')
  assert.equal(plane.seen[0]?.text(), 'content')
  assert.ok(sizes.length >= 4)
  for (const [memory, chunk] of sizes) assert.equal(memory, chunk)
})
