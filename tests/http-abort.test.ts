import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Middleware } from '@cardea/sdk'
import { get, ok } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { fullPort } from './support/full-port.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** A client that goes away takes its exchange with it, in whatever phase that is, and the upstream sees it. */

const silent: UpstreamScript = () => {}

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

type Gateway = Awaited<ReturnType<typeof gatewayWith>>

const isGone = ({ upstream }: Gateway): boolean =>
  upstream.connections.every(({ ended, closed }) => ended || closed)

const atRest = async ({ plane }: Pick<Gateway, 'plane'>): Promise<void> => {
  await waitFor(() => {
    const { connections, exchanges } = plane.counters()
    return connections === 0 && exchanges === 0 && plane.pendingRequests === 0
  }, 'nothing to be left')
}

const WAYS = {
  'sends a FIN': (connection: TestConnection) => connection.socket.end(),
  resets: (connection: TestConnection) => connection.socket.resetAndDestroy(),
  closes: (connection: TestConnection) => connection.socket.destroy(),
} as const

for (const [way, leave] of Object.entries(WAYS)) {
  test(`a client that ${way} while its answer is waited for`, async (t) => {
    const gateway = await gatewayWith(t, silent)
    await gateway.connection.write(get())
    await waitFor(() => gateway.upstream.requests.length === 1, 'the request')
    leave(gateway.connection)
    await waitFor(() => isGone(gateway), 'the upstream to see it')
    await atRest(gateway)
  })

  test(`a client that ${way} in the middle of its answer`, async (t) => {
    const gateway = await gatewayWith(t, (peer) =>
      peer.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe start'),
    )
    await gateway.connection.write(get())
    await gateway.connection.reader.takeThrough('the start')
    leave(gateway.connection)
    await waitFor(() => isGone(gateway), 'the upstream to see it')
    await atRest(gateway)
  })

  test(`a client that ${way} in the middle of its upload`, async (t) => {
    const gateway = await gatewayWith(t, silent)
    await gateway.connection.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nthe start')
    await waitFor(() => gateway.upstream.connections[0]?.received.endsWith('the start'), 'the upload')
    leave(gateway.connection)
    await waitFor(() => isGone(gateway), 'the upstream to see it')
    await atRest(gateway)
    assert.equal(gateway.upstream.requests.length, 0)
  })

  test(`a client that ${way} while it waits in the queue`, async (t) => {
    const gateway = await gatewayWith(t, silent, { upstream: { connectionsMax: 1 } })
    const { connection, upstream, plane, port } = gateway
    await connection.write(get('/busy'))
    await waitFor(() => upstream.requests.length === 1, 'the first request')
    const queued = await TestConnection.open(t, port)
    await queued.write(get('/queued'))
    await waitFor(() => plane.counters().exchanges === 2, 'the second request')
    leave(queued)
    await waitFor(() => plane.counters().exchanges === 1, 'the end of the second exchange')
    upstream.connections[0]?.write(ok())
    assert.equal((await connection.response()).text, 'ok')
    connection.socket.destroy()
    await atRest(gateway)
    assert.equal(upstream.requests.length, 1)
  })
}

test('a client that leaves while the connection is opened', async (t) => {
  const { port, plane } = await startDataPlane(t, { to: `http://127.0.0.1:${await fullPort(t)}` })
  const connection = await TestConnection.open(t, port)
  await connection.write(get())
  await waitFor(() => plane.counters().exchanges === 1, 'the request')
  connection.socket.destroy()
  await atRest({ plane })
})

test('a client that leaves in the middle of its head costs no exchange', async (t) => {
  const gateway = await gatewayWith(t, silent)
  await gateway.connection.write('GET / HTTP/1.1\r\nHo')
  gateway.connection.socket.end()
  assert.equal(await gateway.connection.ended(), 'closed')
  await atRest(gateway)
  assert.equal(gateway.plane.counters().requestsTotal, 0)
  assert.equal(gateway.upstream.connections.length, 0)
})

test('a client that leaves while a hook runs: its signal aborts, and nobody is asked any more', async (t) => {
  let entered = false
  let aborted = false
  const slow: Middleware = {
    name: 'slow',
    async handle(ctx) {
      entered = true
      await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => resolve()))
      aborted = true
      return true
    },
  }
  const gateway = await gatewayWith(t, silent, { plugins: [slow] })
  await gateway.connection.write(get())
  await waitFor(() => entered, 'the hook')
  gateway.connection.socket.destroy()
  await waitFor(() => aborted, 'the signal')
  await atRest(gateway)
  await turn()
  assert.equal(gateway.upstream.connections.length, 0)
})

test('a client that leaves while a hook reads its body: the read rejects', async (t) => {
  let rejected = ''
  const reading: Middleware = {
    name: 'reading',
    async handle(ctx) {
      await ctx.request.bytes().catch((error) => {
        rejected = error.code
      })
      return true
    },
  }
  const gateway = await gatewayWith(t, silent, { plugins: [reading] })
  await gateway.connection.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
  await waitFor(() => gateway.plane.counters().exchanges === 1, 'the request')
  gateway.connection.socket.destroy()
  await waitFor(() => rejected === 'CLIENT_ABORTED', 'the rejection')
  await atRest(gateway)
})

const UPLOAD = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n'
const TO_TUNNEL = get('/', 'Connection: Upgrade\r\nUpgrade: echo\r\n')
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'

/** What a client sends first, and what the upstream answers to it before it reads no more. */
const HELD_BACK = {
  'in an upload': { request: UPLOAD, answer: '' },
  'with requests behind the one at hand': { request: get(), answer: '' },
  'in a tunnel': { request: TO_TUNNEL, answer: SWITCHED },
}

for (const [where, { request, answer }] of Object.entries(HELD_BACK)) {
  test(`a client that resets while it is not read, ${where}: its exchange ends, and no upstream is blamed`, async (t) => {
    const { port: to, peer } = await deafUpstream(t)
    const records: string[] = []
    const recording: Middleware = {
      name: 'recording',
      handle: () => true,
      onFinish: (_ctx, { error, aborted }) => void records.push(`${error} ${aborted}`),
    }
    const { port, plane, logged } = await startDataPlane(t, {
      to: `http://127.0.0.1:${to}`,
      plugins: [recording],
    })
    const { socket, reader } = await TestConnection.open(t, port)
    socket.write(request)
    const upstream = await peer
    upstream.write(answer)
    if (answer !== '') await reader.takeThrough('\r\n\r\n')
    await fill(socket)
    socket.resetAndDestroy()
    await atRest({ plane })
    assert.deepEqual(records, [answer === '' ? 'CLIENT_ABORTED true' : 'null true'])
    assert.deepEqual(logged, [])
  })
}

/** Writes until nobody takes any more; what the kernels hold of it are some megabytes. */
async function fill(socket: Socket): Promise<void> {
  const piece = get().repeat(1_000)
  for (let waits = 0; waits < 100; waits++) {
    if (socket.writableLength === 0) waits = 0
    if (waits === 0) socket.write(piece)
    await turn()
  }
}

/** One connection is accepted, and nothing read from it. */
async function deafUpstream(
  t: TestContext,
): Promise<{ readonly port: number; readonly peer: Promise<Socket> }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const peer = once(server, 'connection').then(([socket]: Socket[]) => {
    assert.ok(socket)
    t.after(() => socket.destroy())
    return socket.on('error', () => {})
  })
  return { port: (server.address() as AddressInfo).port, peer }
}

test('one client that goes away does not disturb others, also on the same upstream', async (t) => {
  const gateway = await gatewayWith(t, silent, { upstream: { connectionsMax: 10 } })
  const clients = await Promise.all(Array.from({ length: 20 }, () => TestConnection.open(t, gateway.port)))
  for (const [index, client] of clients.entries()) await client.write(get(`/${index}`))
  await waitFor(() => gateway.upstream.requests.length === 10, 'as many as there may be')
  for (const client of clients.filter((_, index) => index % 2 === 0)) client.socket.resetAndDestroy()
  const answer = answerEach((request) => ok(request.split(' ')[1] ?? ''))
  const answering = setInterval(() => {
    for (const peer of gateway.upstream.connections) answer(peer)
  }, 5)
  t.after(() => clearInterval(answering))
  for (const [index, client] of clients.entries()) {
    if (index % 2 === 1) assert.equal((await client.response()).text, `/${index}`)
  }
})

test('a client that leaves its answer unread for `timeouts.send` is reset, and so is its upstream', async (t) => {
  const records: { error: string | null; aborted: boolean }[] = []
  const recording: Middleware = {
    name: 'recording',
    handle: () => true,
    onFinish: (_ctx, record) => void records.push(record),
  }
  const gateway = await gatewayWith(
    t,
    (peer) => peer.write(`HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n${'x'.repeat(64_000_000)}`),
    { timeouts: { sendMs: 400 }, plugins: [recording] },
  )
  await gateway.connection.write(get())
  gateway.connection.socket.pause()
  await waitFor(() => isGone(gateway) && gateway.upstream.connections.length === 1, 'the upstream to see it')
  await waitFor(() => records.length === 1, 'the record')
  assert.deepEqual([records[0]?.error, records[0]?.aborted], ['CLIENT_TOO_SLOW', false])
  gateway.connection.socket.resume()
  assert.equal(await gateway.connection.reader.end(), 'reset')
})
