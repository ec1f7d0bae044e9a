import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { get, ok, post, problemOf } from './support/answers.ts'
import { type PluginSpec, type RouteSpec, startDataPlane, toUpstream } from './support/data-plane.ts'
import { allRetired, serve, versionsOf, witness } from './support/hot-swap.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** What is carried from generation to generation in the data plane, what is each generation's own, and what goes. */

// Upstream pools.

test('a long tunnel keeps its own connection, and no idle one of the generation that it runs on', async (t) => {
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  const script = answerEach((request) => (request.includes('/chat') ? switched : ok()))
  const [old, kept] = [await RecordingUpstream.start(script), await RecordingUpstream.start(script)]
  t.after(() => Promise.all([old[Symbol.asyncDispose](), kept[Symbol.asyncDispose]()]))
  const routes = (upstream: string): readonly RouteSpec[] => [
    { paths: ['/kept'], action: toUpstream('kept') },
    { paths: ['/chat', '/old'], action: toUpstream(upstream) },
  ]
  const settings = { keepAliveMs: 600_000 }
  const upstreams = { kept: { targets: [kept.url], ...settings }, old: { targets: [old.url], ...settings } }
  const gateway = await startDataPlane(t, { upstreams, routes: routes('old') })
  const tunnel = await TestConnection.open(t, gateway.port)
  await tunnel.write(get('/chat', 'Connection: Upgrade\r\nUpgrade: echo\r\n'))
  assert.equal((await tunnel.response()).status, 101)
  const connection = await TestConnection.open(t, gateway.port)
  for (const target of ['/kept', '/old']) {
    await connection.write(get(target))
    assert.equal((await connection.response()).text, 'ok')
  }
  assert.equal(old.connections.length, 2)
  gateway.swap({ upstreams: { kept: upstreams.kept }, routes: routes('kept') })
  await waitFor(() => old.connections[1]?.ended, 'the idle connection to be closed')
  assert.deepEqual([old.connections[0]?.ended, kept.connections[0]?.ended], [false, false])
  old.connections[0]?.write('hello')
  await tunnel.reader.takeThrough('hello')
  await connection.write(get('/kept'))
  assert.equal((await connection.response()).text, 'ok')
  assert.equal(kept.connections.length, 1)
  tunnel.socket.destroy()
  await waitFor(() => old.connections[0]?.ended, "the tunnel's connection to be closed")
})

test('a pool that a later generation takes up again keeps connections again', async (t) => {
  const served = await serve(t)
  const stream = answerEach(() => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  await using streaming = await RecordingUpstream.start(stream)
  const both = { upstreams: { streaming: { targets: [streaming.url] } } }
  const route = { routes: [{ paths: ['/stream'], action: toUpstream('streaming') }] }
  served.next({ ...both, ...route })
  const held = await served.open()
  await held.write(get('/stream'))
  await held.reader.takeThrough('\r\n\r\n')
  served.next()
  served.next({ ...both, ...route })
  streaming.connections[0]?.write('0\r\n\r\n')
  await held.reader.takeThrough('0\r\n\r\n')
  await held.write(get('/stream'))
  await held.reader.takeThrough('\r\n\r\n')
  assert.equal(streaming.connections.length, 1)
})

test('an upstream whose settings change is given new connections; what runs on the old ones goes on', async (t) => {
  const waiting: (() => void)[] = []
  const served = await serve(t, (connection) => {
    answerEach((request) => {
      if (!request.includes('/slow')) return ok()
      waiting.push(() => connection.write(ok('late')))
      return null
    })(connection)
  })
  const [slow, fast] = [await served.open(), await served.open()]
  await slow.write(get('/slow'))
  await waitFor(() => waiting.length === 1, 'the request to reach the upstream')
  await fast.write(get())
  await fast.response()
  served.next({ upstream: { responseTimeoutMs: 1_234 } })
  await waitFor(() => served.upstream.connections[1]?.ended, 'the idle connection to be closed')
  await fast.write(get())
  assert.equal(versionsOf(await fast.response()), 'v2')
  assert.equal(served.upstream.connections.length, 3)
  waiting[0]?.()
  const response = await slow.response()
  assert.deepEqual([response.text, versionsOf(response)], ['late', 'v1'])
  await waitFor(() => served.upstream.connections[0]?.ended, 'the old connection to be closed after its use')
})

test('a request that waits for a connection when its upstream is taken away is served still', async (t) => {
  const waiting: (() => void)[] = []
  const upstream = { connectionsMax: 1 }
  const served = await serve(
    t,
    (connection) => {
      answerEach(() => {
        waiting.push(() => connection.write(ok()))
        return null
      })(connection)
    },
    { upstream },
  )
  const [first, second] = [await served.open(), await served.open()]
  await first.write(get())
  await waitFor(() => waiting.length === 1, 'the first request to reach the upstream')
  await second.write(get())
  await waitFor(() => served.plane.counters().exchanges === 2, 'the second request to wait')
  served.next({ upstream: { connectionsMax: 2 } })
  waiting[0]?.()
  assert.equal(versionsOf(await first.response()), 'v1')
  await waitFor(() => waiting.length === 2, 'the second request to reach the upstream')
  waiting[1]?.()
  assert.equal(versionsOf(await second.response()), 'v1')
  await allRetired(served, 2)
})

test('a target that was taken out for its failures stays out when the settings of its upstream change', async (t) => {
  await using good = await RecordingUpstream.start(answerEach(() => ok('good')))
  let attempts = 0
  await using bad = await RecordingUpstream.start((connection) => {
    attempts++
    connection.reset()
  })
  const to = [bad.url, good.url]
  const upstream = { ejectAfterFailures: 1, ejectMs: 600_000 }
  const gateway = await startDataPlane(t, { to, upstream })
  const connection = await TestConnection.open(t, gateway.port)
  const statuses = async (count: number) => {
    const all: number[] = []
    for (let i = 0; i < count; i++) {
      await connection.write(get())
      all.push((await connection.response()).status)
    }
    return all
  }
  assert.deepEqual((await statuses(4)).toSorted(), [200, 200, 200, 502])
  const before = attempts
  gateway.swap({ to, upstream: { ...upstream, keepAliveMs: 1_000 } })
  assert.deepEqual(await statuses(4), [200, 200, 200, 200])
  assert.equal(attempts, before)
})

// Settings.

test('limits of requests are those of their generation, limits of heads those of the connection', async (t) => {
  const served = await serve(t)
  const old = await served.open()
  await old.write(get())
  await old.response()
  served.next({ limits: { requestBodyBytesMax: 4, headBytesMax: 1_000 } })
  const long = get('/', `X-Long: ${'x'.repeat(2_000)}\r\n`)
  await old.write(long)
  assert.equal((await old.response()).status, 200)
  await old.write(post('12345'))
  assert.equal(problemOf(await old.response()).code, 'REQUEST_BODY_TOO_LARGE')
  const young = await served.open()
  await young.write(long)
  assert.equal(problemOf(await young.response()).code, 'REQUEST_HEAD_TOO_LARGE')
})

test('an upload that began under a larger limit is not held to a smaller one', async (t) => {
  const served = await serve(t)
  const connection = await served.open()
  await connection.write(
    'POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n',
  )
  await waitFor(() => served.upstream.connections[0]?.received.includes('12345'), 'the piece to pass')
  served.next({ limits: { requestBodyBytesMax: 4 } })
  await connection.write('5\r\n67890\r\n0\r\n\r\n')
  assert.equal((await connection.response()).status, 200)
})

test('a body that a plugin reads is held to the limit of its own generation', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const reader: PluginSpec = {
    key: 'reader',
    middleware: {
      name: 'reader',
      async handle(ctx) {
        await promise
        await ctx.request.bytes()
        return true
      },
    },
  }
  await using upstream = await RecordingUpstream.start()
  const gateway = await startDataPlane(t, { to: upstream.url, plugins: [reader] })
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(post('12345'))
  await waitFor(() => gateway.plane.counters().exchanges === 1, 'the exchange')
  gateway.swap({ to: upstream.url, plugins: [reader], limits: { bodyBytesMax: 4 } })
  resolve()
  assert.equal((await connection.response()).status, 200)
  await connection.write(post('12345'))
  assert.equal(problemOf(await connection.response()).code, 'REQUEST_BODY_TOO_LARGE')
})

test('trusted_proxies and the name in Via hold from the next request on, on the same connection', async (t) => {
  const served = await serve(t)
  const connection = await served.open()
  const told = async () => {
    await connection.write(get('/', 'X-Forwarded-For: 192.0.2.7\r\n'))
    const via = (await connection.response()).field('via')
    const forwarded = /^x-forwarded-for: (.*)\r$/im.exec(served.upstream.requests.at(-1) ?? '')?.[1]
    return [forwarded, via]
  }
  assert.deepEqual(await told(), ['127.0.0.1', '1.1 cardea'])
  served.next({ settings: { trustedProxies: ['127.0.0.0/8'], viaName: 'other' } })
  assert.deepEqual(await told(), ['192.0.2.7, 127.0.0.1', '1.1 other'])
  served.next()
  assert.deepEqual(await told(), ['127.0.0.1', '1.1 cardea'])
})

test('a lower bound on connections turns new ones away, and cuts none', async (t) => {
  const served = await serve(t)
  const old = [await served.open(), await served.open()]
  for (const connection of old) {
    await connection.write(get())
    await connection.response()
  }
  served.next({ limits: { connectionsMax: 1 } })
  const young = await served.open()
  assert.equal(problemOf(await young.response()).code, 'GATEWAY_OVERLOADED')
  for (const connection of old) {
    await connection.write(get())
    assert.equal(versionsOf(await connection.response()), 'v2')
  }
})

// A generation that does not come.

test('a generation that does not compile, or is discarded, changes nothing, and its instances are stopped', async (t) => {
  const served = await serve(t)
  const connection = await served.open()
  await connection.write(get())
  await connection.response()
  const to = served.upstream.url
  assert.throws(() => served.next({ routes: [{ paths: ['/x'], action: toUpstream('nowhere') }] }), /nowhere/)
  assert.throws(() => served.next({ settings: { trustedProxies: ['not an address'] } }))
  served.discard({ to, plugins: [witness(9, served.seen)] })
  served.discard({ to, upstream: { keepAliveMs: 1 }, plugins: [witness(1, served.seen)] })
  await turn()
  assert.deepEqual(served.stopped, ['v2', 'v3', 'v9'])
  await connection.write(get())
  assert.equal(versionsOf(await connection.response()), 'v1')
  assert.equal(served.upstream.connections.length, 1)
  assert.equal(served.plane.census().generations.length, 1)
})
