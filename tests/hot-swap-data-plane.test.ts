import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { get, ok, post, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, type PluginSpec, respond, startDataPlane } from './support/data-plane.ts'
import { allRetired, assertOneEach, type Seen, serve, versionsOf, witness } from './support/hot-swap.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * Generations that follow one another in one worker while sockets are in every state that they can be in: no exchange
 * sees two of them, none is cut, and what a generation held is let go when its last exchange has ended.
 */

// Where the swap finds a connection.

test('a swap between the bytes of a head: the request runs on the generation that is live at its end', async (t) => {
  const request = get('/split', 'X-Long: field\r\n')
  const served = await serve(t)
  for (let at = 1; at < request.length; at += 7) {
    const connection = await served.open()
    await connection.write(request.slice(0, at))
    // The first bytes are there before the swap, the last after it.
    const connections = served.plane.counters().connections
    await waitFor(() => served.plane.counters().connections >= connections, 'the bytes')
    await turn()
    const version = served.next()
    await connection.write(request.slice(at))
    assert.equal(versionsOf(await connection.response()), `v${version}`)
    connection.socket.destroy()
  }
  assertOneEach(served.seen)
})

test('swaps between pipelined requests: each runs on one generation, in order, and none is lost', async (t) => {
  const waiting: (() => void)[] = []
  const served = await serve(t, (connection) => {
    answerEach((request) => {
      waiting.push(() => connection.write(ok(/\/(\d+)/.exec(request)?.[1] ?? '')))
      return null
    })(connection)
  })
  const connection = await served.open()
  const targets = Array.from({ length: 10 }, (_, index) => `/${index}`)
  await connection.write(targets.map((target) => get(target)).join(''))
  for (const [index] of targets.entries()) {
    await waitFor(() => waiting.length === index + 1, `request ${index} to reach the upstream`)
    // Those behind it wait in the gateway, and have no generation yet.
    const version = served.next()
    waiting[index]?.()
    const response = await connection.response()
    assert.deepEqual([response.text, versionsOf(response)], [String(index), `v${version - 1}`])
  }
  assertOneEach(served.seen)
  await allRetired(served, 11)
})

for (const [how, lines, write] of [
  ['with a length', 'Content-Length: 9\r\n', (piece: string) => piece],
  ['in chunks', 'Transfer-Encoding: chunked\r\n', (piece: string) => `${piece.length}\r\n${piece}\r\n`],
] as const) {
  test(`swaps in the middle of an upload ${how}: its generation stays until the response has left`, async (t) => {
    const served = await serve(
      t,
      answerEach(() => ok('done')),
    )
    const connection = await served.open()
    await connection.write(`POST /upload HTTP/1.1\r\nHost: app.test\r\n${lines}\r\n`)
    for (const piece of ['abc', 'def', 'gh']) {
      await connection.write(write(piece))
      await waitFor(() => served.upstream.connections[0]?.received.includes(piece), 'the piece to pass')
      served.next()
      assert.ok(!served.stopped.includes('v1'))
    }
    await connection.write(write('i') + (how === 'in chunks' ? '0\r\n\r\n' : ''))
    const response = await connection.response()
    assert.deepEqual([response.text, versionsOf(response)], ['done', 'v1'])
    await connection.write(get())
    assert.equal(versionsOf(await connection.response()), 'v4')
    assertOneEach(served.seen)
    await allRetired(served, 4)
  })
}

test('a swap while a plugin gathers a body: the plugin of the old generation gets all of it', async (t) => {
  const read: string[] = []
  const reader: PluginSpec = {
    key: 'reader',
    middleware: {
      name: 'reader',
      async handle(ctx) {
        read.push(await ctx.request.text())
        return true
      },
    },
  }
  const upstream = await RecordingUpstream.start()
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, plugins: [reader] })
  const connection = await TestConnection.open(t, gateway.port)
  const request = post('123456789')
  await connection.write(request.slice(0, -4))
  await waitFor(() => gateway.plane.counters().exchanges === 1, 'the exchange')
  gateway.swap({ to: upstream.url })
  await connection.write(request.slice(-4))
  assert.equal((await connection.response()).text, 'ok')
  assert.deepEqual(read, ['123456789'])
  await waitFor(() => gateway.stopped.includes('reader'), 'the plugin to be stopped')
})

test('swaps in the middle of a response: streams go on, and their generations live as long as they do', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
  const served = await serve(
    t,
    answerEach(() => head),
  )
  const streams: TestConnection[] = []
  for (let version = 1; version <= 5; version++) {
    const connection = await served.open()
    await connection.write(get('/events'))
    await connection.reader.takeThrough(`x-answered-by: v${version}\r\n`)
    await connection.reader.takeThrough('\r\n\r\n')
    streams.push(connection)
    served.next()
  }
  assert.deepEqual(
    served.plane.census().generations.map(({ number, exchanges }) => [number, exchanges]),
    [
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [5, 1],
      [6, 0],
    ],
  )
  assert.deepEqual(served.stopped, [])
  for (const [index, connection] of streams.entries()) {
    const peer = served.upstream.connections[index]
    peer?.write('5\r\nevent\r\n')
    await connection.reader.takeThrough('5\r\nevent\r\n')
  }
  // The newest ends first: generations end in whatever order their exchanges do.
  for (const index of [4, 0, 2, 1, 3]) {
    served.upstream.connections[index]?.write('0\r\n\r\n')
    await streams[index]?.reader.takeThrough('0\r\n\r\n')
    await waitFor(() => served.stopped.includes(`v${index + 1}`), `v${index + 1} to be stopped`)
  }
  assert.deepEqual(served.stopped, ['v5', 'v1', 'v3', 'v2', 'v4'])
  assertOneEach(served.seen)
})

test('a keep-alive connection goes over to the new generation with its next request', async (t) => {
  const served = await serve(t)
  const connection = await served.open()
  for (let round = 0; round < 20; round++) {
    await connection.write(get())
    assert.equal(versionsOf(await connection.response()), `v${round + 1}`)
    served.next()
  }
  await allRetired(served, 21)
  assert.equal(served.upstream.connections.length, 1, 'the upstream connection is kept through all of them')
})

test('a route that is gone answers 404 from the swap on, one that came is there', async (t) => {
  const served = await startDataPlane(t, { routes: [{ paths: ['/old'], action: respond(200, 'old') }] })
  const connection = await TestConnection.open(t, served.port)
  const text = async (target: string) => {
    await connection.write(get(target))
    const response = await connection.response()
    return response.status === 200 ? response.text : problemOf(response).code
  }
  assert.deepEqual([await text('/old'), await text('/new')], ['old', 'ROUTE_NOT_FOUND'])
  served.swap({ routes: [{ paths: ['/new'], action: respond(200, 'new') }] })
  assert.deepEqual([await text('/old'), await text('/new')], ['ROUTE_NOT_FOUND', 'new'])
})

// WebSockets.

async function webSocketServer(t: TestContext): Promise<{ server: WebSocketServer; url: string }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  await once(server, 'listening')
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('50 WebSockets live through 40 swaps, half of them opened in between', async (t) => {
  const { url } = await webSocketServer(t)
  const seen: Seen = new Map()
  let version = 1
  const spec = (): DataPlaneSpec => ({ to: url, plugins: [witness(version, seen)] })
  const gateway = await startDataPlane(t, spec())
  const sockets: WebSocket[] = []
  const open = async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat`)
    t.after(() => socket.terminate())
    await once(socket, 'open')
    sockets.push(socket)
  }
  const echo = async (socket: WebSocket, text: string) => {
    socket.send(text)
    assert.equal(String((await once(socket, 'message'))[0]), text)
  }
  for (let i = 0; i < 25; i++) await open()
  for (let swap = 0; swap < 40; swap++) {
    version++
    gateway.swap(spec())
    if (swap < 25) await open()
    for (let i = swap % 10; i < sockets.length; i += 10) {
      const socket = sockets[i]
      if (socket !== undefined) await echo(socket, `${swap} ${i}`)
    }
  }
  assert.deepEqual(gateway.stopped.toSorted(), Array.from({ length: 14 }, (_, i) => `v${i + 27}`).toSorted())
  assert.equal(gateway.plane.counters().exchanges, 50)
  await Promise.all(sockets.map((socket, i) => echo(socket, `last ${i}`)))
  for (const socket of sockets) socket.close()
  await allRetired(gateway, 41)
  assertOneEach(seen)
})
