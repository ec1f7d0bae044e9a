import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Context, Middleware } from '@cardea/sdk'
import { get, ok } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection, type TestResponse } from './support/test-connection.ts'

/** A 426 has to say which protocols would do (RFC 9110, 15.5.22), in a field that belongs to one connection. */

const REQUIRED =
  'HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 2\r\n\r\nno'

async function gatewayWith(t: TestContext, response: string, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(answerEach(response))
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

const saidOf = (response: TestResponse) => [
  response.status,
  response.fields.filter(([name]) => name === 'connection' || name === 'upgrade'),
]

test('a 426 of the upstream says what to upgrade to, and the connection lives on', async (t) => {
  const { connection, upstream } = await gatewayWith(t, REQUIRED)
  for (let round = 0; round < 3; round++) {
    await connection.write(get())
    const answer = await connection.response()
    assert.deepEqual(saidOf(answer), [
      426,
      [
        ['upgrade', 'TLS/1.0'],
        ['connection', 'upgrade'],
      ],
    ])
    assert.equal(answer.text, 'no')
  }
  assert.equal(upstream.connections.length, 1)
})

test('a 426 on a connection that closes says so in the same line', async (t) => {
  const { connection } = await gatewayWith(t, REQUIRED)
  await connection.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.deepEqual(saidOf(await connection.response()), [
    426,
    [
      ['upgrade', 'TLS/1.0'],
      ['connection', 'close, upgrade'],
    ],
  ])
  assert.equal(await connection.ended(), 'closed')
})

test('a client of HTTP/1.0 is told of no upgrade', async (t) => {
  const { connection } = await gatewayWith(t, REQUIRED)
  await connection.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  assert.deepEqual(saidOf(await connection.response()), [426, [['connection', 'keep-alive']]])
  await connection.write('GET / HTTP/1.0\r\n\r\n')
  assert.deepEqual(saidOf(await connection.response()), [426, [['connection', 'close']]])
})

test('an Upgrade that Connection does not name, or that comes with another status, stays behind', async (t) => {
  const responses = [
    REQUIRED.replace('Connection: Upgrade\r\n', ''),
    REQUIRED.replace('426 Upgrade Required', '200 OK'),
  ]
  for (const response of responses) {
    const { connection } = await gatewayWith(t, response)
    await connection.write(get())
    assert.deepEqual(saidOf(await connection.response())[1], [])
  }
})

const answering: Middleware = {
  name: 'answering',
  handle: () => true,
  onResponse(ctx) {
    if (ctx.request.path === '/other') ctx.response.status = 400
    if (ctx.request.path === '/fail') throw new Error('failed')
  },
}

test('a 426 that a plugin makes another answer of asks for no upgrade', async (t) => {
  const onFailure = { kind: 'fallback', status: 426, headers: {}, body: '' } as const
  const { connection } = await gatewayWith(t, REQUIRED, { plugins: [{ middleware: answering, onFailure }] })
  for (const [path, status] of [
    ['/other', 400],
    ['/fail', 426],
  ] as const) {
    await connection.write(get(path))
    assert.deepEqual(saidOf(await connection.response()), [status, []], path)
  }
})

// Those of plugins and of the config.

/** What a plugin does to be asked for `wanted`, by the request's path. */
const WAYS: Readonly<Record<string, (ctx: Context) => boolean>> = {
  '/send': (ctx) => ctx.response.send('no', { status: 426, headers: { Upgrade: 'wanted' } }),
  '/set': (ctx) => {
    ctx.response.status = 426
    ctx.response.headers.append('upgrade', 'wanted')
    ctx.response.headers.append('Upgrade', 'other/2')
    assert.equal(ctx.response.headers.get('upgrade'), 'wanted, other/2')
    ctx.response.headers.set('upgrade', 'wanted')
    return ctx.response.send('no')
  },
  '/forbidden': (ctx) => {
    ctx.response.status = 426
    ctx.response.headers.set('upgrade', 'wanted')
    return ctx.response.send('no', { status: 403 })
  },
  '/passed': (ctx) => {
    ctx.response.status = 426
    ctx.response.headers.set('upgrade', 'wanted')
    return true
  },
  '/failed': (ctx) => {
    ctx.response.send('no', { status: 426, headers: { upgrade: 'wanted' } })
    throw new Error('failed')
  },
}
const asking: Middleware = {
  name: 'asking',
  handle: (ctx) => WAYS[ctx.request.path]?.(ctx) ?? true,
  onResponse(ctx) {
    if (ctx.request.path !== '/response') return
    ctx.response.status = 426
    ctx.response.headers.set('upgrade', 'wanted')
    assert.equal(ctx.response.headers.get('upgrade'), 'wanted')
  },
}
const OFFER = 'Connection: Upgrade\r\nUpgrade: echo\r\n'
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
const WANTED = [
  ['upgrade', 'wanted'],
  ['connection', 'upgrade'],
]

for (const path of ['/send', '/set', '/response']) {
  test(`a plugin that answers 426 says what to upgrade to (${path}), and what follows is HTTP`, async (t) => {
    for (const response of [ok('as it came'), SWITCHED]) {
      const { connection } = await gatewayWith(t, response, { plugins: [asking] })
      // Whatever the client offers, nothing becomes a tunnel: the bytes after it are a request.
      await connection.write(get(path, OFFER) + get(path, OFFER))
      for (let round = 0; round < 2; round++) {
        const answer = await connection.response()
        assert.deepEqual(saidOf(answer), [426, WANTED])
        assert.deepEqual(
          answer.fields
            .filter(([name]) => !['upgrade', 'connection', 'date', 'via'].includes(name))
            .map(([name]) => name),
          path === '/response' ? ['content-length'] : ['content-type', 'content-length'],
        )
      }
    }
  })
}

test('a plugin that asks a client of HTTP/1.0 for an upgrade leaves it out', async (t) => {
  for (const path of ['/send', '/response']) {
    const { connection } = await gatewayWith(t, ok(), { plugins: [asking] })
    await connection.write(`GET ${path} HTTP/1.0\r\n\r\n`)
    assert.deepEqual(saidOf(await connection.response()), [426, [['connection', 'close']]])
  }
})

test('what a plugin asks for goes with its 426, and with no other answer', async (t) => {
  for (const [path, status] of [
    ['/forbidden', 403],
    ['/passed', 200],
    ['/failed', 200],
  ] as const) {
    const { connection } = await gatewayWith(t, ok(), {
      plugins: [{ middleware: asking, onFailure: { kind: 'open' } }],
    })
    await connection.write(get(path))
    assert.deepEqual(saidOf(await connection.response()), [status, []], path)
  }
  const { connection } = await gatewayWith(t, SWITCHED, { plugins: [asking] })
  await connection.write(get('/passed', OFFER))
  assert.deepEqual(saidOf(await connection.response()), [
    101,
    [
      ['connection', 'upgrade'],
      ['upgrade', 'echo'],
    ],
  ])
})

test('a plugin that is passed over leaves the upgrade that the upstream asks for as it was', async (t) => {
  const failing: Middleware = {
    name: 'failing',
    handle: () => true,
    onResponse(ctx) {
      assert.equal(ctx.response.headers.get('upgrade'), 'TLS/1.0')
      ctx.response.headers.set('upgrade', 'wanted')
      ctx.response.status = 400
      throw new Error('failed')
    },
  }
  const { connection } = await gatewayWith(t, REQUIRED, {
    plugins: [{ middleware: failing, onFailure: { kind: 'open' } }],
  })
  await connection.write(get())
  assert.deepEqual(saidOf(await connection.response()), [
    426,
    [
      ['upgrade', 'TLS/1.0'],
      ['connection', 'upgrade'],
    ],
  ])
})

test('a plugin can change what a 426 of the upstream asks for, and of no other answer', async (t) => {
  const refused: unknown[] = []
  const changing: Middleware = {
    name: 'changing',
    handle: () => true,
    onResponse({ response }) {
      if (response.status === 426) response.headers.set('upgrade', 'wanted')
      for (const name of response.status === 426 ? ['connection', 'keep-alive'] : ['upgrade']) {
        try {
          response.headers.set(name, 'wanted')
        } catch (error) {
          refused.push(error instanceof TypeError && name)
        }
      }
    },
  }
  for (const [response, status, said] of [
    [REQUIRED, 426, WANTED],
    [ok(), 200, []],
    [
      SWITCHED,
      101,
      [
        ['connection', 'upgrade'],
        ['upgrade', 'echo'],
      ],
    ],
  ] as const) {
    const { connection } = await gatewayWith(t, response, { plugins: [changing] })
    await connection.write(get('/', OFFER))
    assert.deepEqual(saidOf(await connection.response()), [status, said])
  }
  assert.deepEqual(refused, ['connection', 'keep-alive', 'upgrade', 'upgrade'])
})

test('a 426 of the config says what to upgrade to, of a route and of on_failure', async (t) => {
  const answer = { status: 426, headers: { Upgrade: 'wanted' }, body: 'no' } as const
  const failing: Middleware = { name: 'failing', handle: () => assert.fail() }
  for (const spec of [
    { routes: [{ paths: ['/own'], action: { kind: 'respond', ...answer } }] },
    { plugins: [{ middleware: failing, onFailure: { kind: 'fallback', ...answer } }] },
  ] as const) {
    const { connection } = await gatewayWith(t, ok(), spec)
    await connection.write(get('/own', OFFER) + get('/own'))
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(saidOf(await connection.response()), [426, WANTED])
    }
    await connection.write('GET /own HTTP/1.0\r\n\r\n')
    assert.deepEqual(saidOf(await connection.response()), [426, [['connection', 'close']]])
  }
})
