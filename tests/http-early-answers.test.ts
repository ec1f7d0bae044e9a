import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Middleware } from '@cardea/sdk'
import { get, ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, respond, startDataPlane } from './support/data-plane.ts'
import { RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Answers that come before the request's end: a client that writes first must still see them (RFC 9112, 9.6). */

const CLIENTS = 50
const KIB = 1024

async function gatewayWith(t: TestContext, script: UpstreamScript, spec: DataPlaneSpec = {}) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream }
}

const silent: UpstreamScript = () => {}

/** Answers as soon as a head is there, whatever comes after it. */
const hasty: UpstreamScript = (peer) => {
  if (peer.take(peer.pending.length).includes('POST ')) {
    peer.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?')
  }
}

const head = (framing: string): string => `POST /upload HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`

/** Writes head and content to their end before it reads anything, as many clients do. Returns what it then reads. */
async function writeFirst(t: TestContext, port: number, bodyLength: number, chunked: boolean) {
  const connection = await TestConnection.open(t, port)
  connection.socket.pause()
  const piece = 'x'.repeat(16 * KIB)
  await connection.write(head(chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bodyLength}`))
  for (let sent = 0; sent < bodyLength; sent += piece.length) {
    await connection.write(chunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece)
  }
  if (chunked) await connection.write('0\r\n\r\n')
  const answer = await connection.response()
  // When all content had come by then, the connection may go on.
  if (answer.field('connection') === 'close') assert.equal(await connection.ended(), 'closed')
  connection.socket.destroy()
  return answer
}

for (const chunked of [false, true]) {
  const framing = chunked ? 'chunks' : 'Content-Length'
  test(`${CLIENTS} of ${CLIENTS} clients that write first see the 413 (${framing})`, async (t) => {
    const { port } = await gatewayWith(t, silent, {
      limits: { lingerBytesMax: 1024 * KIB },
      routes: [{ paths: ['/upload'], action: respond(200, 'never'), requestBodyBytesMax: 10 * KIB }],
    })
    for (let client = 0; client < CLIENTS; client++) {
      const answer = await writeFirst(t, port, 512 * KIB, chunked)
      // A route that answers by itself does not read chunks, so only a length tells that they are too many.
      if (chunked) assert.deepEqual([answer.status, answer.text], [200, 'never'])
      else assert.deepEqual([answer.status, problemOf(answer).code], [413, 'REQUEST_BODY_TOO_LARGE'])
    }
  })

  test(`${CLIENTS} of ${CLIENTS} clients that write first see an early answer of the upstream (${framing})`, async (t) => {
    const { port } = await gatewayWith(t, hasty, { limits: { lingerBytesMax: 1024 * KIB } })
    for (let client = 0; client < CLIENTS; client++) {
      const answer = await writeFirst(t, port, 512 * KIB, chunked)
      assert.deepEqual([answer.status, answer.text], [401, 'who?'])
    }
  })
}

for (const ends of ['with its last byte', 'in a while']) {
  test(`${CLIENTS} of ${CLIENTS} clients see the answer of an upstream that hangs up ${ends}`, async (t) => {
    const server = createServer((peer) => {
      peer.on('error', () => {})
      // What it has not read makes its kernel send a reset.
      peer.once('data', () => {
        peer.pause()
        peer.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch')
        if (ends === 'in a while') setTimeout(() => peer.destroy(), 2)
        else peer.destroySoon()
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const to = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { port } = await startDataPlane(t, { to, limits: { lingerBytesMax: 4 * 1024 * KIB } })
    for (let client = 0; client < CLIENTS; client++) {
      const connection = await TestConnection.open(t, port)
      void connection.write(head(`Content-Length: ${2 * 1024 * KIB}`) + 'x'.repeat(2 * 1024 * KIB))
      const answer = await connection.response()
      assert.deepEqual([answer.status, answer.text], [413, 'much'])
      connection.socket.destroy()
    }
  })
}

test('a body that breaks off has one answer, and a hook that takes its time sees it to the end', async (t) => {
  let answers = 0
  const late: Middleware = {
    name: 'late',
    handle: () => true,
    async onResponse(ctx) {
      answers++
      await nextTurn()
      ctx.response.headers.set('x-late', 'yes')
    },
  }
  const { port } = await gatewayWith(t, silent, { limits: { requestBodyBytesMax: 10 }, plugins: [late] })
  const connection = await TestConnection.open(t, port)
  await connection.write(`${head('Transfer-Encoding: chunked')}${'8\r\n12345678\r\n'.repeat(10)}0\r\n\r\n`)
  const answer = await connection.response()
  assert.deepEqual([answer.status, answer.field('x-late'), answers], [413, 'yes', 1])
})

test('a chunked body past the limit is 413 in the middle of the upload, and the upstream is cut', async (t) => {
  const { port, upstream } = await gatewayWith(t, silent, {
    routes: [
      {
        paths: ['/upload'],
        action: { kind: 'upstream', upstream: 'app', host: { kind: 'preserve' } },
        requestBodyBytesMax: 100 * KIB,
      },
    ],
  })
  for (let client = 0; client < 10; client++) {
    const answer = await writeFirst(t, port, 512 * KIB, true)
    assert.deepEqual([answer.status, problemOf(answer).code], [413, 'REQUEST_BODY_TOO_LARGE'])
  }
  assert.equal(upstream.requests.length, 0)
  await waitFor(() => upstream.connections.every(({ ended, closed }) => ended || closed), 'them to be let go')
})

test('past `linger` bytes the connection is cut', async (t) => {
  const { port } = await gatewayWith(t, silent, {
    limits: { lingerBytesMax: 64 * KIB },
    timeouts: { lingerMs: 60_000 },
    routes: [{ paths: ['/upload'], action: respond(200, 'early') }],
  })
  const connection = await TestConnection.open(t, port)
  await connection.write(head('Content-Length: 100000000'))
  assert.equal((await connection.response()).text, 'early')
  const piece = Buffer.alloc(64 * KIB)
  let isOpen = true
  connection.socket.once('close', () => {
    isOpen = false
  })
  await waitFor(async () => {
    void connection.write(piece)
    return !isOpen
  }, 'the cut')
})

test('past `linger` time the connection is cut, though the client says nothing', async (t) => {
  const { port, plane } = await gatewayWith(t, silent, {
    timeouts: { lingerMs: 300 },
    routes: [{ paths: ['/upload'], action: respond(200, 'early') }],
  })
  const connection = await TestConnection.open(t, port)
  await connection.write(head('Content-Length: 100'))
  assert.equal((await connection.response()).text, 'early')
  await waitFor(() => plane.counters().connections === 0, 'the end of the connection')
})

test('a client that reads slowly gets all of a last answer, however long it takes', async (t) => {
  const body = 'x'.repeat(12 * 1024 * KIB)
  const { port } = await gatewayWith(t, (peer) => peer.write(ok(body)), { timeouts: { lingerMs: 200 } })
  const connection = await TestConnection.open(t, port)
  await connection.write(get('/', 'Connection: close\r\n'))
  await connection.reader.takeThrough('\r\n\r\n')
  // Four times as long as the gateway lingers after what it has sent.
  for (let pause = 0; pause < 4; pause++) {
    connection.socket.pause()
    const start = performance.now()
    await waitFor(() => performance.now() - start > 300, 'the pause to end')
    await connection.reader.take(1024 * KIB)
  }
  assert.equal((await connection.reader.takeRest()).length, 8 * 1024 * KIB)
})

test('an early answer of the upstream stops our sending, and its connection serves nobody else', async (t) => {
  const { port, upstream } = await gatewayWith(t, hasty)
  const connection = await TestConnection.open(t, port)
  await connection.write(`${head('Content-Length: 1000000')}first`)
  assert.equal((await connection.response()).status, 401)
  await connection.write('second')
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'it to be let go')
  assert.doesNotMatch(upstream.connections[0]?.received ?? '', /second/)
})

test('an upstream that answers early and then waits for the rest is not waited for twice', async (t) => {
  const { port } = await gatewayWith(
    t,
    (peer) => {
      if (peer.take(peer.pending.length).startsWith('POST'))
        peer.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
    },
    { upstream: { idleTimeoutMs: 300 } },
  )
  const connection = await TestConnection.open(t, port)
  await connection.write(`${head('Content-Length: 1000000')}first`)
  await connection.reader.takeThrough('ha')
  assert.equal(await connection.ended(), 'reset')
})
