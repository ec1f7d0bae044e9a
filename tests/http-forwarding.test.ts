import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Middleware } from '@cardea/sdk'
import { ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'

/** What an upstream is told of the client, and what it is not told: hop-by-hop fields (RFC 9110, 7.6). */

type Lines = readonly (readonly [name: string, value: string])[]

/** The requests as the upstream got them. */
async function forwarded(
  t: TestContext,
  requests: readonly string[],
  spec: DataPlaneSpec = {},
): Promise<{ line: string; fields: Lines; port: number }[]> {
  const upstream = await RecordingUpstream.start(answerEach(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, { to: upstream.url, ...spec })
  for (const request of requests) {
    const connection = await TestConnection.open(t, port)
    await connection.write(request)
    assert.equal((await connection.response()).status, 200)
  }
  return upstream.requests.map((text) => {
    const [line = '', ...rest] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n')
    const fields = rest.map((field) => {
      const colon = field.indexOf(': ')
      return [field.slice(0, colon), field.slice(colon + 2)] as const
    })
    return { line, fields, port }
  })
}

const request = (...lines: string[]): string =>
  ['GET / HTTP/1.1', 'Host: app.test', ...lines, '', ''].join('\r\n')

function valuesOf(fields: Lines, name: string): string[] {
  return fields.flatMap(([known, value]) => (known === name ? [value] : []))
}

test('an absolute-form target becomes path and Host; what Host said does not count', async (t) => {
  const [first, second, third] = await forwarded(t, [
    'GET http://Other.test:8080/a/%62?q=1 HTTP/1.1\r\nHost: app.test\r\n\r\n',
    'GET http://other.test HTTP/1.1\r\nHost: app.test\r\n\r\n',
    'GET http://other.test?q HTTP/1.1\r\nHost: app.test\r\n\r\n',
  ])
  assert.equal(first?.line, 'GET /a/b?q=1 HTTP/1.1')
  assert.deepEqual(valuesOf(first?.fields ?? [], 'host'), ['Other.test:8080'])
  assert.equal(second?.line, 'GET / HTTP/1.1')
  assert.equal(third?.line, 'GET /?q HTTP/1.1')
})

test('OPTIONS * is forwarded as it is', async (t) => {
  const [first] = await forwarded(t, ['OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n'])
  assert.equal(first?.line, 'OPTIONS * HTTP/1.1')
})

test('hop-by-hop fields go, and with them what Connection names, but neither Host nor the length', async (t) => {
  const body =
    'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\nConnection: host, content-length\r\n\r\nok'
  const [first, second] = await forwarded(t, [
    request(
      'Connection: close, X-Mine , keep-alive',
      'Connection: x-also',
      'X-Mine: 1',
      'X-Also: 2',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'TE: trailers, deflate',
      'Upgrade: h2c',
      'X-Stays: 3',
    ),
    body,
  ])
  const names = first?.fields.map(([name]) => name) ?? []
  for (const gone of ['connection', 'x-mine', 'x-also', 'keep-alive', 'proxy-connection', 'te', 'upgrade']) {
    assert.ok(!names.includes(gone), gone)
  }
  assert.deepEqual(valuesOf(first?.fields ?? [], 'x-stays'), ['3'])
  assert.deepEqual(valuesOf(second?.fields ?? [], 'host'), ['app.test'])
  assert.deepEqual(valuesOf(second?.fields ?? [], 'content-length'), ['2'])
})

test('hop-by-hop fields of a response go likewise, and Via is added', async (t) => {
  const upstream = await RecordingUpstream.start(
    answerEach(
      ok(
        'ok',
        'Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nVia: 1.0 before\r\nX-Stays: 3\r\n',
      ),
    ),
  )
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, { to: upstream.url, settings: { viaName: 'door' } })
  const connection = await TestConnection.open(t, port)
  await connection.write(request())
  const answer = await connection.response()
  for (const gone of ['connection', 'x-mine', 'keep-alive', 'proxy-connection']) {
    assert.equal(answer.field(gone), null, gone)
  }
  assert.deepEqual([answer.field('x-stays'), answer.field('via')], ['3', '1.0 before, 1.1 door'])
})

test('Via says in which version a message came', async (t) => {
  const [seen] = await forwarded(t, ['GET / HTTP/1.0\r\nHost: app.test\r\nVia: 1.1 edge\r\n\r\n'])
  assert.deepEqual(valuesOf(seen?.fields ?? [], 'via'), ['1.1 edge', '1.0 cardea'])
  const upstream = await RecordingUpstream.start((peer) => {
    if (peer.take(peer.pending.length).startsWith('GET ')) peer.end('HTTP/1.0 200 OK\r\n\r\nold')
  })
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, { to: upstream.url })
  const connection = await TestConnection.open(t, port)
  await connection.write(request())
  const answer = await connection.response()
  assert.deepEqual([answer.text, answer.field('via')], ['old', '1.0 cardea'])
})

test('OPTIONS and TRACE go no further than Max-Forwards says, after the plugins', async (t) => {
  const upstream = await RecordingUpstream.start(answerEach(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  let calls = 0
  const counting: Middleware = { name: 'counting', handle: () => calls++ >= 0 }
  const { port } = await startDataPlane(t, { to: upstream.url, plugins: [counting] })
  const connection = await TestConnection.open(t, port)
  const answers: (readonly [method: string, given: string, status: number])[] = [
    ['OPTIONS', '0', 204],
    ['TRACE', '0', 501],
    ['GET', '0', 200],
    ['OPTIONS', '1', 200],
    ['TRACE', '99999999999999999999', 200],
    ['OPTIONS', 'some', 200],
  ]
  for (const [method, given, status] of answers) {
    await connection.write(`${method} / HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: ${given}\r\n\r\n`)
    assert.equal((await connection.response()).status, status, `${method} with ${given}`)
  }
  const left = upstream.requests.map((text) => /max-forwards: (.*)\r\n/.exec(text)?.[1])
  assert.deepEqual(left, ['0', '0', '999', 'some'])
  assert.equal(calls, answers.length)
})

test('fields keep their order and their number', async (t) => {
  const [first] = await forwarded(t, [request('B: 1', 'A: 2', 'B: 3', 'Cookie: x=1', 'Cookie: y=2')])
  const own = first?.fields.filter(([name]) => ['a', 'b', 'cookie'].includes(name))
  assert.deepEqual(own, [
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
    ['cookie', 'x=1'],
    ['cookie', 'y=2'],
  ])
})

test('the upstream learns of the client, and a client that lies is not believed', async (t) => {
  const [first] = await forwarded(t, [
    request(
      'X-Forwarded-For: 6.6.6.6',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: evil.test',
      'X-Forwarded-Port: 1',
      'Forwarded: for=6.6.6.6',
      'X-Request-Id: mine',
      'Via: 1.1 before',
    ),
  ])
  const { fields = [], port } = first ?? {}
  assert.deepEqual(
    ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'forwarded', 'via'].map(
      (name) => valuesOf(fields, name),
    ),
    [
      ['127.0.0.1'],
      ['http'],
      ['app.test'],
      [String(port)],
      ['for=127.0.0.1;host=app.test;proto=http'],
      ['1.1 before', '1.1 cardea'],
    ],
  )
  const [id] = valuesOf(fields, 'x-request-id')
  assert.match(id ?? '', /^[0-9a-f]+-1-1$/)
})

test('a trusted proxy is believed: its hops stay, the peer is added', async (t) => {
  const told = request(
    'X-Forwarded-For: 203.0.113.7, 10.0.0.2',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: shop.example',
  )
  const [trusting, other] = [
    await forwarded(t, [told], { settings: { trustedProxies: ['10.0.0.0/8', '127.0.0.0/8'] } }),
    await forwarded(t, [told], { settings: { trustedProxies: ['10.0.0.0/8'] } }),
  ]
  const seen = (fields: Lines) =>
    ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port'].map((name) =>
      valuesOf(fields, name).join(),
    )
  assert.deepEqual(seen(trusting[0]?.fields ?? []), [
    '203.0.113.7, 10.0.0.2, 127.0.0.1',
    'https',
    'shop.example',
    '443',
  ])
  assert.deepEqual(seen(other[0]?.fields ?? []), ['127.0.0.1', 'http', 'app.test', String(other[0]?.port)])
})

test("X-Forwarded-* that the gateway does not write are a trusted proxy's to send, nobody else's", async (t) => {
  const claims = request('X-Forwarded-User: root', 'x-forwarded-prefix: /a', 'X-Other: 1')
  const [untrusted, identified] = await forwarded(t, [claims, request('X-Request-Id: mine')])
  for (const name of ['x-forwarded-user', 'x-forwarded-prefix']) {
    assert.deepEqual(valuesOf(untrusted?.fields ?? [], name), [], name)
  }
  assert.deepEqual(valuesOf(untrusted?.fields ?? [], 'x-other'), ['1'])
  const ids = valuesOf(identified?.fields ?? [], 'x-request-id')
  assert.equal(ids.length, 1)
  assert.notEqual(ids[0], 'mine')
  const [trusted] = await forwarded(t, [claims], { settings: { trustedProxies: ['127.0.0.0/8'] } })
  assert.deepEqual(valuesOf(trusted?.fields ?? [], 'x-forwarded-user'), ['root'])
  assert.deepEqual(valuesOf(trusted?.fields ?? [], 'x-forwarded-prefix'), ['/a'])
})

test("routes see the forwarding fields of trusted proxies, and nobody else's", async (t) => {
  const answer = (body: string) => ({ kind: 'respond', status: 200, headers: {}, body }) as const
  const routeOf = async (name: string, trustedProxies: readonly string[]): Promise<string> => {
    const { port } = await startDataPlane(t, {
      routes: [{ headers: { [name]: 'told' }, action: answer('claimed') }, { action: answer('rest') }],
      settings: { trustedProxies },
    })
    const connection = await TestConnection.open(t, port)
    await connection.write(request(`${name}: told`))
    return (await connection.response()).text
  }
  for (const name of ['x-forwarded-proto', 'forwarded', 'x-forwarded-user', 'x-request-id']) {
    assert.equal(await routeOf(name, ['127.0.0.0/8']), 'claimed', name)
    assert.equal(await routeOf(name, ['10.0.0.0/8']), 'rest', name)
  }
  assert.equal(await routeOf('x-other', []), 'claimed')
})

test('an upstream can get a Host of its own', async (t) => {
  const upstream = await RecordingUpstream.start(answerEach(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, {
    upstreams: { app: { targets: [upstream.url] } },
    routes: [
      { paths: ['/target'], action: { kind: 'upstream', upstream: 'app', host: { kind: 'target' } } },
      {
        paths: ['/literal'],
        action: { kind: 'upstream', upstream: 'app', host: { kind: 'literal', value: 'internal.test' } },
      },
    ],
  })
  const connection = await TestConnection.open(t, port)
  for (const target of ['/target', '/literal']) {
    await connection.request('GET', target)
    assert.equal((await connection.response()).status, 200)
  }
  const hosts = upstream.requests.map((text) =>
    [...text.matchAll(/^host: (.*)\r$/gm)].map(([, host]) => host),
  )
  assert.deepEqual(hosts, [[`127.0.0.1:${upstream.port}`], ['internal.test']])
})

test('a request that no route takes is 404 or 405 with its id, and the connection lives on', async (t) => {
  const upstream = await RecordingUpstream.start(answerEach(ok()))
  t.after(() => upstream[Symbol.asyncDispose]())
  const { port } = await startDataPlane(t, {
    upstreams: { app: { targets: [upstream.url] } },
    routes: [
      {
        paths: ['/app'],
        methods: ['GET', 'PUT'],
        action: { kind: 'upstream', upstream: 'app', host: { kind: 'preserve' } },
      },
    ],
  })
  const connection = await TestConnection.open(t, port)
  const answers: unknown[] = []
  for (const [method, target] of [
    ['GET', '/nowhere'],
    ['DELETE', '/app'],
    ['GET', '//app'],
    ['GET', '/app'],
  ] as const) {
    await connection.request(method, target)
    const answer = await connection.response()
    answers.push(
      answer.status === 200
        ? 200
        : [problemOf(answer).code, answer.field('allow'), problemOf(answer).id !== undefined],
    )
  }
  assert.deepEqual(answers, [
    ['ROUTE_NOT_FOUND', null, true],
    ['METHOD_NOT_ALLOWED', 'GET, HEAD, PUT', true],
    ['ROUTE_NOT_FOUND', null, true],
    200,
  ])
})
