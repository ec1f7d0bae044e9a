import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { get, ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** What becomes of what is not done by the deadline of draining: nothing that is cut looks whole, and no client is blamed. */

const BIG = 64_000_000

/** By path; all else gets no answer. */
const ANSWERS = {
  '/until-close': 'HTTP/1.1 200 OK\r\n\r\npart one',
  '/chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npart one\r\n',
  '/length': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart one',
  '/tunnel': 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\npart one',
  '/big': ok('x'.repeat(BIG)),
} as const

const byPath = answerEach((request) => {
  const path = request.split(' ')[1] ?? ''
  return Object.entries(ANSWERS).find(([known]) => known === path)?.[1] ?? null
})

interface Seen {
  readonly errors: string[]
  readonly ends: string[]
}

function watching(seen: Seen): Middleware {
  return {
    name: 'watching',
    handle: () => true,
    onError: (_ctx, { code, source }) => void seen.errors.push(`${code} ${source}`),
    onFinish: (_ctx, { error, aborted, status }) => void seen.ends.push(`${error} ${aborted} ${status}`),
  }
}

async function gatewayWith(t: TestContext, { plugins = [], ...spec }: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(byPath)
  t.after(() => upstream[Symbol.asyncDispose]())
  const seen: Seen = { errors: [], ends: [] }
  const all = [watching(seen), ...plugins]
  const gateway = await startDataPlane(t, { to: upstream.url, plugins: all, ...spec })
  return { ...gateway, upstream, seen, client: await TestConnection.open(t, gateway.port) }
}

const CODE = 'DRAIN_DEADLINE_PASSED'

test('the drain deadline answers what has no answer yet with 503, the last of the connection', async (t) => {
  const { plane, upstream, client, seen } = await gatewayWith(t)
  await client.write(get('/never') + get('/pipelined'))
  await waitFor(() => upstream.requests.length === 1, 'the request')
  const drained = plane.drain(50)
  const answer = await client.response()
  assert.deepEqual([answer.status, problemOf(answer).code, answer.field('connection')], [503, CODE, 'close'])
  assert.equal(await client.ended(), 'closed')
  assert.deepEqual(await drained, { cutExchanges: 1 })
  assert.deepEqual(seen, { errors: [`${CODE} gateway`], ends: [`${CODE} false 503`] })
  assert.equal(upstream.requests.length, 1)
  await waitFor(
    () => upstream.connections.every(({ ended, closed }) => ended || closed),
    'the upstream to see it',
  )
})

const BEGUN = {
  'of chunks': get('/chunked'),
  'of known length': get('/length'),
  'that the upstream ends by closing': get('/until-close'),
  'that ends with the connection, to HTTP/1.0': 'GET /until-close HTTP/1.0\r\n\r\n',
  'of a tunnel': get('/tunnel', 'Connection: Upgrade\r\nUpgrade: echo\r\n'),
}

for (const [name, request] of Object.entries(BEGUN)) {
  test(`the drain deadline resets an answer that has begun, and blames no client: ${name}`, async (t) => {
    const { plane, client, seen } = await gatewayWith(t)
    await client.write(request)
    await client.reader.takeThrough('part one')
    const drained = plane.drain(0)
    assert.equal(await client.reader.end(), 'reset')
    assert.deepEqual(await drained, { cutExchanges: 1 })
    const status = name === 'of a tunnel' ? 101 : 200
    assert.deepEqual(seen, { errors: [`${CODE} gateway`], ends: [`${CODE} false ${status}`] })
  })
}

test('the drain deadline resets a whole answer of which the client has not taken the end', async (t) => {
  const { plane, client, seen } = await gatewayWith(t, { limits: { relayBufferBytes: 2 * BIG } })
  await client.write(get('/big', 'Connection: close\r\n'))
  client.socket.pause()
  await waitFor(() => seen.ends.length === 1, 'the end of the exchange')
  assert.deepEqual(await plane.drain(0), { cutExchanges: 0 })
  client.socket.resume()
  assert.equal(await client.reader.end(), 'reset')
  assert.deepEqual(seen, { errors: [], ends: ['null false 200'] })
})

test('the drain deadline answers a client that still sends its content', async (t) => {
  const { plane, upstream, client } = await gatewayWith(t)
  await client.write('POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nthe start')
  await waitFor(() => upstream.connections[0]?.received.endsWith('the start'), 'the upload')
  const drained = plane.drain(0)
  assert.equal((await client.response()).status, 503)
  await client.write('and more')
  assert.equal(await client.ended(), 'closed')
  await drained
})

test('the drain deadline answers half a head with 503', async (t) => {
  const { plane, port, client } = await gatewayWith(t)
  await client.write('GET / HTTP/1.1\r\nHo')
  // What came after it has been answered, so it has been read.
  const other = await TestConnection.open(t, port)
  await other.write(get('/length'))
  await other.reader.takeThrough('part one')
  const drained = plane.drain(0)
  const answer = await client.response()
  assert.deepEqual([answer.status, problemOf(answer).code], [503, 'GATEWAY_NOT_READY'])
  assert.equal(await client.ended(), 'closed')
  assert.deepEqual(await drained, { cutExchanges: 1 })
})

test('the drain deadline tells both ends of a stream that the body does not go on', async (t) => {
  const told: unknown[] = []
  const streaming: Middleware = {
    name: 'streaming',
    handle(ctx) {
      const given = Promise.withResolvers<ReadableStreamDefaultController>()
      ctx.response.stream({
        readable: new ReadableStream({
          start: (controller) => given.resolve(controller),
          cancel: ({ name }) => void told.push(['cancelled', name]),
        }),
        writable: new WritableStream({
          write: async (chunk) => (await given.promise).enqueue(chunk),
          abort: ({ name }) => void told.push(['aborted', name]),
        }),
      })
      return true
    },
  }
  const { plane, client } = await gatewayWith(t, { plugins: [streaming] })
  await client.write(get('/chunked'))
  await client.reader.takeThrough('part one')
  const drained = plane.drain(0)
  assert.equal(await client.reader.end(), 'reset')
  assert.deepEqual(await drained, { cutExchanges: 1 })
  assert.deepEqual(told, [
    ['aborted', 'AbortError'],
    ['cancelled', 'AbortError'],
  ])
})

test('the drain deadline gives up a hook that is waited for', async (t) => {
  let entered = false
  const stuck: Middleware = {
    name: 'stuck',
    handle() {
      entered = true
      return new Promise(() => {})
    },
  }
  const { plane, client, seen } = await gatewayWith(t, { plugins: [stuck] })
  await client.write(get())
  await waitFor(() => entered, 'the hook')
  const drained = plane.drain(0)
  assert.equal(problemOf(await client.response()).code, CODE)
  await drained
  assert.deepEqual(seen.ends, [`${CODE} false 503`])
})

test('the drain deadline does not wait for a hook that sees the 503 for ever', async (t) => {
  const stuck: Middleware = { name: 'stuck', handle: () => true, onResponse: () => new Promise(() => {}) }
  const { plane, upstream, client, seen } = await gatewayWith(t, { plugins: [stuck] })
  await client.write(get('/never'))
  await waitFor(() => upstream.requests.length === 1, 'the request')
  const drained = plane.drain(0, { closingMs: 20 })
  assert.equal(await client.ended(), 'reset')
  assert.deepEqual(await drained, { cutExchanges: 1 })
  assert.equal(seen.errors.at(-1), `${CODE} gateway`)
  assert.deepEqual(plane.counters(), { connections: 0, exchanges: 0, requestsTotal: 1 })
})
