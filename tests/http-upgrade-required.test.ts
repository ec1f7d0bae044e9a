import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { get } from './support/answers.ts'
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
