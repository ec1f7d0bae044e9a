import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FinishRecord, Middleware } from '@cardea/sdk'
import { get, post, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, respond, startDataPlane } from './support/data-plane.ts'
import { DEAD_PORTS } from './support/free-port.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** The record that onFinish gets: what an access log would say of an exchange, however that ended. */

interface Scene {
  readonly port: number
  readonly connection: TestConnection
  readonly upstream: RecordingUpstream
  /** The record of the next exchange that ends. */
  next(): Promise<FinishRecord>
}

async function scene(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}): Promise<Scene> {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const records: FinishRecord[] = []
  const recorder: Middleware = {
    name: 'recorder',
    handle: () => true,
    onFinish: (_ctx, record) => void records.push(record),
  }
  const gateway = await startDataPlane(t, {
    to: upstream.url,
    ...spec,
    plugins: [recorder, ...(spec.plugins ?? [])],
  })
  return {
    port: gateway.port,
    upstream,
    connection: await TestConnection.open(t, gateway.port),
    async next() {
      await waitFor(() => records.length > 0, 'a record')
      const [record] = records.splice(0, 1)
      assert.equal(records.length, 0)
      if (record === undefined) throw new Error('There is no record')
      checkDurations(record)
      return record
    },
  }
}

/** What holds for every record: nothing is negative, and the parts fit into the whole. */
function checkDurations({ durations, startedAt, plugins }: FinishRecord): void {
  const { total, handle, connect, upstream, response } = durations
  for (const part of [total, handle, connect, upstream, response])
    assert.ok(part >= 0, JSON.stringify(durations))
  assert.ok(handle + connect + upstream + response <= total + 0.001, JSON.stringify(durations))
  assert.ok(Math.abs(Date.now() - startedAt) < 60_000)
  for (const { handle: took } of plugins) assert.ok(took >= 0 && took <= total + 0.001)
}

const outcomes = (record: FinishRecord) => record.plugins.map(({ name, outcome }) => `${name}: ${outcome}`)

test('an upstream that cannot be reached', async (t) => {
  const { connection, next } = await scene(t, () => {}, { to: `http://127.0.0.1:${DEAD_PORTS[0]}` })
  await connection.write(get())
  const problem = problemOf(await connection.response())
  const record = await next()
  assert.deepEqual(
    [record.id, record.status, record.error, record.aborted, record.upstream, record.target],
    [problem.id, 502, 'UPSTREAM_CONNECT_FAILED', false, 'app', null],
  )
  assert.deepEqual([record.durations.upstream, record.durations.response], [0, 0])
})

test('a response that the upstream breaks off', async (t) => {
  const { connection, next, upstream } = await scene(t, (peer) =>
    peer.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'),
  )
  await connection.write(get())
  await connection.reader.end()
  const record = await next()
  assert.deepEqual(
    [record.status, record.error, record.aborted, record.responseBytes, record.target],
    [200, 'UPSTREAM_CLOSED', false, 4, upstream.url],
  )
})

test('a client that goes away before there is an answer', async (t) => {
  const { connection, next, upstream } = await scene(t, () => {})
  await connection.write(get('/x'))
  await waitFor(() => upstream.requests.length === 1, 'the request')
  connection.socket.destroy()
  const record = await next()
  assert.deepEqual(
    [record.status, record.error, record.aborted, record.responseBytes],
    [0, 'CLIENT_ABORTED', true, 0],
  )
})

test('a client that goes away in the middle of the answer', async (t) => {
  const { connection, next } = await scene(t, (peer) =>
    peer.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'),
  )
  await connection.write(get())
  await connection.reader.takeThrough('half')
  connection.socket.destroy()
  const record = await next()
  assert.deepEqual(
    [record.status, record.error, record.aborted, record.responseBytes],
    [200, 'CLIENT_ABORTED', true, 4],
  )
})

test('a request that is too large, and one that is malformed in its content', async (t) => {
  const { connection, next } = await scene(t, () => {}, { limits: { requestBodyBytesMax: 4 } })
  await connection.write(post('five!'))
  assert.equal(problemOf(await connection.response()).code, 'REQUEST_BODY_TOO_LARGE')
  const large = await next()
  assert.deepEqual([large.status, large.error, large.requestBytes], [413, 'REQUEST_BODY_TOO_LARGE', 0])
  const chunked = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz'
  await connection.write(chunked)
  assert.equal(problemOf(await connection.response()).code, 'REQUEST_MALFORMED')
  const record = await next()
  assert.deepEqual(
    [record.status, record.error, record.aborted, record.requestBytes],
    [400, 'REQUEST_MALFORMED', false, 2],
  )
})

test('a plugin that fails', async (t) => {
  const bad: Middleware = {
    name: 'bad',
    handle() {
      throw new Error('broken')
    },
  }
  const { connection, next } = await scene(t, () => {}, { plugins: [bad] })
  await connection.write(get())
  await connection.response()
  const record = await next()
  assert.deepEqual([record.status, record.error, record.target], [503, 'HOOK_THREW', null])
  assert.deepEqual(outcomes(record), ['recorder: passed', 'bad: failed'])
})

test('a plugin that answers', async (t) => {
  const answering: Middleware = { name: 'answering', handle: (ctx) => ctx.response.send('own') }
  const { connection, next } = await scene(t, () => {}, { plugins: [answering] })
  await connection.write(get())
  await connection.response()
  const record = await next()
  assert.deepEqual([record.status, record.error, record.responseBytes], [200, null, 3])
  assert.deepEqual(outcomes(record), ['recorder: passed', 'answering: answered'])
  assert.deepEqual([record.durations.connect, record.durations.upstream], [0, 0])
})

test('a route that answers by itself', async (t) => {
  const { connection, next } = await scene(t, () => {}, {
    routes: [{ name: 'own', paths: ['/own'], action: respond(201, 'own') }],
  })
  await connection.write(get('/own'))
  await connection.response()
  const record = await next()
  assert.deepEqual(
    [record.route, record.upstream, record.target, record.status, record.responseBytes],
    ['own', null, null, 201, 3],
  )
})

test('an exchange in good order', async (t) => {
  const { connection, next, upstream } = await scene(
    t,
    answerEach(
      'HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n',
    ),
  )
  const body = '4\r\nbody\r\n0\r\nX-Sum: 4\r\n\r\n'
  await connection.write(
    `POST /%61/../b?q=%20 HTTP/1.1\r\nHost: App.test\r\nTransfer-Encoding: chunked\r\n\r\n${body}`,
  )
  await connection.response()
  const { id, startedAt, durations, plugins, ...rest } = await next()
  assert.match(id, /^[0-9a-f]+-1-1$/)
  assert.ok(upstream.requests[0]?.includes(`x-request-id: ${id}\r\n`))
  assert.deepEqual(rest, {
    generation: 1,
    route: 'app',
    upstream: 'app',
    target: upstream.url,
    clientIp: '127.0.0.1',
    method: 'POST',
    host: 'app.test',
    url: '/b?q=%20',
    protocol: 'HTTP/1.1',
    status: 201,
    requestBytes: 4,
    responseBytes: 5,
    error: null,
    aborted: false,
  })
  assert.ok(durations.upstream > 0 && durations.total > 0 && startedAt > 0 && plugins.length === 1)
})

test('HEAD and HTTP/1.0', async (t) => {
  const { connection, next } = await scene(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n'))
  await connection.write('HEAD / HTTP/1.0\r\n\r\n')
  await connection.response({ method: 'HEAD' })
  const record = await next()
  assert.deepEqual(
    [record.method, record.protocol, record.status, record.responseBytes, record.error],
    ['HEAD', 'HTTP/1.0', 200, 0, null],
  )
})

const toTunnel: UpstreamScript = (peer) => {
  if (peer.take(peer.pending.length).startsWith('GET ')) {
    peer.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello')
  }
  if (peer.ended) peer.end('bye')
}

test('a tunnel that its client resets, which is an abort, unless the upstream has ended it before', async (t) => {
  const { connection, next } = await scene(t, toTunnel)
  await connection.request('GET', '/', ['Connection: upgrade', 'Upgrade: x'])
  await connection.response()
  connection.socket.resetAndDestroy()
  const reset = await next()
  assert.deepEqual([reset.status, reset.error, reset.aborted], [101, null, true])

  const ended = await scene(t, (peer) => {
    toTunnel(peer)
    peer.end()
  })
  await ended.connection.request('GET', '/', ['Connection: upgrade', 'Upgrade: x'])
  await ended.connection.response()
  assert.equal(String(await ended.connection.reader.takeRest()), 'hello')
  ended.connection.socket.resetAndDestroy()
  assert.equal((await ended.next()).aborted, false)
})

test('a tunnel that is idle for too long, whichever side of it is looked at first', async (t) => {
  const plain: UpstreamScript = (peer) => {
    if (peer.pending.startsWith('GET /plain ')) {
      peer.take(peer.pending.length)
      peer.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    } else toTunnel(peer)
  }
  const { connection, port, next, upstream } = await scene(t, plain, { timeouts: { tunnelIdleMs: 100 } })
  const toIdle = async (client: TestConnection): Promise<void> => {
    await client.request('GET', '/', ['Connection: upgrade', 'Upgrade: x'])
    await client.response()
    const record = await next()
    assert.deepEqual([record.status, record.aborted], [101, false])
  }
  await connection.request('GET', '/plain')
  await connection.response()
  await next()
  // The connection to the upstream is older than this one.
  await toIdle(await TestConnection.open(t, port))
  assert.equal(upstream.connections.length, 1)
  await toIdle(connection)
})

test('a tunnel', async (t) => {
  const { connection, next, upstream } = await scene(t, toTunnel)
  await connection.request('GET', '/', ['Connection: upgrade', 'Upgrade: x'])
  await connection.response()
  await connection.write('four')
  await waitFor(() => upstream.connections[0]?.received.endsWith('four'), 'the bytes')
  connection.socket.end()
  assert.equal(String(await connection.reader.takeRest()), 'hellobye')
  const record = await next()
  assert.deepEqual(
    [record.status, record.requestBytes, record.responseBytes, record.error, record.aborted],
    [101, 4, 8, null, false],
  )
})
