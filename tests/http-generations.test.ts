import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { get, ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, respond, startDataPlane, toUpstream } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** What is said of a worker's generations and done about them: census, stream deadline, debug header, guards. */

const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
const UPGRADE = get('/chat?token=secret', 'Connection: Upgrade\r\nUpgrade: echo\r\n')
const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n'

/** `/events` starts a stream, `/chat` a tunnel, `/slow` gets no answer; all else is answered. */
const script: UpstreamScript = answerEach((request) => {
  if (request.includes('/events')) return STREAM
  if (request.includes('/chat')) return SWITCHED
  return request.includes('/slow') ? null : ok()
})

async function gatewayWith(t: TestContext, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const base: DataPlaneSpec = { to: upstream.url, ...spec }
  const gateway = await startDataPlane(t, base)
  const open = () => TestConnection.open(t, gateway.port)
  return { ...gateway, base, upstream, open }
}

/** A connection whose stream has begun. */
async function streaming(connection: TestConnection): Promise<TestConnection> {
  await connection.request('GET', '/events')
  await connection.reader.takeThrough('\r\n\r\n1\r\na\r\n')
  return connection
}

async function tunnelling(connection: TestConnection): Promise<TestConnection> {
  await connection.write(UPGRADE)
  assert.equal((await connection.response()).status, 101)
  return connection
}

async function waiting(
  connection: TestConnection,
  requests: () => readonly string[],
): Promise<TestConnection> {
  const before = requests().length
  await connection.request('GET', '/slow')
  await waitFor(() => requests().length > before, 'the request to reach the upstream')
  return connection
}

// Census.

test('census() tells of every generation that lives, oldest first, how many run on it, and which are oldest', async (t) => {
  const { plane, swap, base, open } = await gatewayWith(t)
  await streaming(await open())
  await tunnelling(await open())
  swap(base)
  for (let i = 0; i < 7; i++) await streaming(await open())
  swap(base)
  swap(base)
  const { pid, rssBytes, heapBytes, connections, exchanges, requestsTotal, generations } = plane.census()
  assert.equal(pid, process.pid)
  assert.ok(rssBytes > heapBytes && heapBytes > 1_000_000)
  assert.deepEqual([connections, exchanges, requestsTotal], [9, 9, 9])
  const event = 'GET /events (route app)'
  assert.deepEqual(generations, [
    { number: 1, exchanges: 2, oldest: [event, 'GET /chat (route app)'] },
    { number: 2, exchanges: 7, oldest: [event, event, event, event, event] },
    { number: 4, exchanges: 0, oldest: [] },
  ])
})

test('census() names the oldest first, also when a newer exchange runs on an older connection', async (t) => {
  const { plane, open } = await gatewayWith(t)
  const [first, second, third] = [await open(), await open(), await open()]
  await tunnelling(third)
  for (let i = 0; i < 40; i++) {
    await second.request('GET', '/')
    await second.response()
  }
  await streaming(second)
  await tunnelling(first)
  assert.deepEqual(plane.census().generations[0]?.oldest, [
    'GET /chat (route app)',
    'GET /events (route app)',
    'GET /chat (route app)',
  ])
})

test('census() cuts long paths, and tells no query', async (t) => {
  const { plane, upstream, open } = await gatewayWith(t)
  const connection = await open()
  await connection.request('GET', `/slow/${'x'.repeat(500)}?token=secret`)
  await waitFor(() => upstream.requests.length === 1, 'the request to reach the upstream')
  const [told = ''] = plane.census().generations[0]?.oldest ?? []
  assert.match(told, /^GET \/slow\/x+… \(route app\)$/)
  assert.ok(told.length < 150)
})

test('census() forgets a generation when its last exchange ends, and counts none that was discarded', async (t) => {
  const { plane, swap, base, open } = await gatewayWith(t)
  const stream = await streaming(await open())
  swap(base)
  assert.deepEqual(
    plane.census().generations.map(({ number }) => number),
    [1, 2],
  )
  stream.socket.destroy()
  await waitFor(() => plane.census().generations.length === 1, 'the first generation to end')
  assert.equal(plane.census().generations[0]?.number, 2)
})

// The stream deadline.

const SOON = { changes: { streamDeadlineMs: 300 } }

test('past the stream deadline what still runs on a replaced generation is cut: streams, tunnels, and a 503 before the head', async (t) => {
  const seen: string[] = []
  const plugin: Middleware = {
    name: 'watch',
    handle: () => true,
    onFinish: (ctx, { error }) => void seen.push(`${ctx.request.path} ${error}`),
  }
  const { plane, swap, base, upstream, open, stopped } = await gatewayWith(t, { plugins: [plugin] })
  const stream = await streaming(await open())
  const tunnel = await tunnelling(await open())
  const slow = await waiting(await open(), () => upstream.requests)
  swap({ ...base, plugins: [], ...SOON })
  const current = await streaming(await open())
  const answer = await slow.response()
  assert.deepEqual([answer.status, problemOf(answer).code], [503, 'GENERATION_EXPIRED'])
  assert.equal(await stream.ended(), 'reset')
  assert.equal(await tunnel.ended(), 'reset')
  await waitFor(() => plane.census().generations.length === 1, 'the first generation to end')
  assert.deepEqual(seen.toSorted(), [
    '/chat GENERATION_EXPIRED',
    '/events GENERATION_EXPIRED',
    '/slow GENERATION_EXPIRED',
  ])
  assert.deepEqual(stopped, ['watch'])
  upstream.connections.at(-1)?.write('1\r\nb\r\n0\r\n\r\n')
  await current.reader.takeThrough('1\r\nb\r\n0\r\n\r\n')
})

test('an exchange that was given a 503 for its deadline keeps its connection, and goes on with the next request', async (t) => {
  const { swap, base, upstream, open } = await gatewayWith(t, { settings: { debug: true } })
  const slow = await waiting(await open(), () => upstream.requests)
  swap({ ...base, ...SOON })
  const answer = await slow.response()
  assert.deepEqual([answer.status, answer.field('x-cardea-generation')], [503, '1'])
  await slow.request('GET', '/')
  const next = await slow.response()
  assert.deepEqual([next.status, next.field('x-cardea-generation')], [200, '2'])
})

test('a stream deadline holds for all older generations from the moment that a generation brings it', async (t) => {
  const { plane, swap, base, open } = await gatewayWith(t)
  const stream = await streaming(await open())
  swap(base)
  const other = await streaming(await open())
  swap(base)
  assert.equal(plane.census().generations.length, 3)
  swap({ ...base, ...SOON })
  assert.deepEqual([await stream.ended(), await other.ended()], ['reset', 'reset'])
})

// The debug header.

test('with debug every answer says its generation: upstream, respond, redirect, 404, 502, 101, own errors', async (t) => {
  const upstream = await RecordingUpstream.start(
    answerEach((request) =>
      request.includes('/chat') ? SWITCHED : ok('ok', 'X-Cardea-Generation: of the upstream\r\n'),
    ),
  )
  t.after(() => upstream[Symbol.asyncDispose]())
  const failing: Middleware = {
    name: 'failing',
    handle(ctx) {
      if (ctx.request.path === '/throw') throw new Error('oops')
      return true
    },
  }
  const routes: DataPlaneSpec['routes'] = [
    { paths: ['/app', '/chat', '/throw'], action: toUpstream('app') },
    { paths: ['/dead'], action: toUpstream('dead') },
    { paths: ['/own'], action: respond(200, 'own') },
    { paths: ['/away'], action: { kind: 'redirect', status: 302, location: '/own' } },
  ]
  const upstreams = { app: { targets: [upstream.url] }, dead: { targets: ['http://127.0.0.1:1'] } }
  const spec: DataPlaneSpec = { upstreams, routes, plugins: [failing] }
  const { port, swap } = await startDataPlane(t, { ...spec, settings: { debug: true }, number: 41 })
  swap({ ...spec, settings: { debug: true } })
  const told = async (target: string, lines = '') => {
    const connection = await TestConnection.open(t, port)
    await connection.write(get(target, lines))
    const { status, field } = await connection.response()
    return `${status} ${field('x-cardea-generation')}`
  }
  assert.equal(await told('/app'), '200 42')
  assert.equal(await told('/own'), '200 42')
  assert.equal(await told('/away'), '302 42')
  assert.equal(await told('/nowhere'), '404 42')
  assert.equal(await told('/%zz'), '400 42')
  assert.equal(await told('/dead'), '502 42')
  assert.equal(await told('/throw'), '503 42')
  assert.equal(await told('/chat', 'Connection: Upgrade\r\nUpgrade: echo\r\n'), '101 42')
  swap(spec)
  assert.equal(await told('/app'), '200 of the upstream')
  assert.equal(await told('/own'), '200 null')
})

// Guards.

test('an instance that is carried over keeps its breaker, one that is made anew does not', async (t) => {
  const faults = { breakerCallsMin: 1, breakerOpenMs: 60_000 }
  const hanging: Middleware = { name: 'hanging', handle: () => new Promise(() => {}) }
  const plugin = { middleware: hanging, timeoutMs: 10, key: 'old' }
  const { swap, base, open, faults: reported } = await gatewayWith(t, { plugins: [plugin], faults })
  const connection = await open()
  const code = async () => {
    await connection.request('GET', '/')
    return problemOf(await connection.response()).code
  }
  assert.equal(await code(), 'HOOK_TIMEOUT')
  assert.equal(await code(), 'PLUGIN_BREAKER_OPEN')
  swap({ ...base, plugins: [{ ...plugin, timeoutMs: 20 }], faults })
  assert.equal(await code(), 'PLUGIN_BREAKER_OPEN')
  swap({ ...base, plugins: [{ ...plugin, key: 'new' }], faults })
  assert.equal(await code(), 'HOOK_TIMEOUT')
  assert.deepEqual(
    reported.flatMap((event) => (event.kind === 'breaker' ? [`${event.key} ${event.state}`] : [])),
    ['old open', 'new open'],
  )
})

test('quarantine() holds in all generations that live, and in a later one that has the same instance', async (t) => {
  const calls: string[] = []
  const plugin: Middleware = {
    name: 'bad',
    handle: () => true,
    onResponse: () => void calls.push('onResponse'),
    onFinish: () => void calls.push('onFinish'),
  }
  const { plane, swap, base, upstream, open } = await gatewayWith(t, { plugins: [plugin] })
  const old = await waiting(await open(), () => upstream.requests)
  swap(base)
  const current = await open()
  plane.quarantine('bad')
  await current.request('GET', '/')
  assert.equal(problemOf(await current.response()).code, 'PLUGIN_QUARANTINED')
  upstream.connections[0]?.write(ok())
  assert.equal(problemOf(await old.response()).code, 'PLUGIN_QUARANTINED')
  swap(base)
  await current.request('GET', '/')
  assert.equal(problemOf(await current.response()).code, 'PLUGIN_QUARANTINED')
  swap({ ...base, plugins: [{ middleware: plugin, key: 'mended' }] })
  await current.request('GET', '/')
  assert.equal((await current.response()).text, 'ok')
  assert.deepEqual(calls, ['onResponse', 'onFinish'])
})

test('a quarantine ends when a generation that followed it says that the instance is to be called again', async (t) => {
  const plugin: Middleware = { name: 'bad', handle: () => true }
  const { plane, swap, base, open } = await gatewayWith(t, { plugins: [plugin] })
  const connection = await open()
  const status = async () => {
    await connection.request('GET', '/')
    return (await connection.response()).status
  }
  plane.quarantine('bad')
  // Made before the quarantine was known: not a word against it.
  swap(base)
  assert.equal(await status(), 503)
  swap({ ...base, plugins: [{ middleware: plugin, quarantined: true }] })
  assert.equal(await status(), 503)
  swap(base)
  assert.equal(await status(), 200)
})

// Traces.

test('setTracing() turns traces on and off; debug has nothing to do with them', async (t) => {
  const { plane, swap, base, traces, open } = await gatewayWith(t)
  const connection = await open()
  const send = async (target: string) => {
    await connection.request('GET', target)
    await connection.response()
  }
  await send('/untold')
  plane.setTracing(true)
  await send('/told')
  swap(base)
  await send('/told-still')
  plane.setTracing(false)
  await send('/untold')
  swap({ ...base, settings: { debug: true } })
  await send('/untold')
  plane.setTracing(true)
  await send('/told-with-debug')
  plane.setTracing(false)
  swap(base)
  await send('/untold')
  assert.deepEqual(
    traces.map(({ worker, generation, url, route }) => [worker, generation, url, route]),
    [
      [1, 1, '/told', 'app'],
      [1, 2, '/told-still', 'app'],
      [1, 3, '/told-with-debug', 'app'],
    ],
  )
})
