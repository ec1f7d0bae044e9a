import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { systemClock } from './sweeper.ts'
import { TurnWrites } from './turn-writes.ts'
import { Wire, type WireOwner } from './wire.ts'

const MISTAKE = new Error('a mistake')
const OPTIONS = { relayBufferBytes: 1_024, writes: new TurnWrites(systemClock) }

/** Throws in every event, and notes what it is told of that. */
function clumsyOwner(): WireOwner & { readonly faults: unknown[] } {
  const fail = (): never => {
    throw MISTAKE
  }
  const faults: unknown[] = []
  return {
    faults,
    onBytes: fail,
    onEnd: fail,
    onDrain: fail,
    onSendTimeout: fail,
    onClosed: fail,
    onFault: (error) => void faults.push(error),
  }
}

const fail = (): never => {
  throw MISTAKE
}

/** As a kernel without room for more. */
function takeNothing(socket: Socket): void {
  socket._write = () => {}
}

for (const event of ['data', 'end', 'drain', 'timeout', 'close', 'secureConnect']) {
  test(`what the owner throws in an event of its socket goes to onFault(), and no further: ${event}`, () => {
    const socket = new Socket()
    const owner = clumsyOwner()
    const wire = Wire.secure(socket as TLSSocket, new TurnWrites(systemClock), owner, fail)
    takeNothing(socket)
    wire.writeText('unsent')
    socket.emit(event, Buffer.from('x'))
    assert.deepEqual(owner.faults, [MISTAKE])
  })
}

async function listening(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    t.after(() => socket.destroy())
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

test('what the owner throws when a plain connection stands, gets bytes and ends goes to onFault()', async (t) => {
  const port = await listening(t, (socket) => socket.end('bytes'))
  const owner = clumsyOwner()
  const { promise, resolve } = Promise.withResolvers<void>()
  const told: WireOwner = {
    ...owner,
    onFault(error) {
      // Of connect, bytes and end.
      if (owner.faults.push(error) === 3) resolve()
    },
  }
  const wire = Wire.connect({ port, host: '127.0.0.1' }, OPTIONS, told, fail)
  t.after(() => wire.destroy())
  await promise
  assert.deepEqual(owner.faults, [MISTAKE, MISTAKE, MISTAKE])
})

test('what the peer had sent before it hung up is read after a write that failed, however long that is paused', async (t) => {
  const { promise: gone, resolve } = Promise.withResolvers<void>()
  const port = await listening(t, (socket) => {
    socket.on('error', () => {})
    socket.once('close', resolve)
    // What it has not read makes the kernel send a reset.
    socket.once('data', () => {
      socket.pause()
      socket.end('answer', () => socket.destroy())
    })
  })
  let read = ''
  const closed = Promise.withResolvers<Error | null>()
  const owner: WireOwner = {
    ...clumsyOwner(),
    onBytes: (buffer, start, end) => {
      read += buffer.toString('latin1', start, end)
    },
    onEnd() {},
    onClosed: closed.resolve,
  }
  const connected = Promise.withResolvers<void>()
  const wire = Wire.connect({ port, host: '127.0.0.1' }, OPTIONS, owner, connected.resolve)
  await connected.promise
  wire.pause()
  wire.writeText('x'.repeat(200_000))
  await gone
  assert.equal(wire.isBroken, false)
  await waitFor(() => {
    if (!wire.isBroken) wire.writeText('more')
    return wire.isBroken
  }, 'a write to fail')
  assert.equal(read, '')
  wire.resume()
  assert.match(String(await closed.promise), /write (ECONNRESET|EPIPE)/)
  assert.equal(read, 'answer')
})

test('onSendTimeout() is told only while something is unsent: a peer that has taken all may be silent', () => {
  const socket = new Socket()
  const owner = clumsyOwner()
  const wire = Wire.secure(socket as TLSSocket, new TurnWrites(systemClock), owner, fail)
  socket.emit('timeout')
  assert.deepEqual(owner.faults, [])
  takeNothing(socket)
  wire.writeText('unsent')
  socket.emit('timeout')
  assert.deepEqual(owner.faults, [MISTAKE])
})

test('watchSending() of what waits for the end of the turn starts no timer unless some of it stays', () => {
  for (const isFull of [false, true]) {
    const socket = new Socket()
    const writes = new TurnWrites(systemClock)
    const wire = Wire.secure(socket as TLSSocket, writes, clumsyOwner(), fail)
    socket._write = (_chunk, _encoding, done) => (isFull ? undefined : done())
    writes.isGathering = true
    wire.writeText('answer')
    wire.watchSending(60_000)
    wire.end()
    assert.equal(socket.timeout, undefined)
    writes.write()
    assert.equal(socket.timeout, isFull ? 60_000 : undefined)
    wire.destroy()
  }
})

test('watchSending(0) takes back a watch that has not begun', () => {
  const socket = new Socket()
  const writes = new TurnWrites(systemClock)
  const wire = Wire.secure(socket as TLSSocket, writes, clumsyOwner(), fail)
  takeNothing(socket)
  writes.isGathering = true
  wire.writeText('answer')
  wire.watchSending(60_000)
  wire.watchSending(0)
  writes.write()
  assert.ok(!socket.timeout)
})
