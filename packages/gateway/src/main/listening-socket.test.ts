import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { openListeningSocket } from './listening-socket.ts'

test('openListeningSocket() says which address is in use, and the way out', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await assert.rejects(openListeningSocket({ host: '127.0.0.1', port }), {
    code: 'LISTEN_FAILED',
    message: `Cannot listen on 127.0.0.1:${port}: the address is in use. Choose another port, or stop what uses it.`,
  })
})

test('openListeningSocket() refuses an address that this machine does not have', async () => {
  // TEST-NET-1 (RFC 5737): nobody's address.
  await assert.rejects(openListeningSocket({ host: '192.0.2.1', port: 0 }), {
    code: 'LISTEN_FAILED',
    message: /^Cannot listen on 192\.0\.2\.1:0: this machine does not have that address/,
  })
})

test('openListeningSocket() refuses a name without address', async () => {
  await assert.rejects(openListeningSocket({ host: 'no-such-host.invalid', port: 0 }), {
    code: 'LISTEN_FAILED',
    message: /^Cannot listen on "no-such-host\.invalid": the name has no address/,
  })
})

test('openListeningSocket() binds a free port for 0 and says which', async () => {
  const socket = await openListeningSocket({ host: '127.0.0.1', port: 0 })
  assert.equal(socket.address.host, '127.0.0.1')
  assert.ok(socket.address.port > 0)
  socket.handle.close()
})

test('openListeningSocket() resolves a name', async () => {
  const socket = await openListeningSocket({ host: 'localhost', port: 0 })
  assert.equal(socket.address.host, 'localhost')
  socket.handle.close()
})
