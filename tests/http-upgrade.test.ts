import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { WebSocket, WebSocketServer } from 'ws'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Upgrades: an exchange through the chain, then bytes both ways as they are (RFC 9110, 7.8). */

const UPGRADE = 'GET /chat HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

/** Switches, then sends back what it gets; ends when the peer ends. */
const echo: UpstreamScript = (peer) => {
  if (!peer.received.includes('\r\n\r\n')) return
  if (peer.pending.startsWith('GET ')) {
    peer.take(peer.received.indexOf('\r\n\r\n') + 4)
    peer.write(SWITCHED)
  }
  if (peer.pending !== '') peer.write(peer.take(peer.pending.length))
  if (peer.ended) peer.end()
}

async function webSocketServer(t: TestContext): Promise<{ server: WebSocketServer; url: string }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  await once(server, 'listening')
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const passing: Middleware = { name: 'passing', handle: () => true }
const asynchronous: Middleware = {
  name: 'asynchronous',
  handle: async () => true,
  onResponse: async () => new Promise((resolve) => setImmediate(resolve)),
}

// Refusals.

test('a plugin refuses an upgrade with 401, and the upstream never hears of it', async (t) => {
  const { server, url } = await webSocketServer(t)
  const guard: Middleware = {
    name: 'guard',
    handle: (ctx) =>
      ctx.request.headers.get('authorization') === 'Bearer yes' ||
      ctx.response.json({ error: 'who are you?' }, { status: 401 }),
  }
  const { port } = await startDataPlane(t, { to: url, plugins: [guard] })
  let connections = 0
  server.on('connection', () => connections++)
  const refused = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [, response] = await once(refused, 'unexpected-response')
  assert.equal(response.statusCode, 401)
  response.destroy()
  const welcome = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { authorization: 'Bearer yes' } })
  await once(welcome, 'open')
  assert.equal(connections, 1)
  welcome.terminate()
})

test('an upstream that refuses the upgrade gives an ordinary answer, and the connection lives on', async (t) => {
  const { connection } = await gatewayWith(
    t,
    answerEach('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  )
  for (let round = 0; round < 2; round++) {
    await connection.write(UPGRADE)
    const answer = await connection.response()
    assert.deepEqual([answer.status, answer.text], [403, 'no'])
  }
})

for (const [what, answer] of Object.entries({
  'to a request without Upgrade': SWITCHED,
  'without saying to what': 'HTTP/1.1 101 Switching Protocols\r\n\r\n',
})) {
  test(`a 101 ${what} becomes 502`, async (t) => {
    const { connection } = await gatewayWith(t, answerEach(answer))
    const asks = what === 'without saying to what'
    await connection.write(asks ? UPGRADE : 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
    const response = await connection.response()
    assert.deepEqual([response.status, JSON.parse(response.text).code], [502, 'UPSTREAM_RESPONSE_INVALID'])
  })
}

test('h2c is never offered to the upstream', async (t) => {
  const { connection, upstream } = await gatewayWith(
    t,
    answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  )
  await connection.request('GET', '/', [
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
  ])
  assert.equal((await connection.response()).status, 200)
  assert.doesNotMatch(upstream.requests.join(), /upgrade|http2/i)
})

// WebSocket.

for (const [how, plugins] of Object.entries({
  'no plugin': [],
  'a synchronous plugin': [passing],
  'an asynchronous plugin': [asynchronous, passing],
})) {
  test(`WebSocket messages pass both ways through ${how}`, async (t) => {
    const { server, url } = await webSocketServer(t)
    // Speaks first: its message may come in one segment with the 101.
    server.on('connection', (socket, request) => {
      socket.send(`hello ${request.url}`)
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    })
    const { port, plane } = await startDataPlane(t, { to: url, plugins })
    const client = new WebSocket(`ws://127.0.0.1:${port}/room?n=1`, { perMessageDeflate: false })
    const [hello] = await once(client, 'message')
    assert.equal(String(hello), 'hello /room?n=1')
    for (const size of [0, 1, 125, 126, 65_536, 1_000_000]) {
      const message = randomBytes(size)
      client.send(message)
      const [echoed] = await once(client, 'message')
      assert.ok(message.equals(echoed as Buffer), `${size} bytes`)
    }
    client.close(4000, 'done')
    const [code, reason] = await once(client, 'close')
    assert.deepEqual([code, String(reason)], [4000, 'done'])
    await waitFor(() => plane.counters().exchanges === 0, 'the end of the exchange')
  })
}

test('a plugin sees the headers of the upgrade, and its edits reach both sides', async (t) => {
  const { server, url } = await webSocketServer(t)
  let seen = ''
  const tagging: Middleware = {
    name: 'tagging',
    handle(ctx) {
      seen = ctx.request.headers.get('sec-websocket-version') ?? ''
      ctx.request.headers.set('x-user', 'ada')
      ctx.response.headers.set('x-tag', 'mine')
      return true
    },
  }
  let user: unknown
  server.on('connection', (_socket, request) => {
    user = request.headers['x-user']
  })
  const { port } = await startDataPlane(t, { to: url, plugins: [tagging] })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [[response]] = await Promise.all([once(client, 'upgrade'), once(client, 'open')])
  assert.deepEqual([seen, user, response.headers['x-tag']], ['13', 'ada', 'mine'])
  client.terminate()
})

// Raw bytes.

test('bytes that come with the 101 never overtake it, even while hooks run', async (t) => {
  const { connection } = await gatewayWith(
    t,
    (peer) => {
      if (peer.pending === UPGRADE || peer.take(peer.pending.length) === '') return
      peer.write(`${SWITCHED}early bytes`)
    },
    { plugins: [asynchronous] },
  )
  await connection.write(UPGRADE)
  assert.equal((await connection.response()).status, 101)
  assert.equal(String(await connection.reader.take(11)), 'early bytes')
})

for (const status of [101, 200]) {
  test(`a plugin that reads the body of a 101 reads nothing of the tunnel, and makes it a ${status}`, async (t) => {
    const read: string[] = []
    const reader: Middleware = {
      name: 'reader',
      handle: () => true,
      async onResponse(ctx) {
        if (status !== 101) ctx.response.status = status
        read.push(await ctx.response.text())
        await new Promise((resolve) => setImmediate(resolve))
      },
    }
    const { connection } = await gatewayWith(
      t,
      (peer) => {
        if (peer.take(peer.pending.length).startsWith('GET ')) peer.write(`${SWITCHED}hello`)
      },
      { plugins: [reader] },
    )
    await connection.write(UPGRADE)
    const answer = await connection.response()
    assert.deepEqual([answer.status, answer.text, read], [status, '', ['']])
    if (status === 101) assert.equal((await connection.reader.take(5)).toString('latin1'), 'hello')
  })
}

test('bytes that the client sends with its request wait for the 101', async (t) => {
  const { connection, upstream } = await gatewayWith(t, () => {}, { plugins: [asynchronous] })
  await connection.write(`${UPGRADE}too early?`)
  await waitFor(() => upstream.requests.length === 1, 'the request')
  assert.doesNotMatch(upstream.connections[0]?.received ?? '', /too early/)
  upstream.connections[0]?.write(SWITCHED)
  assert.equal((await connection.response()).status, 101)
  await waitFor(() => upstream.connections[0]?.received.endsWith('\r\n\r\ntoo early?'), 'the bytes')
})

test('a tunnel can be closed in one direction and goes on in the other', async (t) => {
  const { connection, upstream, plane } = await gatewayWith(t, (peer) => {
    if (peer.take(peer.pending.length).startsWith('GET ')) peer.write(SWITCHED)
  })
  await connection.write(UPGRADE)
  await connection.response()
  const peer = upstream.connections[0]
  connection.socket.end('last words')
  await waitFor(() => peer?.ended, 'the FIN')
  assert.ok(peer?.received.endsWith('last words'))
  peer?.write('still here')
  assert.equal(String(await connection.reader.take(10)), 'still here')
  peer?.end('bye')
  assert.equal(String(await connection.reader.takeRest()), 'bye')
  await waitFor(() => plane.counters().connections === 0 && plane.counters().exchanges === 0, 'the end')
})

test('a FIN of the upstream closes its direction only', async (t) => {
  const { connection, upstream, plane } = await gatewayWith(t, (peer) => {
    if (peer.pending.startsWith('GET ') && peer.take(peer.pending.length) !== '') peer.end(`${SWITCHED}bye`)
  })
  await connection.write(UPGRADE)
  await connection.response()
  assert.equal(String(await connection.reader.takeRest()), 'bye')
  await connection.write('to the end')
  await waitFor(() => upstream.connections[0]?.received.endsWith('to the end'), 'the bytes')
  connection.socket.end()
  await waitFor(() => plane.counters().connections === 0 && plane.counters().exchanges === 0, 'the end')
})

for (const side of ['client', 'upstream'] as const) {
  test(`when the ${side} resets a tunnel the other side sees the end, though it goes on writing`, async (t) => {
    const { connection, upstream, plane } = await gatewayWith(t, echo)
    await connection.write(`${UPGRADE}ping`)
    await connection.response()
    await connection.reader.take(4)
    const peer = upstream.connections[0]
    if (side === 'upstream') {
      peer?.reset()
      await connection.reader.end()
      await connection.write('anybody?')
    } else {
      connection.socket.resetAndDestroy()
      await waitFor(() => peer?.ended || peer?.closed, 'the upstream to see it')
    }
    // The client that still writes is listened to for linger time at most.
    connection.socket.destroy()
    await waitFor(() => plane.counters().connections === 0 && plane.counters().exchanges === 0, 'the end')
  })
}

test('a client that never closes cannot keep a tunnel whose upstream is gone', async (t) => {
  const { connection, upstream, plane } = await gatewayWith(t, echo, { timeouts: { lingerMs: 200 } })
  await connection.write(`${UPGRADE}ping`)
  await connection.response()
  await connection.reader.take(4)
  upstream.connections[0]?.reset()
  await connection.reader.end()
  await waitFor(async () => {
    await connection.write('x')
    return plane.counters().connections === 0
  }, 'the gateway to close')
})

test('a tunnel without a byte either way ends after `timeouts.tunnel_idle`', async (t) => {
  const { connection, upstream } = await gatewayWith(t, echo, { timeouts: { tunnelIdleMs: 400 } })
  await connection.write(UPGRADE)
  await connection.response()
  // Traffic keeps it alive beyond the limit.
  const start = performance.now()
  while (performance.now() - start < 800) {
    await connection.write('x')
    await connection.reader.take(1)
  }
  await connection.reader.end()
  await waitFor(
    () => upstream.connections[0]?.ended || upstream.connections[0]?.closed,
    'the upstream to see it',
  )
})

test('tunnels that are reset or fall silent take no target out of rotation', async (t) => {
  const other = await RecordingUpstream.start(answerEach('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  t.after(() => other[Symbol.asyncDispose]())
  const upstream = await RecordingUpstream.start(echo)
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port, plane } = await startDataPlane(t, {
    to: [upstream.url, other.url],
    timeouts: { tunnelIdleMs: 300 },
    upstream: { ejectAfterFailures: 2, ejectMs: 60_000 },
  })
  const ask = async (): Promise<{ connection: TestConnection; status: number }> => {
    const connection = await TestConnection.open(t, port)
    await connection.write(UPGRADE)
    return { connection, status: (await connection.response()).status }
  }
  const asked = [await ask(), await ask(), await ask(), await ask(), await ask(), await ask()]
  const tunnels = asked.filter(({ status }) => status === 101).map(({ connection }) => connection)
  assert.equal(tunnels.length, 3)
  // One is reset, the others end in silence.
  upstream.connections[0]?.reset()
  await Promise.all(tunnels.map((tunnel) => tunnel.reader.end()))
  for (const { connection } of asked) connection.socket.destroy()
  await waitFor(() => plane.counters().exchanges === 0, 'the end of all')
  assert.deepEqual([(await ask()).status, (await ask()).status].sort(), [101, 200])
})

// Backpressure.

/** Writes until the socket has taken nothing for a while, at most `bytesMax`; returns how much it took. */
async function pour(
  write: (piece: Buffer) => boolean,
  pending: () => number,
  bytesMax: number,
): Promise<number> {
  const piece = Buffer.alloc(64 * 1024)
  let poured = 0
  for (let stuck = 0; poured < bytesMax && stuck < 20; ) {
    if (pending() === 0) {
      write(piece)
      poured += piece.length
      stuck = 0
    } else stuck++
    await new Promise((resolve) => setTimeout(resolve, stuck === 0 ? 0 : 10))
  }
  return poured
}

test('a slow side of a tunnel holds the other back: bytes in flight stay bounded, and all arrive', async (t) => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const to = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { port } = await startDataPlane(t, { to, plugins: [passing] })
  const connection = await TestConnection.open(t, port)
  const accepted = once(server, 'connection')
  await connection.write(UPGRADE)
  const [peer] = await accepted
  t.after(() => peer.destroy())
  await once(peer, 'data')
  peer.write(SWITCHED)
  await connection.response()
  const bytesMax = 64 * 1024 * 1024
  peer.pause()
  const up = await pour(
    (piece) => connection.socket.write(piece),
    () => connection.socket.writableLength,
    bytesMax,
  )
  assert.ok(up < bytesMax / 2, `${up} bytes to a peer that does not read`)
  connection.socket.pause()
  const down = await pour(
    (piece) => peer.write(piece),
    () => peer.writableLength,
    bytesMax,
  )
  assert.ok(down < bytesMax / 2, `${down} bytes to a client that does not read`)
  let received = 0
  peer.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  peer.resume()
  await waitFor(() => received === up, 'all bytes to arrive upstream')
  await connection.reader.take(down)
})
