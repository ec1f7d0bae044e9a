import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rawExchange } from './raw-exchange.ts'
import { answerEach, RecordingUpstream, splitRequests } from './recording-upstream.ts'
import { waitFor } from './wait-for.ts'

const GET = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'
const POST = 'POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc'
const CHUNKED = 'POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n'
const TRAILERS = 'POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n'

test('splitRequests() leaves out what is incomplete', () => {
  for (const request of [GET, POST, CHUNKED, TRAILERS]) {
    for (let length = 0; length < request.length; length++) {
      assert.deepEqual(
        splitRequests(request.slice(0, length)),
        [],
        `after ${length} characters of ${request}`,
      )
    }
  }
})

test('splitRequests() follows Content-Length, chunks and trailers', () => {
  assert.deepEqual(splitRequests(GET + POST + CHUNKED + TRAILERS + GET), [GET, POST, CHUNKED, TRAILERS, GET])
})

test('RecordingUpstream keeps every byte of every connection apart, with no notion of HTTP', async () => {
  await using upstream = await RecordingUpstream.start(() => {})
  const garbage = 'no \0 \xff HTTP at all\n\n'
  await rawExchange(upstream.port, garbage, { until: () => true, idleMs: 50 })
  await rawExchange(upstream.port, GET, { idleMs: 50 })
  await waitFor(() => upstream.connections[1]?.received === GET, 'the second connection to be recorded')
  assert.equal(upstream.connections[0]?.received, garbage)
  assert.deepEqual(upstream.requests, [GET])
})

test('RecordingUpstream answers each complete request once, however it is cut', async () => {
  await using upstream = await RecordingUpstream.start(
    answerEach((request, index) => `${index}:${request[5]};`),
  )
  const pieces = [...(GET + POST)]
  const { text } = await rawExchange(upstream.port, pieces, { halfClose: true })
  assert.equal(text, '0:a;1:/;')
  assert.deepEqual(upstream.requests, [GET, POST])
})

test('RecordingUpstream answers 200 when it has no script', async () => {
  await using upstream = await RecordingUpstream.start()
  const response = await fetch(upstream.url, { headers: { connection: 'close' } })
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
})

test('RecordingUpstream.connections tell a FIN and the end of the connection', async () => {
  await using upstream = await RecordingUpstream.start((connection) => {
    if (connection.ended) connection.reset()
  })
  assert.equal((await rawExchange(upstream.port, 'x', { halfClose: true })).ended, 'reset')
  const [connection] = upstream.connections
  assert.deepEqual([connection?.ended, connection?.closed], [true, true])
})
