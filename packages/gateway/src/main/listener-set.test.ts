import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { freePort } from '../../../../tests/support/free-port.ts'
import { ListenerSet } from './listener-set.ts'
import type { ListeningSocket } from './listening-socket.ts'

const ANY = { host: '127.0.0.1', port: 0 }

/** A handle that was closed has no name any more. */
const isOpen = (socket: ListeningSocket | undefined): boolean => socket?.handle.getsockname({}) === 0

test('stage() that fails leaves what is live', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const set = new ListenerSet()
  t.after(() => set.close())
  await set.stage([ANY])
  set.commit()
  const before = set.addresses
  await assert.rejects(set.stage([ANY, { host: '127.0.0.1', port }]), { code: 'LISTEN_FAILED' })
  set.commit()
  assert.deepEqual(set.addresses, before)
  assert.ok(set.sockets.every(isOpen))
})

test('stage() says so when it is the gateway itself that has the port, on another address', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  const server = createServer()
  t.after(() => server.close())
  const own = { host: '127.0.0.1', port: await freePort() }
  await set.stage([own])
  set.commit()
  server.listen(set.sockets[0]?.handle)
  await once(server, 'listening')
  await assert.rejects(set.stage([{ host: '0.0.0.0', port: own.port }]), {
    code: 'LISTEN_FAILED',
    message: new RegExp(`0\\.0\\.0\\.0:${own.port}: this gateway listens on 127\\.0\\.0\\.1:${own.port}, `),
  })
})

test('commit() keeps the socket that both sets name, and closes the one that only the old one does', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  const [first] = await set.stage([ANY, { host: 'localhost', port: 0 }])
  set.commit()
  const [kept, gone] = set.sockets
  const addresses = await set.stage([ANY])
  assert.equal(addresses[0]?.port, first?.port)
  assert.deepEqual(set.sockets, [kept, gone], 'nothing changes before commit')
  set.commit()
  assert.deepEqual(set.sockets, [kept])
  assert.deepEqual([isOpen(kept), isOpen(gone)], [true, false])
})

test('discard() forgets what was opened for a change that failed', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  await set.stage([ANY])
  set.discard()
  set.commit()
  assert.deepEqual(set.addresses, [])
})

test('discard() also forgets what is still being opened: its answer comes too late for the change', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  await set.stage([ANY])
  set.commit()
  const before = set.addresses
  // A name takes a moment to be looked up.
  const late = set.stage([{ host: 'localhost', port: 0 }])
  set.discard()
  await assert.rejects(late, { code: 'LISTEN_FAILED' })
  set.commit()
  assert.deepEqual(set.addresses, before)
  assert.ok(set.sockets.every(isOpen))
})

test('stage() gives up what an earlier one is still opening', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  const late = set.stage([{ host: 'localhost', port: 0 }])
  const addresses = await set.stage([ANY])
  await assert.rejects(late, { code: 'LISTEN_FAILED' })
  set.commit()
  assert.deepEqual(set.addresses, addresses)
})

test('stage() keeps what an earlier call has opened and it names too, and closes the rest', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  const [, kept] = await set.stage([{ host: 'localhost', port: 0 }, ANY])
  assert.deepEqual(await set.stage([ANY]), [kept])
  set.commit()
  assert.deepEqual(set.addresses, [kept])
  assert.ok(set.sockets.every(isOpen))
})

test('stageDecided() opens what can be opened; bindMissing() opens the rest once it can', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const lost = { host: '127.0.0.1', port }
  const set = new ListenerSet()
  t.after(() => set.close())
  const addresses = await set.stageDecided([lost, ANY])
  assert.equal(set.missing.length, 0, 'nothing is live before commit')
  set.commit()
  assert.deepEqual([set.addresses, addresses[0]], [addresses, lost])
  assert.deepEqual(
    set.sockets.map(({ address }) => address),
    addresses.slice(1),
  )

  await set.bindMissing()
  const [missing, ...others] = set.missing
  assert.deepEqual([missing?.address, others], [lost, []])
  assert.match(missing?.failure.reason ?? '', new RegExp(`:${port}: the address is in use`))
  assert.equal(missing?.failure.systemCode, 'EADDRINUSE')
  // It is in the way of no change.
  await set.stage([lost, ANY, { host: '127.0.0.1', port: await freePort() }])
  set.commit()
  other.close()
  await once(other, 'close')
  // However often it is tried at once.
  await Promise.all([set.bindMissing(), set.bindMissing()])
  assert.deepEqual([set.missing, set.sockets.length, set.sockets.every(isOpen)], [[], 3, true])
})

test('bindMissing() opens nothing that a change has given up meanwhile', async (t) => {
  const other = createServer().listen(0, 'localhost')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const set = new ListenerSet()
  t.after(() => set.close())
  await set.stageDecided([ANY, { host: 'localhost', port }])
  set.commit()
  await set.stage([ANY])
  other.close()
  await once(other, 'close')
  // A name takes a moment to be looked up.
  const late = set.bindMissing()
  set.commit()
  await late
  assert.deepEqual([set.missing, set.sockets.length], [[], 1])
  other.listen(port, 'localhost')
  await once(other, 'listening')
})

test('a bound socket that nobody listens on refuses connections', async (t) => {
  const set = new ListenerSet()
  t.after(() => set.close())
  const [address] = await set.stage([ANY])
  const socket = connect(address?.port ?? 0, '127.0.0.1')
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
})
