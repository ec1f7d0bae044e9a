import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { get, ok, post, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { DEAD_PORTS } from './support/free-port.ts'
import { fullPort } from './support/full-port.ts'
import { RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** What a client gets when its upstream is gone, late, or breaks off; and what is tried again. */

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec['upstream'] = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, upstream: spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

const silent: UpstreamScript = () => {}

async function problemFor(connection: TestConnection, request: string): Promise<[number, string]> {
  await connection.write(request)
  const answer = await connection.response()
  return [answer.status, problemOf(answer).code]
}

// Connecting.

test('nobody listens: 502, and the problem carries the request id and no address', async (t) => {
  const [deadPort] = DEAD_PORTS
  const { port, logged } = await startDataPlane(t, { to: `http://127.0.0.1:${deadPort}` })
  const connection = await TestConnection.open(t, port)
  await connection.write(get())
  const answer = await connection.response()
  const problem = problemOf(answer)
  assert.deepEqual([problem.status, problem.code], [502, 'UPSTREAM_CONNECT_FAILED'])
  assert.ok(!answer.text.includes(String(deadPort)))
  // What a client must not learn is in the log.
  assert.equal(logged.length, 1)
  assert.match(logged[0]?.message ?? '', /ECONNREFUSED/)
  assert.deepEqual([logged[0]?.fields.requestId, logged[0]?.fields.upstream], [problem.id, 'app'])
})

test('a connection that does not come to stand: 504, or the next target', async (t) => {
  const full = `http://127.0.0.1:${await fullPort(t)}`
  const upstream = { connectTimeoutMs: 300 }
  const alone = await startDataPlane(t, { to: full, upstream })
  const first = await TestConnection.open(t, alone.port)
  assert.deepEqual(await problemFor(first, get()), [504, 'UPSTREAM_CONNECT_TIMEOUT'])
  const other = await RecordingUpstream.start()
  t.after(() => other[Symbol.asyncDispose]())
  const both = await startDataPlane(t, { to: [full, other.url], upstream })
  const second = await TestConnection.open(t, both.port)
  await second.write(post('body'))
  assert.equal((await second.response()).text, 'ok')
})

// Answers that do not come.

test('no answer within `timeouts.response`: 504, and the upstream connection is closed', async (t) => {
  const { connection, upstream } = await gatewayWith(t, silent, { responseTimeoutMs: 300 })
  assert.deepEqual(await problemFor(connection, get()), [504, 'UPSTREAM_RESPONSE_TIMEOUT'])
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the close')
})

test('the time to answer starts with the last byte of the request, however long that took', async (t) => {
  const { connection, upstream } = await gatewayWith(t, silent, { responseTimeoutMs: 300 })
  await connection.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n')
  const start = performance.now()
  await waitFor(() => performance.now() - start > 700, 'longer than the limit')
  assert.equal(connection.reader.available, 0)
  // The last chunk alone: no content comes with it that could start the clock.
  assert.deepEqual(await problemFor(connection, '0\r\n\r\n'), [504, 'UPSTREAM_RESPONSE_TIMEOUT'])
  assert.equal(upstream.requests.length, 1)
})

test('an answer that came in time is in time, also where a plugin blocked the event loop meanwhile', async (t) => {
  const { connection } = await gatewayWith(
    t,
    (peer) => {
      peer.take(peer.pending.length)
      peer.write(ok())
      // As a plugin does it that computes for long: the answer is there, and nobody has read it when the time is over.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
    },
    { responseTimeoutMs: 300 },
  )
  await connection.write(get())
  assert.equal((await connection.response()).text, 'ok')
})

test('an interim response does not stop the clock', async (t) => {
  const { connection } = await gatewayWith(t, (peer) => peer.write('HTTP/1.1 102 Processing\r\n\r\n'), {
    responseTimeoutMs: 300,
  })
  assert.deepEqual(await problemFor(connection, get()), [504, 'UPSTREAM_RESPONSE_TIMEOUT'])
})

test('an upstream that takes no bytes of a long body: 504', async (t) => {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = await startDataPlane(t, {
    to: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    upstream: { responseTimeoutMs: 300 },
  })
  const connection = await TestConnection.open(t, port)
  const body = 'x'.repeat(32 * 1024 * 1024)
  void connection.write(post(body))
  const answer = await connection.response()
  assert.deepEqual([answer.status, problemOf(answer).code], [504, 'UPSTREAM_RESPONSE_TIMEOUT'])
})

test('a response that stops in the middle is cut after `timeouts.idle`', async (t) => {
  const { connection, upstream } = await gatewayWith(
    t,
    (peer) => peer.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'),
    { idleTimeoutMs: 300 },
  )
  await connection.write(get())
  await connection.reader.takeThrough('half')
  assert.equal(await connection.ended(), 'reset')
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the close')
})

test('with a timeout of 0 nothing is cut', async (t) => {
  const { connection, upstream } = await gatewayWith(t, silent, { responseTimeoutMs: 0, idleTimeoutMs: 0 })
  await connection.write(get())
  await waitFor(() => upstream.requests.length === 1, 'the request')
  const start = performance.now()
  await waitFor(() => performance.now() - start > 300, 'a few sweeps')
  upstream.connections[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
  await connection.reader.takeThrough('ha')
  await waitFor(() => performance.now() - start > 600, 'a few sweeps')
  upstream.connections[0]?.write('lf')
  assert.equal(String(await connection.reader.take(2)), 'lf')
})

// Connections that break, and what is sent again.

for (const how of ['end', 'reset'] as const) {
  test(`a new connection that is closed by ${how} before an answer: 502, and nothing is sent twice`, async (t) => {
    const { connection, upstream } = await gatewayWith(t, (peer) => peer[how]())
    assert.deepEqual(await problemFor(connection, get()), [502, 'UPSTREAM_CLOSED'])
    assert.equal(upstream.connections.length, 1)
  })

  /** Answers the first request of each connection; the second meets a connection that has just been closed. */
  const onceEach: UpstreamScript = (peer) => {
    const request = peer.take(peer.pending.length)
    if (request === '') return
    if (peer.received.length === request.length) peer.write(ok(`${peer.index}`))
    else peer[how]()
  }

  test(`a reused connection closed by ${how} before a byte: a GET is tried again, once, on a new one`, async (t) => {
    const { connection, upstream } = await gatewayWith(t, onceEach)
    await connection.write(get('/1'))
    assert.equal((await connection.response()).text, '0')
    await connection.write(get('/2'))
    assert.equal((await connection.response()).text, '1')
    assert.equal(upstream.connections.length, 2)
  })

  test(`a reused connection closed by ${how} before a byte: a POST is not tried again`, async (t) => {
    const { connection, upstream } = await gatewayWith(t, onceEach)
    await connection.write(get('/1'))
    await connection.response()
    assert.deepEqual(await problemFor(connection, post('pay')), [502, 'UPSTREAM_CLOSED'])
    assert.equal(upstream.connections.length, 1)
  })
}

test('the second try is on a new connection, also where there is no place for one more', async (t) => {
  const { connection, upstream, port } = await gatewayWith(
    t,
    (peer) => {
      if (peer.take(peer.pending.length) === '') return
      // All connections that have been idle are dead by then.
      if (peer.index > 1 || !peer.received.slice(4).includes('GET ')) peer.write(ok(`${peer.index}`))
      else peer.end()
    },
    { connectionsMax: 2 },
  )
  const other = await TestConnection.open(t, port)
  await Promise.all([connection.write(get('/1')), other.write(get('/1'))])
  await Promise.all([connection.response(), other.response()])
  assert.equal(upstream.connections.length, 2)
  await connection.write(get('/2'))
  assert.equal((await connection.response()).text, '2')
})

test('a PUT whose content has been sent and not kept is not tried again', async (t) => {
  const { connection, upstream } = await gatewayWith(t, (peer) => {
    const request = peer.take(peer.pending.length)
    if (peer.received.length === request.length) peer.write(ok())
    else peer.reset()
  })
  await connection.write(get('/1'))
  await connection.response()
  const put = post('content').replace('POST', 'PUT')
  assert.deepEqual(await problemFor(connection, put), [502, 'UPSTREAM_CLOSED'])
  assert.equal(upstream.connections.length, 1)
})

test('a GET is not tried a third time', async (t) => {
  const { connection, upstream } = await gatewayWith(t, (peer) => {
    const request = peer.take(peer.pending.length)
    if (peer.index === 0 && peer.received.length === request.length) peer.write(ok())
    else peer.reset()
  })
  await connection.write(get('/1'))
  await connection.response()
  assert.deepEqual(await problemFor(connection, get('/2')), [502, 'UPSTREAM_CLOSED'])
  assert.equal(upstream.connections.length, 2)
})

test('a reused connection that breaks after the first byte: nothing is sent again', async (t) => {
  const { connection, upstream } = await gatewayWith(t, (peer) => {
    const request = peer.take(peer.pending.length)
    if (request === '') return
    if (peer.received.length === request.length) peer.write(ok())
    else peer.end('HTTP/1.1 200')
  })
  await connection.write(get('/1'))
  await connection.response()
  assert.deepEqual(await problemFor(connection, get('/2')), [502, 'UPSTREAM_CLOSED'])
  assert.equal(upstream.connections.length, 1)
})

test('a connection that was opened for a client that left counts as idle: its end is no answer', async (t) => {
  // The first client leaves before its connection stands; the second gets that connection, which then breaks.
  const { upstream, port, plane } = await gatewayWith(t, (peer) => {
    if (peer.index === 0) peer.reset()
    else peer.write(ok('second try'))
  })
  const leaver = await TestConnection.open(t, port)
  await leaver.write(get('/leaver'))
  leaver.socket.resetAndDestroy()
  await waitFor(
    () => plane.counters().requestsTotal === 1 && plane.counters().exchanges === 0,
    'it to be gone',
  )
  const next = await TestConnection.open(t, port)
  await next.write(get('/next'))
  const answer = await next.response()
  assert.ok(upstream.requests.length <= 2)
  assert.equal(answer.text, 'second try')
})

test('one broken exchange does not disturb others on the same upstream', async (t) => {
  const { port } = await gatewayWith(t, (peer) => {
    const request = peer.take(peer.pending.length)
    if (request.includes('/bad')) peer.reset()
    else if (request !== '') peer.write(ok())
  })
  const clients = await Promise.all(Array.from({ length: 20 }, () => TestConnection.open(t, port)))
  const statuses = await Promise.all(
    clients.map(async (client, index) => {
      await client.write(post('x', index % 2 === 0 ? '/bad' : '/good'))
      return (await client.response()).status
    }),
  )
  assert.deepEqual(
    statuses,
    statuses.map((_, index) => (index % 2 === 0 ? 502 : 200)),
  )
})
