import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { openListeningSocket } from '../packages/gateway/src/main/listening-socket.ts'
import type { ListenAddress } from '../packages/gateway/src/protocol/listen-address.ts'
import { respond, startDataPlane } from './support/data-plane.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

const LOOPBACK = '127.0.0.1'

/** A data plane that answers everything itself, and a second listener of it. */
async function twoListeners(t: Parameters<typeof startDataPlane>[0]) {
  const { plane, port } = await startDataPlane(t, { routes: [{ action: respond(200, 'here') }] })
  const second = await openListeningSocket({ host: LOOPBACK, port: 0 })
  plane.accept(second.handle, second.address)
  return { plane, first: { host: LOOPBACK, port }, second: second.address }
}

async function isRefused({ port }: ListenAddress): Promise<boolean> {
  const socket = connect({ port, host: LOOPBACK })
  try {
    await once(socket, 'connect')
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}

test('stopAccepting() ends one listener: its connections go on, and so does the other listener', async (t) => {
  const { plane, first, second } = await twoListeners(t)
  const before = await TestConnection.open(t, first.port)
  await before.request('GET', '/')
  assert.equal((await before.response()).text, 'here')
  plane.stopAccepting(first)
  assert.equal(await isRefused(first), true)
  await before.request('GET', '/')
  assert.equal((await before.response()).text, 'here')
  const other = await TestConnection.open(t, second.port)
  await other.request('GET', '/')
  assert.equal((await other.response()).text, 'here')
})

test('stopAccepting() in the middle of a request head lets the request be served', async (t) => {
  const { plane, first } = await twoListeners(t)
  const connection = await TestConnection.open(t, first.port)
  await connection.write('GET / HTTP/1.1\r\nHost: ap')
  await waitFor(() => plane.counters().connections === 1, 'the connection')
  plane.stopAccepting(first)
  await connection.write('p.test\r\n\r\n')
  assert.equal((await connection.response()).text, 'here')
})

test('accept() takes an address again that was given up', async (t) => {
  const { plane, first } = await twoListeners(t)
  plane.stopAccepting(first)
  const again = await openListeningSocket(first)
  plane.accept(again.handle, first)
  const connection = await TestConnection.open(t, first.port)
  await connection.request('GET', '/')
  assert.equal((await connection.response()).text, 'here')
})

test('stopAccepting() of an address that nobody listens on does nothing', async (t) => {
  const { plane, first, second } = await twoListeners(t)
  plane.stopAccepting({ host: LOOPBACK, port: 1 })
  plane.stopAccepting(first)
  plane.stopAccepting(first)
  assert.equal(await isRefused(second), false)
})

test('drain() closes every listener', async (t) => {
  const { plane, first, second } = await twoListeners(t)
  await plane.drain(0)
  assert.deepEqual([await isRefused(first), await isRefused(second)], [true, true])
})

test('a listening socket has TCP_NODELAY before it listens: on Linux every accepted one gets it from there', async (t) => {
  const { plane } = await startDataPlane(t, { routes: [{ action: respond(200, 'here') }] })
  const { handle, address } = await openListeningSocket({ host: LOOPBACK, port: 0 })
  const calls: string[] = []
  for (const method of ['setNoDelay', 'listen'] as const) {
    const original: (...args: never[]) => number = handle[method].bind(handle)
    t.mock.method(handle, method, (...args: never[]) => {
      const result = original(...args)
      calls.push(`${method}(${args.join()}) = ${result}`)
      return result
    })
  }
  plane.accept(handle, address)
  assert.deepEqual(calls, ['setNoDelay(true) = 0', 'listen(511) = 0'])
})
