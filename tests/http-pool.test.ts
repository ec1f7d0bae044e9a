import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { get, ok, post, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { DEAD_PORTS } from './support/free-port.ts'
import { fullPort } from './support/full-port.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** The connections to an upstream: how many there are, how long they live, who waits for one, who is chosen. */

async function upstreamWith(t: TestContext, script: UpstreamScript): Promise<RecordingUpstream> {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  return upstream
}

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec['upstream'] = {}) {
  const upstream = await upstreamWith(t, script)
  const gateway = await startDataPlane(t, { to: upstream.url, upstream: spec })
  const open = () => TestConnection.open(t, gateway.port)
  return { ...gateway, upstream, open, connection: await open() }
}

const silent: UpstreamScript = () => {}

/** Asks once and returns the answer's text, or the code of its problem. */
async function ask(connection: TestConnection, request = get()): Promise<string> {
  await connection.write(request)
  const answer = await connection.response()
  return answer.status === 200 ? answer.text : problemOf(answer).code
}

// Who waits.

test('when all connections are busy and the queue is full, a request gets 503 at once', async (t) => {
  const { connection, upstream, open, plane } = await gatewayWith(t, silent, {
    connectionsMax: 1,
    queueMax: 1,
  })
  await connection.write(get('/busy'))
  await waitFor(() => upstream.requests.length === 1, 'the first request')
  const queued = await open()
  await queued.write(get('/queued'))
  await waitFor(() => plane.counters().exchanges === 2, 'the second request')
  assert.equal(await ask(await open(), get('/refused')), 'UPSTREAM_QUEUE_FULL')
  upstream.connections[0]?.write(ok('first'))
  assert.equal((await connection.response()).text, 'first')
  await waitFor(() => upstream.requests.length === 2, 'the queued request')
  upstream.connections[0]?.write(ok('second'))
  assert.equal((await queued.response()).text, 'second')
  assert.equal(upstream.connections.length, 1)
})

test('a request that waits longer than the queue allows gets 503 with Retry-After', async (t) => {
  const { connection, upstream, open } = await gatewayWith(t, silent, {
    connectionsMax: 1,
    queueTimeoutMs: 200,
  })
  await connection.write(get('/busy'))
  await waitFor(() => upstream.requests.length === 1, 'the first request')
  const queued = await open()
  await queued.write(get('/queued'))
  const answer = await queued.response()
  assert.deepEqual([problemOf(answer).code, answer.status], ['UPSTREAM_QUEUE_TIMEOUT', 503])
  assert.equal(answer.field('retry-after'), '1')
  upstream.connections[0]?.write(ok())
  assert.equal((await connection.response()).text, 'ok')
})

test('those who wait are served in order, on no more connections than allowed', async (t) => {
  const { upstream, open } = await gatewayWith(t, answerEach(ok()), { connectionsMax: 3 })
  const clients = await Promise.all(Array.from({ length: 40 }, open))
  const answers = await Promise.all(clients.map((client) => ask(client)))
  assert.deepEqual(new Set(answers), new Set(['ok']))
  assert.ok(upstream.connections.length <= 3, `${upstream.connections.length} connections`)
})

test('a place that a closed connection leaves goes to whoever waits', async (t) => {
  const { upstream, open } = await gatewayWith(t, answerEach(ok('ok', 'Connection: close\r\n')), {
    connectionsMax: 1,
  })
  const clients = await Promise.all(Array.from({ length: 5 }, open))
  const answers = await Promise.all(clients.map((client) => ask(client)))
  assert.deepEqual(answers, ['ok', 'ok', 'ok', 'ok', 'ok'])
  assert.equal(upstream.connections.length, 5)
})

test('a client that leaves the queue leaves its place to others', async (t) => {
  const { connection, upstream, open, plane } = await gatewayWith(t, silent, {
    connectionsMax: 1,
    queueMax: 1,
  })
  await connection.write(get('/busy'))
  await waitFor(() => upstream.requests.length === 1, 'the first request')
  const leaver = await open()
  await leaver.write(get('/leaver'))
  await waitFor(() => plane.counters().exchanges === 2, 'the second request')
  leaver.socket.destroy()
  await waitFor(() => plane.counters().exchanges === 1, 'it to be gone')
  const next = await open()
  await next.write(get('/next'))
  await waitFor(() => plane.counters().exchanges === 2, 'the next request')
  upstream.connections[0]?.write(ok('first'))
  assert.equal((await connection.response()).text, 'first')
  await waitFor(() => upstream.requests.length === 2, 'the next request')
  assert.match(upstream.requests[1] ?? '', /^GET \/next /)
})

test('who waits for a target goes to another when it is ejected', async (t) => {
  const other = await upstreamWith(t, answerEach(ok('other')))
  const { port } = await startDataPlane(t, {
    to: [`http://127.0.0.1:${await fullPort(t)}`, other.url],
    // One after the other, the first target's half would wait twice as long as the queue lets it.
    upstream: { connectionsMax: 1, ejectAfterFailures: 1, connectTimeoutMs: 200, queueTimeoutMs: 2_000 },
  })
  const clients = await Promise.all(Array.from({ length: 40 }, () => TestConnection.open(t, port)))
  const answers = await Promise.all(clients.map((client) => ask(client)))
  assert.deepEqual(new Set(answers), new Set(['other']))
})

test('who finds the queue of one target full goes to another', async (t) => {
  const busy = await upstreamWith(t, silent)
  const other = await upstreamWith(t, answerEach(ok('other')))
  const { port } = await startDataPlane(t, {
    to: [busy.url, other.url],
    upstream: { connectionsMax: 1, queueMax: 0 },
  })
  const held = await TestConnection.open(t, port)
  await held.write(get('/held'))
  await waitFor(() => busy.requests.length === 1, 'the first request')
  const client = await TestConnection.open(t, port)
  for (let count = 0; count < 4; count++) assert.equal(await ask(client), 'other')
})

// How long connections live.

test('an idle connection is closed after `keep_alive`', async (t) => {
  const { connection, upstream } = await gatewayWith(t, answerEach(ok()), { keepAliveMs: 300 })
  assert.equal(await ask(connection), 'ok')
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the close')
  assert.equal(await ask(connection), 'ok')
  assert.equal(upstream.connections.length, 2)
})

test('with `keep_alive: 0` no connection is kept', async (t) => {
  const { connection, upstream } = await gatewayWith(t, answerEach(ok()), { keepAliveMs: 0 })
  for (let round = 1; round <= 3; round++) {
    assert.equal(await ask(connection), 'ok')
    assert.equal(upstream.connections.length, round)
  }
})

test('no more idle connections are kept than `idle_connections_max`', async (t) => {
  const { upstream, open } = await gatewayWith(t, silent, { idleConnectionsMax: 2 })
  const clients = await Promise.all(Array.from({ length: 5 }, open))
  await Promise.all(clients.map((client) => client.write(get())))
  await waitFor(() => upstream.requests.length === 5, 'all requests')
  for (const peer of upstream.connections) peer.write(ok())
  for (const client of clients) assert.equal((await client.response()).text, 'ok')
  const gone = () => upstream.connections.filter(({ ended, closed }) => ended || closed).length
  await waitFor(() => gone() === 3, 'three to close')
})

test('a connection that the upstream closes while it is idle is not used again', async (t) => {
  const { connection, upstream } = await gatewayWith(
    t,
    answerEach((_request, index) => ok(`${index}`)),
  )
  assert.equal(await ask(connection), '0')
  upstream.connections[0]?.end()
  await waitFor(() => upstream.connections[0]?.closed, 'the gateway to close, too')
  assert.equal(await ask(connection, post('body')), '1')
  assert.equal(upstream.connections.length, 2)
})

// Who is chosen.

test('targets take turns', async (t) => {
  const targets = await Promise.all(['a', 'b', 'c'].map((name) => upstreamWith(t, answerEach(ok(name)))))
  const { port } = await startDataPlane(t, { to: targets.map(({ url }) => url) })
  const connection = await TestConnection.open(t, port)
  let order = ''
  for (let round = 0; round < 7; round++) order += await ask(connection)
  assert.equal(order, 'abcabca')
})

test('a target that refuses connections is passed over, also for a POST with a body', async (t) => {
  const target = await upstreamWith(t, answerEach(ok()))
  const dead = `http://127.0.0.1:${DEAD_PORTS[0]}`
  const { port, logged } = await startDataPlane(t, { to: [dead, target.url] })
  const connection = await TestConnection.open(t, port)
  for (let round = 0; round < 4; round++) {
    assert.equal(await ask(connection, post('body '.repeat(1_000))), 'ok')
  }
  assert.equal(target.requests.length, 4)
  assert.deepEqual(logged, [])
})

test('when every target refuses, each was tried once, and the answer is 502', async (t) => {
  const dead = DEAD_PORTS.map((port) => `http://127.0.0.1:${port}`)
  const { port, logged } = await startDataPlane(t, { to: [...dead, dead[0] ?? ''] })
  const connection = await TestConnection.open(t, port)
  assert.equal(await ask(connection), 'UPSTREAM_CONNECT_FAILED')
  assert.deepEqual(
    logged.map(({ fields }) => fields.code),
    ['UPSTREAM_CONNECT_FAILED'],
  )
})

// How often a request is tried.

test('a request tries no more connections than `tries.max`', async (t) => {
  const target = await upstreamWith(t, answerEach(ok()))
  const dead = DEAD_PORTS.map((port) => `http://127.0.0.1:${port}`)
  const answerBy = async (triesMax: number): Promise<string> => {
    const { port } = await startDataPlane(t, { to: [...dead, target.url], upstream: { triesMax } })
    return ask(await TestConnection.open(t, port))
  }
  assert.equal(await answerBy(dead.length), 'UPSTREAM_CONNECT_FAILED')
  assert.equal(target.connections.length, 0)
  assert.equal(await answerBy(dead.length + 1), 'ok')
})

test('no try starts later than `tries.timeout` after the first', async (t) => {
  const target = await upstreamWith(t, answerEach(ok()))
  const full = `http://127.0.0.1:${await fullPort(t)}`
  const answerBy = async (triesTimeoutMs: number): Promise<string> => {
    const upstream = { triesTimeoutMs, connectTimeoutMs: 200 }
    const { port } = await startDataPlane(t, { to: [full, target.url], upstream })
    return ask(await TestConnection.open(t, port))
  }
  assert.equal(await answerBy(1), 'UPSTREAM_CONNECT_TIMEOUT')
  assert.equal(target.connections.length, 0)
  assert.equal(await answerBy(60_000), 'ok')
})

test('a request that an idle connection lost is sent again if it may be tried twice', async (t) => {
  const resetsSecond: UpstreamScript = (peer) => {
    if (!peer.pending.endsWith('\r\n\r\n')) return
    const isSecond = /^GET \/second /.test(peer.take(peer.pending.length))
    if (peer.index === 0 && isSecond) peer.reset()
    else peer.write(ok())
  }
  for (const [triesMax, answer] of [
    [1, 'UPSTREAM_CLOSED'],
    [2, 'ok'],
  ] as const) {
    const { connection } = await gatewayWith(t, resetsSecond, { triesMax })
    assert.equal(await ask(connection, get('/first')), 'ok')
    assert.equal(await ask(connection, get('/second')), answer)
  }
})

test('targets whose queue is full are no tries', async (t) => {
  const busy = await Promise.all(Array.from({ length: 3 }, () => upstreamWith(t, silent)))
  const free = await upstreamWith(t, answerEach(ok('free')))
  const { port } = await startDataPlane(t, {
    to: [...busy.map(({ url }) => url), free.url],
    upstream: { connectionsMax: 1, queueMax: 0, triesMax: 1 },
  })
  for (const target of busy) {
    await (await TestConnection.open(t, port)).write(get('/held'))
    await waitFor(() => target.requests.length === 1, 'the request that is held')
  }
  const client = await TestConnection.open(t, port)
  for (let round = 0; round < 4; round++) assert.equal(await ask(client), 'free')
})

test('a target is left alone after failures in a row, and comes back', async (t) => {
  let broken = true
  const flaky = await upstreamWith(t, (peer) => {
    if (broken) peer.reset()
    else answerEach(ok('flaky'))(peer)
  })
  const good = await upstreamWith(t, answerEach(ok('good')))
  const { port } = await startDataPlane(t, {
    to: [flaky.url, good.url],
    upstream: { ejectAfterFailures: 2, ejectMs: 400 },
  })
  const connection = await TestConnection.open(t, port)
  const first: string[] = []
  for (let round = 0; round < 10; round++) first.push(await ask(connection))
  assert.equal(first.filter((answer) => answer === 'UPSTREAM_CLOSED').length, 2)
  assert.deepEqual(first.slice(4), ['good', 'good', 'good', 'good', 'good', 'good'])
  broken = false
  await waitFor(async () => (await ask(connection)) === 'flaky', 'it to come back')
})

test('failures that are not in a row eject nobody', async (t) => {
  let count = 0
  const flaky = await upstreamWith(t, (peer) => {
    if (!peer.pending.endsWith('\r\n\r\n')) return
    peer.take(peer.pending.length)
    if (count++ % 2 === 0) peer.reset()
    else peer.write(ok('flaky', 'Connection: close\r\n'))
  })
  const good = await upstreamWith(t, answerEach(ok('good')))
  const { port } = await startDataPlane(t, {
    to: [flaky.url, good.url],
    upstream: { ejectAfterFailures: 2, ejectMs: 60_000 },
  })
  const connection = await TestConnection.open(t, port)
  for (let round = 0; round < 12; round++) await ask(connection)
  assert.equal(count, 6)
})

test('when all targets are left alone, they are tried nevertheless', async (t) => {
  let broken = true
  const only = await upstreamWith(t, (peer) => {
    if (broken) peer.reset()
    else answerEach(ok('back'))(peer)
  })
  const { port } = await startDataPlane(t, {
    to: only.url,
    upstream: { ejectAfterFailures: 1, ejectMs: 60_000 },
  })
  const connection = await TestConnection.open(t, port)
  assert.equal(await ask(connection), 'UPSTREAM_CLOSED')
  broken = false
  assert.equal(await ask(connection), 'back')
})

test('a host name is resolved, and every address of it tried', async (t) => {
  // `localhost` may be ::1 first; the upstream listens on 127.0.0.1 alone.
  const upstream = await upstreamWith(t, answerEach(ok()))
  const { port } = await startDataPlane(t, { to: `http://localhost:${upstream.port}` })
  const connection = await TestConnection.open(t, port)
  assert.equal(await ask(connection), 'ok')
})

test('a host name without an address is 502, and the next target is tried', async (t) => {
  const upstream = await upstreamWith(t, answerEach(ok()))
  // Too long for a label: the resolver refuses it without asking anybody.
  const nowhere = `http://${'x'.repeat(70)}.test:80`
  const alone = await startDataPlane(t, { to: nowhere })
  assert.equal(await ask(await TestConnection.open(t, alone.port)), 'UPSTREAM_DNS_FAILED')
  const both = await startDataPlane(t, { to: [nowhere, upstream.url] })
  assert.equal(await ask(await TestConnection.open(t, both.port)), 'ok')
})
