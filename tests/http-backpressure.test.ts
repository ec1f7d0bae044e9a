import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { Middleware } from '@cardea/sdk'
import { get, ok } from './support/answers.ts'
import { ByteReader } from './support/byte-reader.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { TestConnection } from './support/test-connection.ts'

/** A slow side holds the other back: what is on its way stays bounded, and none of it is lost. */

const MIB = 1024 * 1024
const LENGTH = 48 * MIB
/** What both kernels and our relay buffers hold together on loopback; far below LENGTH. */
const IN_FLIGHT_MAX = 24 * MIB

/** One connection to the upstream, as a raw socket. */
async function gatewayWith(t: TestContext, spec: DataPlaneSpec = {}) {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const to = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const gateway = await startDataPlane(t, { to, ...spec })
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const peer = accepted.then(([socket]) => {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    return socket
  })
  return { ...gateway, peer, connection: await TestConnection.open(t, gateway.port) }
}

/** A byte that depends on its place, so that a piece lost or sent twice shows. */
function pattern(offset: number, length: number): Buffer {
  const piece = Buffer.alloc(length)
  for (let at = 0; at < length; at += 4) piece.writeUInt32LE((offset + at) >>> 0, at)
  return piece
}

const PIECE = 64 * 1024

/** Writes `LENGTH` bytes as the socket takes them; `sent` tells how far it is. */
function pour(socket: Socket): { readonly sent: number; readonly done: Promise<void> } {
  const state = { sent: 0, done: Promise.resolve() }
  const run = async (): Promise<void> => {
    while (state.sent < LENGTH && !socket.destroyed) {
      const isRoom = socket.write(pattern(state.sent, PIECE))
      state.sent += PIECE
      if (!isRoom) await once(socket, 'drain')
    }
  }
  state.done = run()
  return state
}

/** Resolves when the counter has stood still for a while. */
async function standstill(progress: { readonly sent: number }): Promise<number> {
  for (let still = 0, last = -1; still < 15; ) {
    still = progress.sent === last ? still + 1 : 0
    last = progress.sent
    await delay(20)
  }
  return progress.sent
}

async function checkPattern(take: (length: number) => Promise<Buffer>): Promise<void> {
  for (let at = 0; at < LENGTH; at += PIECE) {
    assert.ok((await take(PIECE)).equals(pattern(at, PIECE)), `bytes at ${at}`)
  }
}

/** Hands the bytes on unchanged, with and without time of its own. */
const transforming = (isAsync: boolean): Middleware => ({
  name: 'transforming',
  handle(ctx) {
    ctx.request.transformBody((chunk) => (isAsync ? Promise.resolve(chunk) : chunk))
    ctx.response.transformBody((chunk) => (isAsync ? Promise.resolve(chunk) : chunk))
    return true
  },
})

/** The same by streams of the platform. */
const streaming: Middleware = {
  name: 'streaming',
  handle(ctx) {
    ctx.request.stream(new TransformStream())
    ctx.response.stream(new TransformStream())
    return true
  },
}

const CHAINS = {
  'no plugin': [],
  'a plugin that transforms': [transforming(false)],
  'a plugin that transforms in its own time': [transforming(true)],
  'a plugin that streams': [streaming],
} as const

for (const [how, plugins] of Object.entries(CHAINS)) {
  test(`a client that does not read holds the upstream back, through ${how}`, async (t) => {
    const { connection, peer } = await gatewayWith(t, { plugins })
    await connection.write(get())
    const upstream = await peer
    await once(upstream, 'data')
    connection.socket.pause()
    upstream.write(`HTTP/1.1 200 OK\r\nX-Framing: close\r\nConnection: close\r\n\r\n`)
    const poured = pour(upstream)
    const sent = await standstill(poured)
    assert.ok(sent < IN_FLIGHT_MAX, `${sent} bytes on their way`)
    const head = String(await connection.reader.takeThrough('\r\n\r\n'))
    assert.match(head, /transfer-encoding: chunked/)
    void poured.done.then(() => upstream.end())
    await checkPattern(chunksOf(connection.reader))
  })

  test(`an upstream that does not read holds the client back, through ${how}`, async (t) => {
    const { connection, peer } = await gatewayWith(t, { plugins })
    await connection.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LENGTH}\r\n\r\n`)
    const upstream = await peer
    upstream.pause()
    const poured = pour(connection.socket)
    const sent = await standstill(poured)
    assert.ok(sent < IN_FLIGHT_MAX, `${sent} bytes on their way`)
    const reader = new ByteReader(upstream, { paced: true })
    const head = String(await reader.takeThrough('\r\n\r\n'))
    const take = (length: number) => reader.take(length)
    await checkPattern(head.includes('transfer-encoding') ? chunksOf(reader) : take)
    upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    assert.equal((await connection.response()).text, 'ok')
  })
}

test('a connection whose last response was held back to its end serves the next request', async (t) => {
  const gate = Promise.withResolvers<void>()
  const slow: Middleware = {
    name: 'slow',
    handle(ctx) {
      ctx.response.transformBody((chunk) => gate.promise.then(() => chunk))
      return true
    },
  }
  const { connection, peer } = await gatewayWith(t, { plugins: [slow] })
  await connection.write(get())
  const upstream = await peer
  await once(upstream, 'data')
  upstream.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n')
  await turns()
  // Comes while the transform is busy; of its two chunks the second is held back again, with the end behind it.
  upstream.write('1\r\nc\r\n1\r\nd\r\n0\r\n\r\n')
  await turns()
  gate.resolve()
  assert.equal((await connection.response()).text, 'abcd')
  const sent = once(upstream, 'data')
  await connection.write(get())
  await sent
  upstream.write(ok('next'))
  assert.equal((await connection.response()).text, 'next')
})

/** Until both ends, which run in this process, have read what was on the loopback. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await nextTurn()
}

/** The content of a chunked message, whatever its chunks. */
function chunksOf(reader: ByteReader): (length: number) => Promise<Buffer> {
  let left: Buffer = Buffer.alloc(0)
  return async (length) => {
    const pieces = [left]
    let gathered = left.length
    while (gathered < length) {
      const size = Number.parseInt(String(await reader.takeThrough('\r\n')), 16)
      pieces.push(await reader.take(size))
      gathered += size
      await reader.take(2)
    }
    const all = Buffer.concat(pieces)
    left = all.subarray(length)
    return all.subarray(0, length)
  }
}
