import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { startDataPlane } from './support/data-plane.ts'
import { TestConnection } from './support/test-connection.ts'

/**
 * Bodies arrive byte for byte, however they are cut. Both ends are Node's own HTTP, which shares no code with the
 * gateway.
 */

const MIB = 1024 * 1024
const digestOf = (...pieces: readonly Uint8Array[]): string =>
  pieces.reduce((hash, piece) => hash.update(piece), createHash('sha256')).digest('hex')

/** A small generator with a seed, so that a failure can be run again. */
function randomFrom(seed: number): (max: number) => number {
  let state = seed
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * max)
  }
}

/** Cuts the content into pieces of 1 byte to 200 KB, small ones more often. */
function cut(content: Buffer, random: (max: number) => number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < content.length; ) {
    const length = 1 + random([10, 1_000, 70_000, 200_000][random(4)] ?? 1)
    pieces.push(content.subarray(at, at + length))
    at += length
  }
  return pieces
}

async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server: Server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Reply {
  readonly digest: string
  readonly length: number
  readonly headers: IncomingMessage['headers']
}

function exchange(port: number, method: string, pieces: readonly Buffer[], chunked: boolean): Promise<Reply> {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const outgoing = request({ port, host: '127.0.0.1', method, agent: false })
  if (chunked) outgoing.setHeader('transfer-encoding', 'chunked')
  else outgoing.setHeader('content-length', length)
  outgoing.on('error', reject)
  outgoing.on('response', (response) => {
    const hash = createHash('sha256')
    let received = 0
    response.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      received += chunk.length
    })
    response.on('error', reject)
    response.on('end', () =>
      resolve({ digest: hash.digest('hex'), length: received, headers: response.headers }),
    )
  })
  for (const piece of pieces) outgoing.write(piece)
  outgoing.end()
  return promise
}

const SIZES = [0, 1, 2, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 300_000, MIB + 1, 5 * MIB]

for (const chunked of [false, true]) {
  const framing = chunked ? 'chunked' : 'with Content-Length'
  test(`request bodies ${framing} reach the upstream byte for byte`, async (t) => {
    const target = await serve(t, (incoming, response) => {
      const hash = createHash('sha256')
      incoming.on('data', (chunk) => hash.update(chunk))
      incoming.on('end', () =>
        response
          .setHeader('x-framing', incoming.headers['transfer-encoding'] ?? 'length')
          .end(hash.digest('hex')),
      )
    })
    const { port } = await startDataPlane(t, { to: target })
    for (const [index, size] of SIZES.entries()) {
      const content = randomBytes(size)
      const reply = await exchange(port, 'POST', cut(content, randomFrom(index)), chunked)
      assert.equal(reply.digest, digestOf(Buffer.from(digestOf(content))), `${size} bytes, seed ${index}`)
      assert.equal(reply.headers['x-framing'], chunked ? 'chunked' : 'length')
    }
  })

  test(`response bodies ${framing} reach the client byte for byte`, async (t) => {
    let content = Buffer.alloc(0)
    let pieces: readonly Buffer[] = []
    const target = await serve(t, (_incoming, response) => {
      if (!chunked) response.setHeader('content-length', content.length)
      for (const piece of pieces) response.write(piece)
      response.end()
    })
    const { port } = await startDataPlane(t, { to: target })
    for (const [index, size] of SIZES.entries()) {
      content = randomBytes(size)
      pieces = cut(content, randomFrom(index + 100))
      const reply = await exchange(port, 'GET', [], false)
      assert.deepEqual([reply.length, reply.digest], [size, digestOf(content)], `seed ${index + 100}`)
    }
  })
}

test('bodies of many exchanges at once never mix', async (t) => {
  const target = await serve(t, (incoming, response) => {
    const pieces: Buffer[] = []
    incoming.on('data', (piece: Buffer) => pieces.push(piece))
    incoming.on('end', () => response.end(Buffer.concat(pieces)))
  })
  const { port } = await startDataPlane(t, { to: target })
  const bodies = Array.from({ length: 40 }, (_, index) => randomBytes(index * 500))
  const replies = await Promise.all(
    bodies.map((body, index) => exchange(port, 'POST', [body], index % 2 === 0)),
  )
  assert.deepEqual(
    replies.map(({ digest }) => digest),
    bodies.map((body) => digestOf(body)),
  )
})

/** Takes bytes on a port, tells how they were cut, and answers the first with `response`. */
async function segmentsOf(t: TestContext, response: string): Promise<{ to: string; pieces: string[] }> {
  const pieces: string[] = []
  const server = createTcpServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    socket.on('data', (chunk) => {
      pieces.push(chunk.toString('latin1'))
      socket.write(response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { to: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, pieces }
}

for (const [framing, body] of Object.entries({
  'Content-Length': 'Content-Length: 3000\r\n\r\n',
  chunks: `Transfer-Encoding: chunked\r\n\r\n`,
})) {
  const content = 'x'.repeat(3000)
  const whole = framing === 'chunks' ? `${body}bb8\r\n${content}\r\n0\r\n\r\n` : body + content
  test(`a small body with ${framing} leaves with its head in one segment, both ways`, async (t) => {
    const { to, pieces } = await segmentsOf(t, `HTTP/1.1 200 OK\r\n${whole}`)
    const { port } = await startDataPlane(t, { to })
    const connection = await TestConnection.open(t, port)
    // The second request finds a connection that stands already.
    for (let round = 1; round <= 2; round++) {
      await connection.write(`POST / HTTP/1.1\r\nHost: app.test\r\n${whole}`)
      assert.equal((await connection.response()).text, content)
      assert.equal(pieces.length, round)
      assert.equal(connection.pieces.length, round)
    }
    assert.ok(pieces.every((piece) => piece.includes(content)))
  })
}

test('a head without content does not wait for any', async (t) => {
  const { to } = await segmentsOf(t, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  const { port } = await startDataPlane(t, { to })
  const connection = await TestConnection.open(t, port)
  await connection.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\n')
  await connection.reader.takeThrough('\r\n\r\n')
})
