import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { type TurnWriter, TurnWrites } from '../packages/gateway/src/data-plane/turn-writes.ts'
import { get, ok, post } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { steadyClients } from './support/steady-clients.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** What is sent while a worker is so busy that small writes wait for the end of the turn (turn-writes.ts). */

const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

async function gatewayBefore(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port, plane } = await startDataPlane(t, { to: upstream.url, ...spec })
  return { port, plane, upstream }
}

/** From the first sweep on all small writes wait, however little there is to do. */
async function busyGateway(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const { promise, resolve } = Promise.withResolvers<void>()
  t.mock.method(TurnWrites.prototype, 'sweep', function (this: TurnWrites) {
    this.isGathering = true
    resolve()
  })
  const { port, plane, upstream } = await gatewayBefore(t, script, spec)
  await promise
  return { plane, upstream, client: await TestConnection.open(t, port) }
}

test('the writes to clients and upstreams are gathered once there is much to do', async (t) => {
  const writers = new Set<TurnWriter>()
  const add = TurnWrites.prototype.add
  t.mock.method(TurnWrites.prototype, 'add', function (this: TurnWrites, writer: TurnWriter) {
    writers.add(writer)
    add.call(this, writer)
  })
  const { port } = await gatewayBefore(t, answerEach(ok()))
  const clients = steadyClients(t, port, 32)
  await waitFor(() => writers.size > 32, 'more connections than the clients have')
  await clients.stop()
  assert.deepEqual(clients.faults, [])
})

test('what is answered in one turn leaves in order, and FIN after it', async (t) => {
  const echo: Middleware = {
    name: 'echo',
    handle: ({ request, response }) => response.send(request.path),
  }
  // The connection would be closed without FIN at the end of that time.
  const { client } = await busyGateway(t, answerEach(ok()), {
    plugins: [echo],
    timeouts: { lingerMs: 120_000 },
  })
  await client.write(get('/a') + get('/b') + get('/c', 'Connection: close\r\n') + get('/never'))
  for (const path of ['/a', '/b', '/c']) assert.equal((await client.response()).text, path)
  assert.equal(await client.ended(), 'closed')
})

test('a last answer leaves whole before its connection closes', async (t) => {
  const { client, plane } = await busyGateway(t, answerEach(ok()), { timeouts: { lingerMs: 120_000 } })
  await client.write(get('/a') + get('/b', 'Connection: close\r\n'))
  assert.deepEqual([(await client.response()).text, (await client.response()).text], ['ok', 'ok'])
  assert.equal(await client.ended(), 'closed')
  await waitFor(
    () => plane.counters().connections === 0,
    'the end of the connection, of which we keep our side',
  )
})

test('a client that waits for 100 gets it, and the answer after it', async (t) => {
  const { client } = await busyGateway(t, (peer) => {
    if (peer.pending.endsWith('\r\n\r\n')) {
      peer.take(peer.pending.length)
      peer.write(CONTINUE)
    } else if (peer.pending !== '') peer.write(ok(peer.take(peer.pending.length)))
  })
  await client.write(post('', '/', 'Expect: 100-continue\r\n').replace('Length: 0', 'Length: 7'))
  assert.equal((await client.response({ interim: true })).status, 100)
  await client.write('content')
  assert.equal((await client.response()).text, 'content')
})

test('a tunnel passes on each message, and ends on both sides after the last', async (t) => {
  const { client } = await busyGateway(t, (peer) => {
    if (peer.pending.startsWith('GET ')) {
      peer.take(peer.pending.length)
      peer.write(SWITCHED)
    } else if (peer.pending !== '') peer.write(peer.take(peer.pending.length))
    if (peer.ended) peer.end('bye')
  })
  await client.request('GET', '/', ['Connection: Upgrade', 'Upgrade: echo'])
  assert.equal((await client.response()).status, 101)
  for (const message of ['first', 'second']) {
    await client.write(message)
    assert.equal(String(await client.reader.take(message.length)), message)
  }
  client.socket.end('last')
  assert.equal(String(await client.reader.takeRest()), 'lastbye')
})

test('a response until close comes whole, byte for byte as its pieces', async (t) => {
  const pieces = ['one ', 'two ', 'three']
  const { client } = await busyGateway(t, (peer) => {
    peer.write('HTTP/1.1 200 OK\r\n\r\n')
    for (const piece of pieces) peer.write(piece)
    peer.end()
  })
  await client.write('GET / HTTP/1.0\r\n\r\n')
  const response = await client.response()
  assert.deepEqual([response.framing, response.text], ['close', pieces.join('')])
})

test('a request on an idle connection that the upstream has given up is sent again', async (t) => {
  let requests = 0
  const { client, upstream } = await busyGateway(t, (peer) => {
    if (peer.pending === '') return
    peer.take(peer.pending.length)
    if (++requests === 2) peer.reset()
    else peer.write(ok())
  })
  for (const _ of ['on a new connection', 'on the same, in vain']) {
    await client.request('GET', '/')
    assert.equal((await client.response()).status, 200)
  }
  assert.equal(upstream.connections.length, 2)
})
