import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, respond, startDataPlane } from './support/data-plane.ts'
import { RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Expect: 100-continue (RFC 9110, 10.1.1): the client waits with its content until somebody wants it. */

const HEAD = 'POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n'

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

/** Says 100 to a head that expects it, and answers when the content is there. */
const welcoming: UpstreamScript = (peer) => {
  if (peer.pending.endsWith('expect: 100-continue\r\n\r\n')) {
    peer.take(peer.pending.length)
    peer.write('HTTP/1.1 100 Continue\r\n\r\n')
  } else if (peer.pending === 'content') peer.write(ok(peer.take(7)))
}

const answering: UpstreamScript = (peer) => {
  if (peer.pending.endsWith('content')) {
    peer.take(peer.pending.length)
    peer.write(ok('content'))
  }
}

const reading = (decide: (text: string) => boolean): Middleware => ({
  name: 'reading',
  async handle(ctx) {
    return decide(await ctx.request.text()) || ctx.response.send('no', { status: 403 })
  },
})

test('any other expectation is 417', async (t) => {
  const { connection, upstream } = await gatewayWith(t, welcoming)
  await connection.request('POST', '/', ['Expect: 200-ok', 'Content-Length: 0'])
  assert.equal(problemOf(await connection.response()).code, 'REQUEST_EXPECTATION_UNKNOWN')
  assert.equal(await connection.ended(), 'closed')
  assert.equal(upstream.connections.length, 0)
})

test('an answer without any 100 leaves the content unsent, and closes', async (t) => {
  const { port } = await gatewayWith(
    t,
    (peer) => peer.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
    {
      routes: [{ paths: ['/own'], action: respond(200, 'own') }],
    },
  )
  for (const [target, status] of [
    ['/upload', 401],
    ['/own', 200],
  ] as const) {
    const connection = await TestConnection.open(t, port)
    await connection.write(HEAD.replace('/upload', target))
    const answer = await connection.response({ interim: true })
    // Whether the client sends its content now is its own affair: nobody can tell what comes next.
    assert.deepEqual([answer.status, answer.field('connection')], [status, 'close'])
    assert.equal(await connection.ended(), 'closed')
  }
})

test('the 100 is the upstream’s: the expectation is forwarded, and so is the answer to it', async (t) => {
  const { connection, upstream } = await gatewayWith(t, welcoming)
  for (let round = 1; round <= 2; round++) {
    await connection.write(HEAD)
    assert.equal((await connection.response({ interim: true })).status, 100)
    assert.equal(upstream.requests.length, round - 1)
    await connection.write('content')
    assert.equal((await connection.response({ interim: true })).text, 'content')
  }
  assert.equal(upstream.connections.length, 1)
})

test('without a plugin that reads, the gateway itself says nothing', async (t) => {
  const { connection, upstream } = await gatewayWith(t, answering)
  await connection.write(HEAD)
  await waitFor(() => upstream.connections[0]?.received.endsWith('\r\n\r\n'), 'the head')
  // A client that has waited long enough sends it anyway.
  await connection.write('content')
  const answer = await connection.response({ interim: true })
  assert.deepEqual([answer.status, answer.text], [200, 'content'])
})

test('a client that is never told to go on is not the one that is late', async (t) => {
  const cases: [script: UpstreamScript, sent: string, code: string][] = [
    [() => {}, HEAD, 'UPSTREAM_RESPONSE_TIMEOUT'],
    [() => {}, `${HEAD}cont`, 'REQUEST_BODY_TIMEOUT'],
    [welcoming, HEAD, 'REQUEST_BODY_TIMEOUT'],
  ]
  for (const [script, sent, code] of cases) {
    const { connection } = await gatewayWith(t, script, { timeouts: { bodyMs: 300 } })
    await connection.write(sent)
    assert.equal(problemOf(await connection.response()).code, code)
  }
})

test('a 100 is passed on once, however often the upstream says it', async (t) => {
  const { connection } = await gatewayWith(t, (peer) => {
    if (peer.pending.endsWith('\r\n\r\n')) peer.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(3))
    else if (peer.pending.endsWith('content')) peer.write(ok())
  })
  await connection.write(HEAD)
  assert.equal((await connection.response({ interim: true })).status, 100)
  await connection.write('content')
  assert.equal((await connection.response({ interim: true })).status, 200)
})

test('a client that sends its content at once is fine', async (t) => {
  const { connection } = await gatewayWith(t, answering)
  await connection.write(`${HEAD}content`)
  assert.equal((await connection.response({ interim: true })).text, 'content')
})

test('a plugin that reads makes the gateway say 100, once, and the upstream gets no expectation', async (t) => {
  const { connection, upstream } = await gatewayWith(t, answering, {
    plugins: [reading((text) => text === 'content'), reading((text) => text === 'content')],
  })
  await connection.write(HEAD)
  assert.equal((await connection.response({ interim: true })).status, 100)
  assert.equal(upstream.connections.length, 0)
  await connection.write('content')
  assert.equal((await connection.response({ interim: true })).text, 'content')
  assert.doesNotMatch(upstream.requests.join(), /expect/)
})

test('a plugin that reads and refuses keeps the connection, since nothing of the request is left', async (t) => {
  const { connection } = await gatewayWith(t, answering, { plugins: [reading(() => false)] })
  for (let round = 0; round < 2; round++) {
    await connection.write(HEAD)
    assert.equal((await connection.response({ interim: true })).status, 100)
    await connection.write('content')
    const answer = await connection.response({ interim: true })
    assert.deepEqual([answer.status, answer.field('connection')], [403, null])
  }
})

test('an HTTP/1.0 client never sees a 100', async (t) => {
  const { connection } = await gatewayWith(t, answering, { plugins: [reading(() => true)] })
  await connection.write(HEAD.replace('HTTP/1.1', 'HTTP/1.0'))
  await connection.write('content')
  assert.equal((await connection.response({ interim: true })).status, 200)
})
