import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { get, ok, post, problemOf } from './support/answers.ts'
import { startDataPlane, type UpstreamSettings } from './support/data-plane.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** TLS to the upstream: it must be whom it says it is, unless the config says that nobody checks. */

const fixture = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'fixtures/tls', name), 'utf8')

const CA = fixture('ca.pem')
const OTHER_CA = fixture('other-ca.pem')
const SERVER: ServerOptions = { cert: fixture('server.pem'), key: fixture('server.key') }

interface TlsUpstream {
  readonly port: number
  readonly serverNames: unknown[]
  readonly connections: TLSSocket[]
}

/** Answers every request with its own body. */
async function tlsUpstream(t: TestContext, options: ServerOptions = {}): Promise<TlsUpstream> {
  const serverNames: unknown[] = []
  const connections: TLSSocket[] = []
  const server = createHttpsServer({ ...SERVER, ...options }, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => response.end(Buffer.concat(pieces)))
  })
  server.on('secureConnection', (socket: TLSSocket & { servername?: unknown }) => {
    serverNames.push(socket.servername)
    connections.push(socket)
  })
  // Handshakes that fail are what some tests are about.
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, serverNames, connections }
}

const tls = (settings: { serverName?: string; ca?: string; verify?: boolean }): UpstreamSettings => ({
  tls: { serverName: '', ca: '', verify: true, ...settings },
})

test('the answer of an upstream that hangs up in the middle of the request is read', async (t) => {
  const server = createTlsServer(SERVER, (peer) => {
    peer.on('error', () => {})
    // What it has not read makes its kernel send a reset.
    peer.once('data', () => {
      peer.pause()
      peer.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch', () => peer.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const to = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const limits = { lingerBytesMax: 8 * 1024 * 1024 }
  const { port } = await startDataPlane(t, { to, upstream: tls({ verify: false }), limits })
  for (let client = 0; client < 20; client++) {
    const connection = await TestConnection.open(t, port)
    void connection.write(post('x'.repeat(3_000_000)))
    const answer = await connection.response()
    assert.deepEqual([answer.status, answer.text], [413, 'much'])
    connection.socket.destroy()
  }
})

/** What one request gets, over a gateway of its own: the status, or a problem's code. */
async function outcome(
  t: TestContext,
  to: string,
  upstream: UpstreamSettings,
): Promise<{ got: string | number; log: string }> {
  const { port, logged } = await startDataPlane(t, { to, upstream })
  const connection = await TestConnection.open(t, port)
  await connection.write(get())
  const answer = await connection.response()
  const log = logged.map(({ message }) => message).join()
  return { got: answer.status === 200 ? 200 : problemOf(answer).code, log }
}

test('an upstream that nobody vouches for is 502, and the log says why', async (t) => {
  const { port, connections } = await tlsUpstream(t)
  for (const ca of ['', OTHER_CA]) {
    const { got, log } = await outcome(t, `https://localhost:${port}`, tls({ ca }))
    assert.equal(got, 'UPSTREAM_CONNECT_FAILED')
    assert.match(log, /unable to|self-signed|issuer/i)
  }
  assert.equal(connections.filter(({ bytesRead }) => bytesRead > 0).length, 0)
})

test('an upstream whose certificate has another name is 502', async (t) => {
  const { port } = await tlsUpstream(t)
  for (const [host, serverName] of [
    ['127.0.0.1', ''],
    ['localhost', 'bank.test'],
  ] as const) {
    const { got, log } = await outcome(t, `https://${host}:${port}`, tls({ ca: CA, serverName }))
    assert.equal(got, 'UPSTREAM_CONNECT_FAILED')
    assert.match(log, /altnames|does not match/i)
  }
})

test('an upstream that does not speak TLS at all is 502', async (t) => {
  const upstream = await RecordingUpstream.start((peer) => peer.write(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  const { got } = await outcome(t, `https://127.0.0.1:${upstream.port}`, tls({ ca: CA }))
  assert.equal(got, 'UPSTREAM_CONNECT_FAILED')
})

test('a handshake that never ends is 504', async (t) => {
  const upstream = await RecordingUpstream.start(() => {})
  t.after(() => upstream[Symbol.asyncDispose]())
  const { got } = await outcome(t, `https://127.0.0.1:${upstream.port}`, {
    ...tls({ ca: CA }),
    connectTimeoutMs: 300,
  })
  assert.equal(got, 'UPSTREAM_CONNECT_TIMEOUT')
  await waitFor(() => upstream.connections[0]?.ended || upstream.connections[0]?.closed, 'the close')
})

test('`verify: false` takes any certificate', async (t) => {
  const { port } = await tlsUpstream(t)
  const { got } = await outcome(t, `https://127.0.0.1:${port}`, tls({ verify: false }))
  assert.equal(got, 200)
})

test('the certificate is checked against the target’s name, or `server_name`, which goes out as SNI', async (t) => {
  const { port, serverNames } = await tlsUpstream(t)
  assert.equal((await outcome(t, `https://localhost:${port}`, tls({ ca: CA }))).got, 200)
  const named = tls({ ca: CA, serverName: 'upstream.test' })
  assert.equal((await outcome(t, `https://127.0.0.1:${port}`, named)).got, 200)
  assert.deepEqual(serverNames, ['localhost', 'upstream.test'])
})

test('a resumed session is no way around the check: the name counts for each connection', async (t) => {
  const { port, connections } = await tlsUpstream(t)
  const gateway = await startDataPlane(t, {
    to: `https://localhost:${port}`,
    upstream: { ...tls({ ca: CA }), keepAliveMs: 0 },
  })
  const connection = await TestConnection.open(t, gateway.port)
  for (let round = 0; round < 3; round++) {
    await connection.write(get())
    assert.equal((await connection.response()).status, 200)
  }
  assert.equal(connections.length, 3)
  assert.ok(connections[2]?.isSessionReused())
})

test('bodies pass byte for byte over a connection that is kept', async (t) => {
  const { port, connections } = await tlsUpstream(t)
  const gateway = await startDataPlane(t, { to: `https://localhost:${port}`, upstream: tls({ ca: CA }) })
  const connection = await TestConnection.open(t, gateway.port)
  for (const size of [0, 1, 16_384, 65_536, 300_000, 3_000_000]) {
    const body = randomBytes(size)
    void connection.write(post(body.toString('latin1')))
    assert.ok((await connection.response()).body.equals(body), `${size} bytes`)
  }
  assert.equal(connections.length, 1)
})

test('HTTP/2 is not agreed on, though the upstream offers it', async (t) => {
  const { port, connections } = await tlsUpstream(t, { ALPNProtocols: ['h2', 'http/1.1'] })
  assert.equal((await outcome(t, `https://localhost:${port}`, tls({ ca: CA }))).got, 200)
  assert.equal(connections[0]?.alpnProtocol, 'http/1.1')
})

test('a tunnel over TLS can be closed in one direction and go on in the other', async (t) => {
  const server = createTlsServer({ ...SERVER, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    socket.once('data', () =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nbye'),
    )
    socket.on('data', (chunk) => received.push(chunk.toString('latin1')))
  }).listen(0, '127.0.0.1')
  const received: string[] = []
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const gateway = await startDataPlane(t, { to: `https://localhost:${port}`, upstream: tls({ ca: CA }) })
  const connection = await TestConnection.open(t, gateway.port)
  await connection.request('GET', '/', ['Connection: upgrade', 'Upgrade: echo'])
  assert.equal((await connection.response()).status, 101)
  assert.equal(String(await connection.reader.takeRest()), 'bye')
  await connection.write('still here')
  await waitFor(() => received.join('').endsWith('still here'), 'the bytes')
})
