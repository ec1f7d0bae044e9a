import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { get, ok, post } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Which connections close with the last answer, and which are listened to for a while first (RFC 9112, 9.6). */

const CLOSE = 'Connection: close\r\n'

async function gatewayWith(t: TestContext, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(answerEach(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  const spare = { timeouts: { lingerMs: 120_000 } }
  const { port, plane } = await startDataPlane(t, { to: upstream.url, ...spare, ...spec })
  return { plane, client: await TestConnection.open(t, port) }
}

const LAST_REQUESTS = {
  'HTTP/1.1 with close': get('/', CLOSE),
  'HEAD with close': get('/', CLOSE).replace('GET', 'HEAD'),
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'no content with close': post('', '/', CLOSE),
  'the second, with close': get() + get('/', CLOSE),
}

for (const [name, request] of Object.entries(LAST_REQUESTS)) {
  test(`a client that sends no more is not waited for: ${name}`, async (t) => {
    const { client, plane } = await gatewayWith(t)
    await client.write(request)
    const method = request.slice(0, 4) === 'HEAD' ? 'HEAD' : 'GET'
    if (name.includes('second')) assert.equal((await client.response()).status, 200)
    assert.equal((await client.response({ method })).status, 200)
    assert.equal(await client.ended(), 'closed')
    await waitFor(
      () => plane.counters().connections === 0,
      'the end of the connection, of which we keep our side',
    )
  })
}

const MORE_MAY_COME: Readonly<Record<string, { readonly request: string; readonly spec?: DataPlaneSpec }>> = {
  'the gateway closes, not the client': { request: get(), spec: { limits: { requestsPerConnectionMax: 1 } } },
  'content, after which old clients send an empty line': { request: post('content', '/', CLOSE) },
  'more has come already': { request: get('/', CLOSE) + get('/never') },
  'the start of more has come already': { request: `${get('/', CLOSE)}\r` },
}

for (const [name, { request, spec }] of Object.entries(MORE_MAY_COME)) {
  test(`a client that may send more gets its answer whole, whatever it sends: ${name}`, async (t) => {
    const { client, plane } = await gatewayWith(t, spec)
    await client.write(request)
    assert.equal((await client.response()).text, 'ok')
    await client.write(get('/never'))
    await client.write(get('/never'))
    assert.equal(await client.ended(), 'closed')
    assert.equal(plane.counters().connections, 1)
    client.socket.end()
    await waitFor(() => plane.counters().connections === 0, 'the end of the connection')
  })
}

test('a client whose tunnel breaks off upstream may still send, though its request was the last', async (t) => {
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  const upstream = await RecordingUpstream.start((connection) => {
    if (connection.pending === 'break') connection.reset()
    else if (connection.pending.endsWith('\r\n\r\n')) {
      connection.take(connection.pending.length)
      connection.write(switched)
    }
  })
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port, plane } = await startDataPlane(t, { to: upstream.url, timeouts: { lingerMs: 120_000 } })
  const client = await TestConnection.open(t, port)
  await client.write(get('/', 'Connection: close, upgrade\r\nUpgrade: echo\r\n'))
  assert.equal((await client.response()).status, 101)
  await client.write('break')
  assert.equal(await client.ended(), 'closed')
  await client.write('more')
  // A socket that is closed already is counted until the loop has turned.
  for (let turns = 0; turns < 3; turns++) await setImmediate()
  assert.equal(plane.counters().connections, 1)
  client.socket.end()
  await waitFor(() => plane.counters().connections === 0, 'the end of the connection')
})
