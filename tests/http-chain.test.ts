import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { BodyTransform, Context, Middleware } from '@cardea/sdk'
import { get, ok, post, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Where hooks meet sockets: what a plugin does must never bring the bytes of a connection out of step. */

const MIB = 1024 * 1024

async function gatewayWith(
  t: TestContext,
  script: UpstreamScript,
  plugins: readonly Middleware[],
  spec: DataPlaneSpec = {},
) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, plugins, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

const handling = (handle: Middleware['handle']): Middleware => ({ name: 'handling', handle })

for (const [how, read] of [
  ['waits for it', (body: Promise<unknown>) => body.then(() => true)],
  ['does not care', (body: Promise<unknown>) => body.catch(() => {}) instanceof Promise],
] as const) {
  test(`content found broken while a hook that ${how} asks for it is answered once, by no later hook`, async (t) => {
    const ran: string[] = []
    const slow: Middleware = {
      name: 'slow',
      handle: async () => true,
      async onResponse(ctx) {
        await null
        ctx.response.headers.set('x-slow', 'yes')
      },
    }
    const later = handling(() => ran.push('later') > 0)
    const { connection, upstream } = await gatewayWith(t, server, [
      slow,
      handling((ctx) => read(ctx.request.bytes())),
      later,
    ])
    await connection.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n')
    const answer = await connection.response()
    assert.deepEqual([answer.status, answer.field('x-slow'), ran], [400, 'yes', []])
    assert.equal(upstream.requests.length, 0)
  })
}

/** Answers as a server does: HEAD without the content. */
const server = answerEach((request) => (request.startsWith('HEAD') ? ok('hello').slice(0, -5) : ok('hello')))

for (const [from, to] of [
  ['HEAD', 'GET'],
  ['GET', 'HEAD'],
] as const) {
  test(`a ${from} that a plugin turns into ${to} is answered as the ${from} that it was`, async (t) => {
    const change = handling((ctx) => {
      if (ctx.request.path === '/change') ctx.request.method = to
      return true
    })
    const { connection, upstream } = await gatewayWith(t, server, [change])
    await connection.request(from, '/change')
    const answer = await connection.response({ method: from })
    assert.deepEqual([answer.status, answer.text], [200, ''])
    await connection.write(get('/next'))
    assert.equal((await connection.response()).text, 'hello')
    assert.match(upstream.requests[0] ?? '', new RegExp(`^${to} /change `))
  })
}

for (const status of [204, 304]) {
  test(`a ${status} that a plugin turns into 200 has no content, and says so`, async (t) => {
    const { connection } = await gatewayWith(
      t,
      answerEach((_request, index) =>
        index === 0
          ? `HTTP/1.1 ${status} X\r\n${status === 304 ? 'Content-Length: 500\r\n' : ''}\r\n`
          : ok('next'),
      ),
      [
        {
          name: 'change',
          handle: () => true,
          onResponse(ctx) {
            ctx.response.status = 200
          },
        },
      ],
    )
    await connection.write(get() + get())
    const answer = await connection.response()
    assert.deepEqual([answer.status, answer.text], [200, ''])
    assert.equal((await connection.response()).text, 'next')
  })
}

test('a 304 whose empty content a plugin reads before it makes a 200 of it announces none', async (t) => {
  const { connection } = await gatewayWith(
    t,
    answerEach((_request, index) =>
      index === 0 ? 'HTTP/1.1 304 X\r\nContent-Length: 500\r\n\r\n' : ok('next'),
    ),
    [
      {
        name: 'read',
        handle: () => true,
        async onResponse(ctx) {
          await ctx.response.bytes()
          ctx.response.status = 200
        },
      },
    ],
  )
  await connection.write(get() + get())
  const answer = await connection.response()
  assert.deepEqual([answer.status, answer.text], [200, ''])
  assert.equal((await connection.response()).text, 'next')
})

test('a 200 that a plugin turns into 304 or 204 loses its content', async (t) => {
  const { connection } = await gatewayWith(t, server, [
    {
      name: 'change',
      handle: () => true,
      onResponse(ctx) {
        if (ctx.request.path !== '/3') ctx.response.status = ctx.request.path === '/1' ? 304 : 204
      },
    },
  ])
  await connection.write(get('/1') + get('/2') + get('/3'))
  assert.equal((await connection.response()).status, 304)
  assert.equal((await connection.response()).status, 204)
  assert.equal((await connection.response()).text, 'hello')
})

test('content never overtakes its head, also when an earlier response drains meanwhile', async (t) => {
  let release: (() => void) | null = null
  const big = 'x'.repeat(16 * MIB)
  const { connection } = await gatewayWith(
    t,
    answerEach((request) => ok(request.startsWith('GET /big') ? big : 'small')),
    [
      {
        name: 'slow',
        handle: () => true,
        onResponse: (ctx) =>
          ctx.request.path === '/big'
            ? undefined
            : new Promise((resolve) => {
                release = resolve
              }),
      },
    ],
  )
  connection.socket.pause()
  await connection.write(get('/big') + get('/small'))
  // Read until all of the first response has been written by the gateway, and not by much more.
  const first = await connection.response()
  assert.equal(first.body.length, big.length)
  await waitFor(() => release !== null, 'the hook of the second')
  assert.equal(connection.reader.available, 0)
  ;(release as unknown as () => void)()
  assert.equal((await connection.response()).text, 'small')
})

test('a body that grows too large while a hook answers is one 413, seen once', async (t) => {
  let responses = 0
  const { connection } = await gatewayWith(
    t,
    () => {},
    [
      {
        name: 'slow',
        handle: () => true,
        async onResponse() {
          responses++
          await delay(100)
        },
      },
    ],
    {
      limits: { requestBodyBytesMax: 10 },
    },
  )
  await connection.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const chunks = setInterval(() => void connection.write('a\r\n0123456789\r\n'), 10)
  t.after(() => clearInterval(chunks))
  const answer = await connection.response()
  assert.equal(problemOf(answer).code, 'REQUEST_BODY_TOO_LARGE')
  assert.equal(await connection.ended(), 'closed')
  assert.equal(responses, 1)
})

for (const [what, own] of Object.entries({
  'a body that breaks its framing': 'REQUEST_MALFORMED',
  'a body that stops': 'REQUEST_BODY_TIMEOUT',
})) {
  test(`${what} while a hook reads it is answered with its own code, once`, async (t) => {
    const seen: string[] = []
    const { connection } = await gatewayWith(
      t,
      () => {},
      [
        {
          name: 'reading',
          async handle(ctx) {
            await ctx.request.bytes()
            return true
          },
          onError: (_ctx, error) => void seen.push(error.code),
        },
      ],
      { timeouts: { bodyMs: 300 } },
    )
    const bad = own === 'REQUEST_MALFORMED' ? '1\r\nabc\r\n' : '5\r\nab'
    await connection.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bad}`)
    assert.equal(problemOf(await connection.response()).code, own)
    assert.equal(await connection.ended(), 'closed')
  })
}

// Streams that go on for long must not wait for more.

const by =
  (give: BodyTransform) =>
  ({ request, response }: Context): void => {
    request.transformBody(give)
    response.transformBody(give)
  }

for (const [how, pass] of Object.entries({
  'a transform gives at once': by((chunk) => chunk),
  'a transform gives in its own time': by(async (chunk) => {
    await delay(1)
    return chunk
  }),
  'a stream gives': ({ request, response }: Context) => {
    request.stream(new TransformStream())
    response.stream(new TransformStream())
  },
})) {
  test(`a small piece that ${how} leaves without waiting for the next, both ways`, async (t) => {
    const transforming = handling((ctx) => {
      pass(ctx)
      return true
    })
    const { connection, upstream } = await gatewayWith(t, () => {}, [transforming])
    await connection.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n')
    const peer = await waitFor(() => upstream.connections[0], 'the connection')
    await waitFor(() => peer.received.endsWith('3\r\none\r\n'), 'the first piece')
    await connection.write('3\r\ntwo\r\n')
    await waitFor(() => peer.received.endsWith('3\r\ntwo\r\n'), 'the second piece')
    await connection.write('0\r\n\r\n')
    await waitFor(() => upstream.requests.length === 1, 'the end')
    peer.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n')
    await connection.reader.takeThrough('3\r\none\r\n')
    peer.write('3\r\ntwo\r\n')
    await connection.reader.takeThrough('3\r\ntwo\r\n')
    peer.write('0\r\n\r\n')
    await connection.reader.takeThrough('0\r\n\r\n')
  })
}

test('a PUT whose content a plugin has gathered is tried again as a whole', async (t) => {
  const gathering = handling(async (ctx) => (await ctx.request.bytes()).length >= 0)
  const { connection, upstream } = await gatewayWith(
    t,
    (peer) => {
      const request = peer.take(peer.pending.length)
      if (request === '') return
      if (peer.received.length === request.length) peer.write(ok(`${peer.index}`))
      else peer.reset()
    },
    [gathering],
  )
  await connection.write(get('/1'))
  assert.equal((await connection.response()).text, '0')
  await connection.write(post('content').replace('POST', 'PUT'))
  assert.equal((await connection.response()).text, '1')
  assert.match(upstream.connections[1]?.received ?? '', /content-length: 7\r\n\r\ncontent$/)
})

for (const [what, request, status] of [
  ['without a body', get('/2'), 200],
  // What the transform makes of it, it makes once.
  ['with an empty body', post('', '/2').replace('POST', 'PUT'), 502],
] as const) {
  test(`a request ${what} whose body a plugin transforms is ${status} after a second try, or without one`, async (t) => {
    let calls = 0
    const transforming = handling((ctx) => {
      ctx.request.transformBody((chunk) => {
        calls++
        return chunk
      })
      return true
    })
    const { connection } = await gatewayWith(
      t,
      (peer) => {
        const request = peer.take(peer.pending.length)
        if (request === '') return
        if (peer.received.length === request.length) peer.write(ok(`${peer.index}`))
        else peer.reset()
      },
      [transforming],
    )
    await connection.write(get('/1'))
    assert.equal((await connection.response()).text, '0')
    await connection.write(request)
    assert.equal((await connection.response()).status, status)
    assert.equal(calls, 2)
  })
}

test('a plugin that refuses before the body has come does not read it', async (t) => {
  const { connection, upstream } = await gatewayWith(t, server, [
    handling((ctx) => ctx.response.send('who?', { status: 401 })),
  ])
  await connection.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n')
  const answer = await connection.response()
  assert.deepEqual([answer.status, answer.field('connection')], [401, 'close'])
  assert.equal(upstream.connections.length, 0)
})

test('a hook that throws is 503 for its exchange alone', async (t) => {
  const { connection, logged } = await gatewayWith(t, server, [
    handling((ctx) => {
      if (ctx.request.path === '/bad') throw new Error('I am broken')
      return true
    }),
  ])
  await connection.write(get('/bad') + get('/good'))
  assert.equal(problemOf(await connection.response()).code, 'HOOK_THREW')
  assert.equal((await connection.response()).text, 'hello')
  assert.match(String(logged[0]?.fields.stack), /I am broken/)
})
