import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Middleware } from '@cardea/sdk'
import { type DataPlaneSpec, respond, startDataPlane, toUpstream } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Connections that live on: several requests on one, in order, and how they end. */

const echoTarget = answerEach((request) => {
  const target = request.split(' ')[1] ?? ''
  return `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`
})

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const routes = [{ paths: ['/own/*'], action: respond(200, 'own') }]
  const gateway = await startDataPlane(t, { to: upstream.url, routes, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

const get = (target: string, lines = ''): string => `GET ${target} HTTP/1.1\r\nHost: app.test\r\n${lines}\r\n`

test('what follows a malformed request is never read: one answer, then the close', async (t) => {
  const { connection, upstream } = await gatewayWith(t, echoTarget)
  await connection.write(`${get('/1')}GET /2 HTTP/9.1\r\n\r\n${get('/3')}`)
  assert.equal((await connection.response()).text, '/1')
  assert.equal((await connection.response()).status, 505)
  assert.equal(await connection.ended(), 'closed')
  assert.equal(upstream.requests.length, 1)
})

test('what follows `Connection: close` is never answered', async (t) => {
  const { connection, upstream } = await gatewayWith(t, echoTarget)
  await connection.write(get('/1') + get('/2', 'Connection: close\r\n') + get('/3'))
  assert.equal((await connection.response()).field('connection'), null)
  const last = await connection.response()
  assert.deepEqual([last.text, last.field('connection')], ['/2', 'close'])
  assert.equal(await connection.ended(), 'closed')
  assert.deepEqual(
    upstream.requests.map((request) => request.split(' ')[1]),
    ['/1', '/2'],
  )
})

test('an upstream answer that closes does not close the client connection', async (t) => {
  const { connection, upstream } = await gatewayWith(
    t,
    answerEach('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'),
  )
  for (let round = 1; round <= 3; round++) {
    await connection.write(get('/'))
    const answer = await connection.response()
    assert.deepEqual([answer.text, answer.field('connection')], ['ok', null])
    assert.equal(upstream.connections.length, round)
  }
})

test('sequential requests share one connection on each side', async (t) => {
  const { connection, upstream, plane } = await gatewayWith(t, echoTarget)
  for (let index = 0; index < 50; index++) {
    await connection.write(get(`/${index}`))
    assert.equal((await connection.response()).text, `/${index}`)
  }
  assert.equal(upstream.connections.length, 1)
  assert.deepEqual(plane.counters(), { connections: 1, exchanges: 0, requestsTotal: 50 })
})

test('pipelined requests are answered in order, also when the first is slow and the next are ready', async (t) => {
  const { connection, upstream } = await gatewayWith(t, () => {})
  await connection.write(get('/slow') + get('/own/1') + get('/own/2'))
  await waitFor(() => upstream.requests.length === 1, 'the slow request')
  assert.equal(connection.reader.available, 0)
  upstream.connections[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow')
  assert.equal((await connection.response()).text, 'slow')
  assert.equal((await connection.response()).text, 'own')
  assert.equal((await connection.response()).text, 'own')
})

/** Requests of all kinds, each with the answer it must get. */
function mixed(count: number): { request: string; answer: string }[] {
  return Array.from({ length: count }, (_, index) => {
    const body = 'b'.repeat(index % 50)
    const kinds = [
      { request: get(`/${index}`), answer: `/${index}` },
      { request: get(`/own/${index}`), answer: 'own' },
      {
        request: `POST /p${index} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        answer: `/p${index}`,
      },
      {
        request: `PUT /p${index} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nX: y\r\n\r\n`,
        answer: `/p${index}`,
      },
    ] as const
    return kinds[index % 4] ?? kinds[0]
  })
}

test('pipelined requests need no second upstream connection, and no place in a queue', async (t) => {
  const { connection, upstream } = await gatewayWith(t, echoTarget, {
    upstream: { connectionsMax: 1, queueMax: 0 },
  })
  await connection.write(Array.from({ length: 100 }, (_, index) => get(`/${index}`)).join(''))
  for (let index = 0; index < 100; index++) assert.equal((await connection.response()).text, `/${index}`)
  assert.equal(upstream.connections.length, 1)
})

for (const pieceLength of [Number.POSITIVE_INFINITY, 1_000, 7]) {
  const count = pieceLength === 7 ? 100 : 1_000
  test(`${count} pipelined requests in pieces of ${pieceLength} bytes get their answers in order`, async (t) => {
    const { connection, upstream } = await gatewayWith(t, echoTarget)
    const all = mixed(count)
    const text = all.map(({ request }) => request).join('')
    const sending = (async () => {
      for (let at = 0; at < text.length; at += pieceLength) {
        await connection.write(text.slice(at, at + pieceLength))
      }
    })()
    for (const { answer } of all) {
      const response = await connection.response()
      assert.deepEqual([response.status, response.text], [200, answer])
    }
    await sending
    assert.equal(upstream.requests.length, count * 0.75)
    assert.ok(upstream.connections.length <= 2, `${upstream.connections.length} upstream connections`)
  })
}

test('an answer that does not need the body keeps the connection when all of it has come', async (t) => {
  const { connection } = await gatewayWith(t, echoTarget)
  const post = 'POST /own/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody'
  await connection.write(post + post + get('/2'))
  for (const text of ['own', 'own', '/2']) {
    const answer = await connection.response()
    assert.deepEqual([answer.text, answer.field('connection')], [text, null])
  }
})

test('an answer before the end of the body closes the connection, and what follows is not read', async (t) => {
  const { port } = await gatewayWith(t, echoTarget)
  for (const body of [
    'Content-Length: 40\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
  ]) {
    const connection = await TestConnection.open(t, port)
    await connection.write(`POST /own/1 HTTP/1.1\r\nHost: a\r\n${body}${get('/2')}`)
    const answer = await connection.response()
    assert.deepEqual([answer.text, answer.field('connection')], ['own', 'close'])
    assert.equal(await connection.ended(), 'closed')
  }
})

test('past `pipelined_bytes` reading pauses, and goes on when its turn comes', async (t) => {
  const { connection, upstream } = await gatewayWith(t, () => {}, { limits: { pipelinedBytesMax: 1_000 } })
  const many = get(`/own/${'x'.repeat(8_000)}`).repeat(2_000)
  await connection.write(get('/slow'))
  await waitFor(() => upstream.requests.length === 1, 'the slow request')
  let sent = false
  const sending = connection.write(many).then(() => {
    sent = true
  })
  await waitFor(() => connection.socket.writableLength > 0, 'the kernel to take no more')
  assert.equal(sent, false)
  upstream.connections[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow')
  assert.equal((await connection.response()).text, 'slow')
  for (let index = 0; index < 2_000; index++) assert.equal((await connection.response()).text, 'own')
  await sending
})

test('a client that takes no answers has no more of its requests begun', async (t) => {
  const body = 'x'.repeat(100_000)
  const { connection, plane } = await gatewayWith(t, () => {}, {
    routes: [{ paths: ['/large'], action: respond(200, body) }],
  })
  const requests = 400
  const begun = (): number => plane.counters().requestsTotal
  connection.socket.pause()
  await connection.write(get('/large').repeat(requests))
  let before = -1
  await waitFor(() => {
    const isStill = begun() === before && before > 0
    before = begun()
    return isStill
  }, 'them to stand still')
  // What the kernels take, and one relay buffer; all of the answers are forty megabytes.
  assert.ok(begun() < requests / 2, `${begun()} were begun`)
  for (let index = 0; index < requests; index++) {
    assert.equal((await connection.response()).body.length, body.length)
  }
  assert.equal(begun(), requests)
  await connection.write(get('/large'))
  assert.equal((await connection.response()).status, 200)
})

test('requests that wait for a client to read are served after its FIN too, with `half_close: serve`', async (t) => {
  const body = 'x'.repeat(100_000)
  const { connection } = await gatewayWith(t, () => {}, {
    routes: [{ paths: ['/large'], action: respond(200, body) }],
    settings: { halfClose: 'serve' },
  })
  connection.socket.pause()
  await connection.write(get('/large').repeat(200))
  connection.socket.end()
  for (let index = 0; index < 200; index++) {
    assert.equal((await connection.response()).body.length, body.length)
  }
  assert.equal(await connection.ended(), 'closed')
})

test('after `requests_per_connection` the connection closes with its last answer', async (t) => {
  const { connection, port } = await gatewayWith(t, echoTarget, { limits: { requestsPerConnectionMax: 3 } })
  await connection.write(get('/1') + get('/2') + get('/3') + get('/4'))
  assert.equal((await connection.response()).field('connection'), null)
  assert.equal((await connection.response()).field('connection'), null)
  assert.equal((await connection.response()).field('connection'), 'close')
  assert.equal(await connection.ended(), 'closed')
  const next = await TestConnection.open(t, port)
  await next.write(get('/5'))
  assert.equal((await next.response()).text, '/5')
})

test('an idle connection is closed after `timeouts.idle`, without a word', async (t) => {
  const { connection } = await gatewayWith(t, echoTarget, { timeouts: { idleMs: 200 } })
  await connection.write(get('/1'))
  await connection.response()
  assert.equal(await connection.ended(), 'closed')
})

test('a connection without any request is closed after `timeouts.head`, without a word', async (t) => {
  const { connection } = await gatewayWith(t, echoTarget, { timeouts: { headMs: 200 } })
  assert.equal(await connection.ended(), 'closed')
})

// Draining.

test('draining closes idle connections, finishes what is pending, and says so in the answer', async (t) => {
  const { connection, upstream, plane, port } = await gatewayWith(t, () => {})
  const idle = await TestConnection.open(t, port)
  await idle.write(get('/own/1'))
  await idle.response()
  await connection.write(get('/slow') + get('/own/never'))
  await waitFor(() => upstream.requests.length === 1, 'the slow request')
  const drained = plane.drain(10_000)
  assert.equal(await idle.ended(), 'closed')
  await assert.rejects(TestConnection.open(t, port), { code: 'ECONNREFUSED' })
  upstream.connections[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow')
  const last = await connection.response()
  assert.deepEqual([last.text, last.field('connection')], ['slow', 'close'])
  assert.equal(await connection.ended(), 'closed')
  connection.socket.destroy()
  idle.socket.destroy()
  assert.deepEqual(await drained, { cutExchanges: 0 })
  await waitFor(
    () => upstream.connections.every(({ ended, closed }) => ended || closed),
    'upstream to be let go',
  )
})

test('draining loses no request behind an answer that did not say that it is the last', async (t) => {
  const { connection, plane, upstream } = await gatewayWith(t, () => {})
  await connection.write(get('/1'))
  await waitFor(() => upstream.requests.length === 1, 'the first request')
  upstream.connections[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi')
  await connection.reader.takeThrough('\r\n\r\nfi')
  await connection.write(get('/own/2'))
  const drained = plane.drain(10_000)
  upstream.connections[0]?.write('rs')
  await connection.reader.takeThrough('rs')
  const answer = await connection.response()
  assert.deepEqual([answer.text, answer.field('connection')], ['own', 'close'])
  assert.equal(await connection.ended(), 'closed')
  connection.socket.destroy()
  assert.deepEqual(await drained, { cutExchanges: 0 })
})

test('draining cuts what is not done by the deadline, and counts it; its hooks have ended by then', async (t) => {
  const ended: string[] = []
  const slow: Middleware = {
    name: 'slow',
    handle: () => true,
    async onFinish(ctx) {
      await nextTurn()
      ended.push(ctx.request.path)
    },
  }
  const { connection, upstream, plane } = await gatewayWith(t, () => {}, { plugins: [slow] })
  await connection.write(get('/never'))
  await waitFor(() => upstream.requests.length === 1, 'the request')
  assert.deepEqual(await plane.drain(50), { cutExchanges: 1 })
  assert.deepEqual(ended, ['/never'])
  await connection.reader.end()
  await waitFor(
    () => upstream.connections[0]?.ended || upstream.connections[0]?.closed,
    'the upstream to see it',
  )
  assert.deepEqual(plane.counters(), { connections: 0, exchanges: 0, requestsTotal: 1 })
})

// Half-closed connections.

test('a FIN while the answer is pending is an abort', async (t) => {
  const { connection, upstream } = await gatewayWith(t, () => {})
  await connection.write(get('/slow'))
  await waitFor(() => upstream.requests.length === 1, 'the request')
  connection.socket.end()
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the cancel')
  await connection.reader.end()
  assert.equal(connection.reader.available, 0)
})

test('with `half_close: serve` everything sent before the FIN is answered, then the connection closes', async (t) => {
  const { connection, upstream } = await gatewayWith(t, echoTarget, { settings: { halfClose: 'serve' } })
  await connection.write(get('/1') + get('/own/2') + get('/3'))
  connection.socket.end()
  assert.equal((await connection.response()).text, '/1')
  assert.equal((await connection.response()).text, 'own')
  assert.equal((await connection.response()).text, '/3')
  assert.equal(await connection.ended(), 'closed')
  assert.equal(upstream.requests.length, 2)
})

test('with `half_close: serve` an upgrade with a FIN behind it becomes a tunnel that is closed on that side', async (t) => {
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'
  const { connection, upstream } = await gatewayWith(t, () => {}, { settings: { halfClose: 'serve' } })
  await connection.write(`${get('/', 'Connection: upgrade\r\nUpgrade: x\r\n')}last words`)
  connection.socket.end()
  await waitFor(() => upstream.requests.length === 1, 'the request')
  const peer = upstream.connections[0]
  peer?.write(switched)
  await waitFor(() => peer?.ended && peer.received.endsWith('last words'), 'the FIN behind the bytes')
  assert.equal((await connection.response()).status, 101)
  peer?.end('bye')
  assert.equal(String(await connection.reader.takeRest()), 'bye')
})

test('with `half_close: serve` a FIN in the middle of a request is still an abort', async (t) => {
  const { connection, upstream, plane } = await gatewayWith(t, () => {}, { settings: { halfClose: 'serve' } })
  await connection.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
  await waitFor(() => upstream.connections[0]?.received.endsWith('half'), 'the upload')
  connection.socket.end()
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the cancel')
  await connection.reader.end()
  await waitFor(() => plane.counters().connections === 0, 'the end of the connection')
})

test('routes with and without an upstream share a connection without mixing', async (t) => {
  const other = await RecordingUpstream.start(answerEach('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother'))
  t.after(() => other[Symbol.asyncDispose]())
  const { connection } = await gatewayWith(t, echoTarget, {
    upstreams: { other: { targets: [other.url] } },
    routes: [{ paths: ['/other/*'], action: toUpstream('other') }],
  })
  await connection.write(get('/other/1') + get('/2') + get('/other/3') + get('/4'))
  const texts: string[] = []
  for (let index = 0; index < 4; index++) texts.push((await connection.response()).text)
  assert.deepEqual(texts, ['other', '/2', 'other', '/4'])
})

test('what a plugin does to a request and its response stays there, however often both heads are repeated', async (t) => {
  let count = 0
  const odd: Middleware = {
    name: 'odd',
    handle({ request, response }) {
      if (++count % 2 === 0) return true
      request.headers.set('x-odd', String(count))
      request.headers.delete('x-sent')
      response.headers.set('x-kind', 'odd')
      return true
    },
    onResponse({ response }) {
      if (response.headers.get('x-kind') === 'odd') response.headers.delete('x-upstream')
    },
  }
  const answer = 'HTTP/1.1 200 OK\r\nX-Kind: even\r\nX-Upstream: yes\r\nContent-Length: 2\r\n\r\nok'
  const { connection, upstream } = await gatewayWith(t, answerEach(answer), { plugins: [odd] })
  await connection.write(get('/', 'X-Sent: 1\r\n').repeat(6))
  for (let index = 1; index <= 6; index++) {
    const { field } = await connection.response()
    const isOdd = index % 2 === 1
    assert.deepEqual([field('x-kind'), field('x-upstream')], isOdd ? ['odd', null] : ['even', 'yes'])
  }
  const told = upstream.requests.map((request) => [
    /^x-odd: (.*)\r$/m.exec(request)?.[1],
    /^x-sent: (.*)\r$/m.exec(request)?.[1],
  ])
  const even = [undefined, '1']
  assert.deepEqual(told, [['1', undefined], even, ['3', undefined], even, ['5', undefined], even])
  const ids = upstream.requests.map((request) => /^x-request-id: (.*)\r$/m.exec(request)?.[1])
  assert.equal(new Set(ids).size, 6)
})
