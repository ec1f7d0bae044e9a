import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { respond, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection, type TestResponse } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** How messages are delimited on their way through: RFC 9112, 6 and 7. */

const GET = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'

async function gatewayBefore(t: TestContext, script: UpstreamScript) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, { to: upstream.url })
  return { upstream, connection: await TestConnection.open(t, port), port }
}

/** What a client gets for `request` from an upstream that sends these bytes. */
async function answerTo(t: TestContext, request: string, response: string): Promise<TestResponse> {
  const { connection } = await gatewayBefore(t, answerEach(response))
  await connection.write(request)
  return connection.response({ method: request.split(' ')[0] ?? '' })
}

const BROKEN_RESPONSES: Readonly<Record<string, string>> = {
  'both lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
  'a bad length': 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok',
  'another coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok',
  'no status line': 'ICY 200 OK\r\n\r\n',
  'a switch nobody asked for': 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
  'a bare LF': 'HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok',
  'a space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok',
}

for (const [what, response] of Object.entries(BROKEN_RESPONSES)) {
  test(`an upstream response with ${what} becomes a 502 problem`, async (t) => {
    const answer = await answerTo(t, GET, response)
    assert.deepEqual([answer.status, JSON.parse(answer.text).code], [502, 'UPSTREAM_RESPONSE_INVALID'])
  })
}

for (const [what, end] of Object.entries({
  'its length': 'Content-Length: 9\r\n\r\nhalf',
  'the last chunk': 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
  'the end of its trailers': 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nx: y\r\n',
})) {
  test(`a response cut before ${what} is cut for the client too, by a reset`, async (t) => {
    const { connection } = await gatewayBefore(t, (peer) => peer.end(`HTTP/1.1 200 OK\r\n${end}`))
    await connection.write(GET)
    await assert.rejects(connection.response())
    assert.equal(await connection.reader.end(), 'reset')
  })
}

test('a chunk that is longer than its size cuts the response', async (t) => {
  const { connection } = await gatewayBefore(
    t,
    answerEach('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\noh no\r\n0\r\n\r\n'),
  )
  await connection.write(GET)
  await assert.rejects(connection.response())
  assert.equal(await connection.reader.end(), 'reset')
})

test('a response with Content-Length keeps it', async (t) => {
  const answer = await answerTo(t, GET, 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello')
  assert.deepEqual([answer.framing, answer.text, answer.field('x-one')], ['length', 'hello', '1'])
})

test('a chunked response stays chunked, its extensions go, its trailers come along', async (t) => {
  const chunks = '5;name=value\r\nhello\r\n6;q="a;b"\r\n world\r\n0;last\r\nX-Sum: 11\r\nX-Sum: twice\r\n\r\n'
  const answer = await answerTo(t, GET, `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`)
  assert.deepEqual([answer.framing, answer.text], ['chunked', 'hello world'])
  assert.deepEqual(answer.trailers, [
    ['x-sum', '11'],
    ['x-sum', 'twice'],
  ])
})

test('a response until the close becomes a chunked one, and the connection lives on', async (t) => {
  const { connection } = await gatewayBefore(t, (peer) => {
    if (peer.pending.endsWith('\r\n\r\n')) peer.end('HTTP/1.1 200 OK\r\n\r\nuntil the end')
  })
  for (let round = 0; round < 2; round++) {
    await connection.write(GET)
    const answer = await connection.response()
    assert.deepEqual([answer.framing, answer.text], ['chunked', 'until the end'])
  }
})

test('the answer to HEAD keeps the length of what is not there', async (t) => {
  const { connection } = await gatewayBefore(
    t,
    answerEach((request) =>
      request.startsWith('HEAD')
        ? 'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n'
        : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    ),
  )
  await connection.write(`HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n${GET}`)
  const head = await connection.response({ method: 'HEAD' })
  assert.deepEqual([head.status, head.field('content-length')], [200, '5000'])
  assert.equal((await connection.response()).text, 'ok')
})

test('the answer to HEAD of a chunked resource has neither length nor chunks', async (t) => {
  const { connection } = await gatewayBefore(
    t,
    answerEach((request) =>
      request.startsWith('HEAD')
        ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    ),
  )
  await connection.write(`HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n${GET}`)
  const head = await connection.response({ method: 'HEAD' })
  assert.equal(head.field('content-length'), null)
  assert.equal((await connection.response()).text, 'ok')
})

test('204 and 304 have no body, whatever they say of its length', async (t) => {
  const answers = [
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: "x"\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ]
  const { connection, upstream } = await gatewayBefore(
    t,
    answerEach((_request, index) => answers[index] ?? null),
  )
  await connection.write(GET.repeat(4))
  const [noContent, notModified, bare, ok] = [
    await connection.response(),
    await connection.response(),
    await connection.response(),
    await connection.response(),
  ]
  assert.deepEqual([noContent.status, noContent.field('content-length')], [204, null])
  assert.deepEqual([notModified.status, notModified.field('content-length')], [304, '77'])
  assert.deepEqual([bare.status, bare.field('content-length')], [304, null])
  assert.equal(ok.text, 'ok')
  assert.equal(upstream.requests.length, 4)
})

test('interim responses come through in order, before the final one', async (t) => {
  const interim =
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n'
  const { connection } = await gatewayBefore(
    t,
    answerEach(`${interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`),
  )
  await connection.write(GET)
  const hints = await connection.response({ interim: true })
  assert.deepEqual([hints.status, hints.field('link'), hints.field('x-hop')], [103, '</a.css>', null])
  assert.equal((await connection.response({ interim: true })).status, 102)
  assert.equal((await connection.response({ interim: true })).text, 'ok')
})

// Requests.

test('a request body keeps its framing; extensions go, trailers come along', async (t) => {
  const { connection, upstream } = await gatewayBefore(
    t,
    answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  )
  await connection.request('POST', '/length', ['Content-Length: 5'], 'hello')
  await connection.response()
  const chunks = '5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n'
  await connection.request('POST', '/chunked', ['Transfer-Encoding: chunked'], chunks)
  await connection.response()
  await connection.request('POST', '/empty', ['Content-Length: 0'])
  await connection.response()
  const [withLength = '', chunked = '', empty = ''] = upstream.requests
  assert.match(withLength, /\r\ncontent-length: 5\r\n\r\nhello$/)
  assert.match(chunked, /\r\ntransfer-encoding: chunked\r\n/)
  assert.doesNotMatch(chunked, /content-length|x=y/)
  assert.match(chunked, /\r\n0\r\nx-sum: 6\r\n\r\n$/)
  const content = chunked.slice(chunked.indexOf('\r\n\r\n') + 4)
  assert.equal(content.replace(/[0-9a-f]+\r\n|\r\n|x-sum.*/g, ''), 'hello!')
  assert.match(empty, /\r\ncontent-length: 0\r\n/)
})

test('a request without content gets no framing field', async (t) => {
  const { connection, upstream } = await gatewayBefore(
    t,
    answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  )
  await connection.write(GET)
  await connection.response()
  assert.doesNotMatch(upstream.requests.join(), /content-length|transfer-encoding/i)
})

// HTTP/1.0.

const CHUNKED_OK =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: lost\r\n\r\n'

test('an HTTP/1.0 client never gets chunks or interim responses: the close ends the body', async (t) => {
  const { connection, upstream } = await gatewayBefore(
    t,
    answerEach(`HTTP/1.1 103 Early Hints\r\n\r\n${CHUNKED_OK}`),
  )
  await connection.write('GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  const answer = await connection.response({ interim: true })
  assert.deepEqual([answer.status, answer.framing, answer.text], [200, 'close', 'ok'])
  assert.equal(answer.field('connection'), 'close')
  assert.equal(await connection.ended(), 'closed')
  // It sent no Host; the upstream, spoken to in HTTP/1.1, needs one.
  assert.match(upstream.requests.join(), new RegExp(`^GET /old HTTP/1.1\r\nhost: 127.0.0.1:${upstream.port}`))
})

test('an HTTP/1.0 connection is kept only when the client asks and the length is known', async (t) => {
  const { connection } = await gatewayBefore(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  await connection.write('GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n')
  const kept = await connection.response()
  assert.deepEqual([kept.text, kept.field('connection')], ['ok', 'keep-alive'])
  await connection.write('GET /2 HTTP/1.0\r\n\r\n')
  const last = await connection.response()
  assert.deepEqual([last.text, last.field('connection')], ['ok', 'close'])
  assert.equal(await connection.ended(), 'closed')
})

test('an answer of the gateway itself is framed like any other', async (t) => {
  const { port } = await startDataPlane(t, {
    routes: [{ action: respond(200, 'own') }, { paths: ['/none'], action: respond(204, '') }],
  })
  const connection = await TestConnection.open(t, port)
  await connection.request('HEAD', '/')
  const head = await connection.response({ method: 'HEAD' })
  assert.deepEqual([head.status, head.field('content-length')], [200, '3'])
  await connection.request('GET', '/none')
  assert.equal((await connection.response()).field('content-length'), null)
  await connection.request('GET', '/')
  assert.equal((await connection.response()).text, 'own')
})

test('an idle upstream connection that says something unasked is dropped, and nobody gets that', async (t) => {
  const { connection, upstream } = await gatewayBefore(t, (peer) => {
    if (!peer.pending.endsWith('\r\n\r\n')) return
    peer.take(peer.pending.length)
    const extra = peer.index === 0 ? 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil' : ''
    peer.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${extra}`)
  })
  await connection.write(GET)
  assert.equal((await connection.response()).text, 'ok')
  await connection.write(GET)
  assert.equal((await connection.response()).text, 'ok')
  assert.equal(upstream.connections.length, 2)
  await waitFor(() => upstream.connections[0]?.closed || upstream.connections[0]?.ended, 'the close')
})
