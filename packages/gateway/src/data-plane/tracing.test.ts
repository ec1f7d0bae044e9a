import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noteSecretParameters } from '@cardea/sdk'
import { exchangeBench } from './test-exchange.ts'

test('a traced exchange tells its way, though no plugin asked for a record', async (t) => {
  const { plane, clock, send } = exchangeBench(t, {
    chain: [
      { handle: () => true, onResponse: () => new Promise((resolve) => void clock.after(20, resolve)) },
      { handle: () => new Promise((resolve) => void clock.after(30, () => resolve(true))) },
      {
        handle() {
          throw new Error('oops')
        },
        plan: { onFailure: { kind: 'open' } },
      },
    ],
    upstream: { answer: () => ({ delayMs: 50, body: 'up' }) },
  })
  plane.tracing = true
  const sent = send('/path?query')
  await clock.advance(200)
  await sent
  assert.deepEqual(plane.traces[0], {
    id: 'test-1',
    worker: 3,
    generation: 7,
    method: 'GET',
    url: '/path?query',
    route: 'all',
    status: 200,
    totalMs: 100,
    upstreamMs: 50,
    target: 'http://origin.test',
    plugins: [
      { name: 'a', handle: 0, onResponse: 20, outcome: 'passed' },
      { name: 'b', handle: 30, onResponse: 0, outcome: 'passed' },
      { name: 'c', handle: 0, onResponse: 0, outcome: 'skipped' },
    ],
    error: null,
    aborted: false,
  })
  assert.equal(plane.traces.length, 1)
})

test('a traced exchange without plugins, or with a plugin that answers or fails, tells that', async (t) => {
  const told = async (setup: Parameters<typeof exchangeBench>[1]) => {
    const { plane, send } = exchangeBench(t, setup)
    plane.tracing = true
    await send()
    return plane.traces.map(({ status, error, plugins }) => [
      status,
      error,
      plugins.map(({ outcome }) => outcome).join(),
    ])
  }
  assert.deepEqual(await told({}), [[200, null, '']])
  assert.deepEqual(await told({ chain: [{ handle: (ctx) => ctx.response.send('own') }] }), [
    [200, null, 'answered'],
  ])
  const fail = () => {
    throw new Error('oops')
  }
  assert.deepEqual(await told({ chain: [{ handle: fail }] }), [[503, 'HOOK_THREW', 'failed']])
  assert.deepEqual(await told({ upstream: { connect: () => 'refuse' } }), [
    [502, 'UPSTREAM_CONNECT_FAILED', ''],
  ])
})

test('a traced request that matches no route, or has no readable path, has no route', async (t) => {
  const { plane, send } = exchangeBench(t, { route: { paths: ['/only'] } })
  plane.tracing = true
  await send('/other')
  await send('/%zz')
  assert.deepEqual(
    plane.traces.map(({ url, route, status, error }) => [url, route, status, error]),
    [
      ['/other', null, 404, 'ROUTE_NOT_FOUND'],
      ['/%zz', null, 400, 'REQUEST_MALFORMED'],
    ],
  )
})

test('a traced exchange whose client goes away is told too', async (t) => {
  const { plane, open } = exchangeBench(t, { upstream: { fault: 'silent' } })
  plane.tracing = true
  const client = open()
  client.abort()
  await client.finished
  assert.deepEqual(
    plane.traces.map(({ status, aborted, error }) => [status, aborted, error]),
    [[0, true, 'CLIENT_ABORTED']],
  )
})

test('without tracing nothing is told; what began before it was on, or ends after it was off, is not either', async (t) => {
  const { plane, clock, open, send } = exchangeBench(t, {
    upstream: { answer: () => ({ delayMs: 50, body: 'up' }) },
  })
  const before = open()
  plane.tracing = true
  await clock.advance(100)
  await before.finished
  const during = open()
  plane.tracing = false
  await clock.advance(100)
  await during.finished
  const after = send()
  await clock.advance(100)
  await after
  assert.deepEqual(plane.traces, [])
})

test('a trace shows the query without the values of secrets, whoever says that they are', async (t) => {
  const { plane, send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          noteSecretParameters(ctx, ['sig'])
          return true
        },
      },
    ],
  })
  plane.tracing = true
  await send('/a?api_key=one&page=2&s%69g=three&key&acc%65ssToken=four&=&x=%2B+&sig=')
  await send('/b?page=2')
  assert.deepEqual(
    plane.traces.map(({ url }) => url),
    [
      '/a?api_key=[redacted]&page=2&s%69g=[redacted]&key&acc%65ssToken=[redacted]&=&x=%2B+&sig=[redacted]',
      '/b?page=2',
    ],
  )
})
