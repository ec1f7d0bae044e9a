import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { startGateway } from './support/gateway.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'

/**
 * Trailers through a gateway with processes, as bytes: some servers take them for header fields, so what the gateway says
 * of a request in its head must not come once more from the client.
 */

const KEY = 'ck_a-key-for-this-test-and-nothing-else-000000'
const hash = `sha256:${createHash('sha256').update(KEY).digest('hex')}`

const KEY_AUTH = {
  consumers: { anna: { groups: ['apps'], keys: { first: { hash } } } },
  anonymous: { id: 'nobody' },
  // Of "anna" there is no plan: the name is the gateway's all the same.
  upstream_headers: { 'x-consumer-username': 'id', 'X-Consumer-Plan': 'metadata.plan' },
}

const ROUTES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  untouched: {},
  gathered: { gather: {} },
  replaced: { gather: { config: { replace: true } } },
  transformed: { transform: {} },
}

const plugin = (name: string, handle: string) => ({
  'plugin.json': { name, version: '1.0.0', scope: 'route', config: {} },
  'plugin.ts': `export const PluginMain = (config: { replace?: boolean }) => ({ name: '${name}', ${handle} })`,
})

const PLUGINS = {
  gather: plugin(
    'gather',
    `async handle(ctx) {
      const bytes = await ctx.request.bytes()
      if (config.replace === true) ctx.request.setBody(bytes)
      return true
    }`,
  ),
  transform: plugin(
    'transform',
    'handle(ctx) { ctx.request.transformBody((chunk) => chunk); ctx.response.transformBody((chunk) => chunk); return true }',
  ),
  strip: plugin(
    'strip',
    `handle(ctx) { ctx.response.headers.delete('x-internal'); return true },
     onResponse(ctx) {
       ctx.response.headers.delete('x-late')
       for (const edit of ['set', 'append']) {
         try {
           ctx.response.headers[edit]('x-tried', 'no\\0value')
         } catch (error) {
           if (!(error instanceof TypeError)) throw error
         }
       }
     }`,
  ),
}

async function start(t: TestContext, upstream: RecordingUpstream) {
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      log: { level: 'error' },
      upstreams: { app: { targets: [upstream.url] } },
      routes: Object.entries(ROUTES).map(([name, plugins]) => ({
        name,
        path: `/${name}`,
        upstream: 'app',
        plugins: { ...plugins, 'key-auth': { config: KEY_AUTH }, strip: {} },
      })),
    },
    plugins: PLUGINS,
  })
  return TestConnection.open(t, gateway.port)
}

/** What a client may write for the two names, and for what the gateway writes itself. */
const FORGED = [
  'x-consumer-username: admin',
  'X-CONSUMER-USERNAME: admin',
  'X-Consumer-Username:admin',
  'x_consumer_username: admin',
  'X_Consumer-USERNAME:\tadmin',
  'x-consumer-plan: admin',
  'X_CONSUMER_PLAN: admin',
  'x-api-key: admin',
  'X_Api_Key: admin',
  'x-named: admin',
  'X-Forwarded-For: admin',
  'x_forwarded_user: admin',
  'Forwarded: for=admin',
  'Via: 1.1 admin',
  'X-Request-Id: admin',
  'Connection: admin',
  'Keep-Alive: admin',
  'TE: admin',
  'Upgrade: admin',
  'Authorization: admin',
  'Cookie: a=admin',
  'Content_Type: admin',
]

test('no trailer says again what the gateway says in the head, announced or not, whatever was done to the body', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const connection = await start(t, upstream)
  let sent = 0
  for (const route of Object.keys(ROUTES)) {
    for (const key of [[`X-API-Key: ${KEY}`], []]) {
      for (const announced of [
        [],
        [`Trailer: X-Sum, ${FORGED.map((line) => line.split(':')[0]).join(', ')}`],
      ]) {
        for (const lines of [FORGED, FORGED.toReversed(), ...FORGED.map((line) => [line])]) {
          const trailers = ['X-Sum: 5', ...lines].map((line) => `${line}\r\n`).join('')
          await connection.request(
            'POST',
            `/${route}`,
            ['Transfer-Encoding: chunked', 'Connection: X-Named', ...key, ...announced],
            `5\r\nhello\r\n0\r\n${trailers}\r\n`,
          )
          assert.equal((await connection.response()).status, 200)
          const what = `${route} ${lines[0]} ${key} ${announced}`
          const request = upstream.requests[sent++] ?? ''
          assert.doesNotMatch(request.replace(/^trailer: .*$/m, ''), /admin/i, what)
          const consumer = key.length === 0 ? 'nobody' : 'anna'
          assert.deepEqual(request.match(/^x-consumer-.*$/gim), [`x-consumer-username: ${consumer}`], what)
          // A replaced body is another's, and has no trailers.
          assert.equal(request.endsWith('\r\nx-sum: 5\r\n\r\n'), route !== 'replaced', what)
        }
      }
    }
  }
  assert.equal(upstream.requests.length, sent)
})

test('trailers of other names reach the upstream as they came', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const connection = await start(t, upstream)
  for (const route of ['untouched', 'gathered', 'transformed']) {
    await connection.request(
      'POST',
      `/${route}`,
      ['Transfer-Encoding: chunked', `X-API-Key: ${KEY}`],
      '5\r\nhello\r\n0\r\nX-Sum: 5\r\nx-consumer: me\r\nX-Sum: 6\r\nx-named: 7\r\n\r\n',
    )
    assert.equal((await connection.response()).status, 200)
    assert.match(
      upstream.requests.at(-1) ?? '',
      /5\r\nhello\r\n0\r\nx-sum: 5\r\nx-consumer: me\r\nx-sum: 6\r\nx-named: 7\r\n\r\n$/,
    )
  }
})

test('no trailer of a response brings what a plugin took off its head', async (t) => {
  const trailers = ['X-Internal: secret', 'x_internal: secret', 'X-LATE: secret', 'X-Named: secret']
  await using upstream = await RecordingUpstream.start(
    answerEach(
      `HTTP/1.1 200 OK\r\nConnection: x-named\r\nTransfer-Encoding: chunked\r\nX-Internal: secret\r\nX-Late: secret\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n${trailers.join('\r\n')}\r\n\r\n`,
    ),
  )
  const connection = await start(t, upstream)
  for (const route of Object.keys(ROUTES)) {
    await connection.request('GET', `/${route}`)
    const response = await connection.response()
    assert.equal(response.text, 'ok')
    assert.deepEqual(response.trailers, [['x-sum', '2']], route)
    assert.deepEqual([response.field('x-internal'), response.field('x-late')], [null, null])
  }
})

test('a trailer goes on whose name a plugin could not give a value in the head', async (t) => {
  await using upstream = await RecordingUpstream.start(
    answerEach(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Tried: 2\r\nX-Late: 3\r\n\r\n',
    ),
  )
  const connection = await start(t, upstream)
  await connection.request('GET', '/untouched')
  const response = await connection.response()
  assert.equal(response.field('x-tried'), null)
  assert.deepEqual(response.trailers, [['x-tried', '2']])
})
