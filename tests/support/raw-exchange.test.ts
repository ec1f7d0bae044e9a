import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { DEAD_PORTS } from './free-port.ts'
import { rawExchange } from './raw-exchange.ts'

interface Peer extends AsyncDisposable {
  readonly port: number
}

async function startPeer(serve: (socket: Socket) => void): Promise<Peer> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('rawExchange() rejects when nobody listens', async () => {
  await assert.rejects(rawExchange(DEAD_PORTS[0], 'x'), { code: 'ECONNREFUSED' })
})

test('rawExchange() rejects past its deadline with the bytes so far', async () => {
  await using peer = await startPeer((socket) => socket.write('half an ans'))
  const exchange = rawExchange(peer.port, 'x', { deadlineMs: 100 })
  await assert.rejects(exchange, { message: /within 100 ms; received "half an ans"$/ })
})

test('rawExchange() tells a reset from a close', async () => {
  await using peer = await startPeer((socket) => {
    socket.once('data', (chunk) =>
      chunk.toString() === 'reset' ? socket.resetAndDestroy() : socket.end('bye'),
    )
  })
  assert.equal((await rawExchange(peer.port, 'reset')).ended, 'reset')
  const closed = await rawExchange(peer.port, 'close')
  assert.deepEqual([closed.ended, closed.text], ['closed', 'bye'])
})

test('rawExchange() keeps every byte value, both ways', async () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
  await using peer = await startPeer((socket) => socket.pipe(socket))
  for (const sent of [all, all.toString('latin1')]) {
    const { bytes } = await rawExchange(peer.port, sent, { halfClose: true })
    assert.deepEqual(bytes, all)
  }
})

test('rawExchange() sends pieces one after another and a FIN only when asked', async () => {
  const seen: string[] = []
  await using peer = await startPeer((socket) => {
    socket.on('data', (chunk) => {
      seen.push(chunk.toString())
      socket.write('.')
    })
    socket.on('end', () => socket.end('!'))
  })
  const open = await rawExchange(peer.port, ['one', 'two'], { idleMs: 100 })
  assert.equal(open.ended, 'idle')
  assert.ok(!open.text.includes('!'))
  assert.equal(seen.join(''), 'onetwo')
  const closed = await rawExchange(peer.port, 'three', { halfClose: true })
  assert.deepEqual([closed.ended, closed.text], ['closed', '.!'])
})

test('rawExchange() ends as soon as `until` says so', async () => {
  await using peer = await startPeer((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
  const { ended, text } = await rawExchange(peer.port, 'x', { until: (all) => all.endsWith('\r\n\r\n') })
  assert.deepEqual([ended, text], ['until', 'HTTP/1.1 200 OK\r\n\r\n'])
})
