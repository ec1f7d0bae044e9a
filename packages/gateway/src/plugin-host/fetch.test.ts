import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { permittedFetch } from './fetch.ts'

interface Seen {
  readonly line: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A server that records its requests; `answer` decides, 200 without content by default. */
async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end(),
): Promise<{ url: string; port: number; seen: Seen[]; server: Server }> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const body = Buffer.concat(pieces).toString()
    seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body })
    answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, seen, server }
}

const never = new AbortController().signal
const granted = (...ports: number[]) =>
  permittedFetch('sample', ['kv', ...ports.map((port) => `net:127.0.0.1:${port}`)], never)

test('fetch() refuses what was not granted before anything is sent', async (t) => {
  const { url, port, seen } = await serve(t)
  const denied = { code: 'PERMISSION_DENIED', plugin: 'sample' }
  await assert.rejects(granted()(url), {
    ...denied,
    message: new RegExp(`"net:127.0.0.1:${port}" is not in its`),
  })
  await assert.rejects(granted(port + 1)(url), denied)
  await assert.rejects(granted(80)('http://localhost'), { ...denied, message: /"net:localhost:80"/ })
  await assert.rejects(granted(80)('https://127.0.0.1/'), { ...denied, message: /"net:127.0.0.1:443"/ })
  await assert.rejects(granted(port)('data:text/plain,x'), {
    ...denied,
    message: /data: is neither http: nor/,
  })
  await assert.rejects(granted(port)('file:///etc/passwd'), denied)
  assert.deepEqual(seen, [])
})

test('fetch() rejects what is no URL, and the check that it would leave out', async () => {
  await assert.rejects(granted()('/relative'), TypeError)
  await assert.rejects(
    granted(80)('http://127.0.0.1', { integrity: 'sha256-x' }),
    /does not check `integrity`/,
  )
})

test('fetch() checks every hop of a redirect', async (t) => {
  const inner = await serve(t)
  const outer = await serve(t, (_, response) =>
    response.writeHead(302, { location: `${inner.url}/secret` }).end(),
  )
  await assert.rejects(granted(outer.port)(outer.url), { code: 'PERMISSION_DENIED' })
  assert.equal(outer.seen.length, 1)
  assert.deepEqual(inner.seen, [])
  const response = await granted(outer.port, inner.port)(outer.url)
  assert.equal(response.status, 200)
  assert.equal(response.redirected, true)
  assert.equal(response.url, `${inner.url}/secret`)
})

test('fetch() gives up on endless redirects', async (t) => {
  const { url, port, seen } = await serve(t, (_, response) =>
    response.writeHead(307, { location: '/' }).end(),
  )
  await assert.rejects(granted(port)(url), /more than 20 redirects/)
  assert.equal(seen.length, 21)
})

test('fetch() leaves redirects to the caller when told to', async (t) => {
  const { url, port, seen } = await serve(t, (_, response) =>
    response.writeHead(302, { location: '/b' }).end(),
  )
  const response = await granted(port)(url, { redirect: 'manual' })
  assert.equal(response.status, 302)
  assert.equal(response.headers.get('location'), '/b')
  await assert.rejects(granted(port)(url, { redirect: 'error' }), TypeError)
  assert.deepEqual(
    seen.map((one) => one.line),
    ['GET /', 'GET /'],
  )
})

test('fetch() turns POST into GET on 303 and repeats it on 307', async (t) => {
  const { url, port, seen } = await serve(t, (request, response) => {
    const status = { '/303': 303, '/307': 307 }[request.url ?? '']
    if (status === undefined) response.end()
    else response.writeHead(status, { location: '/there' }).end()
  })
  const post = { method: 'POST', body: 'data', headers: { 'content-type': 'text/plain' } }
  await granted(port)(`${url}/303`, post)
  await granted(port)(`${url}/307`, post)
  assert.deepEqual(
    seen.map((one) => [one.line, one.body, one.headers['content-type']]),
    [
      ['POST /303', 'data', 'text/plain'],
      ['GET /there', '', undefined],
      ['POST /307', 'data', 'text/plain'],
      ['POST /there', 'data', 'text/plain'],
    ],
  )
})

test('fetch() does not send a streamed body twice', async (t) => {
  const { url, port, seen } = await serve(t, (_, response) =>
    response.writeHead(307, { location: '/b' }).end(),
  )
  const body = new Blob(['data']).stream()
  await assert.rejects(granted(port)(url, { method: 'POST', body }), /a streamed body cannot be sent again/)
  assert.equal(seen.length, 1)
})

test('fetch() keeps credentials from other origins', async (t) => {
  const other = await serve(t)
  const { url, port, seen } = await serve(t, (request, response) => {
    const location = request.url === '/a' ? '/b' : other.url
    response.writeHead(302, { location }).end()
  })
  await granted(port, other.port)(`${url}/a`, { headers: { authorization: 'Bearer x', 'x-kept': 'y' } })
  assert.deepEqual(
    seen.map((one) => one.headers.authorization),
    ['Bearer x', 'Bearer x'],
  )
  assert.equal(other.seen[0]?.headers.authorization, undefined)
  assert.equal(other.seen[0]?.headers['x-kept'], 'y')
})

test('fetch() ignores a dispatcher, which could lead past the permissions', async (t) => {
  const { url, port } = await serve(t)
  const dispatcher = {
    dispatch() {
      throw new Error('reached')
    },
  }
  const init = { dispatcher } as unknown as RequestInit
  assert.equal((await granted(port)(url, init)).status, 200)
})

test('fetch() ends with the instance and with the signal of the caller', async (t) => {
  const { url, port } = await serve(t, () => {})
  const stopped = new AbortController()
  const fetch = permittedFetch('sample', [`net:127.0.0.1:${port}`], stopped.signal)
  const caller = new AbortController()
  const first = assert.rejects(fetch(url, { signal: caller.signal }), /caller gave up/)
  const second = assert.rejects(fetch(url), /instance stopped/)
  caller.abort(new Error('caller gave up'))
  await first
  stopped.abort(new Error('instance stopped'))
  await second
  await assert.rejects(fetch(url), /instance stopped/)
})
