import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context, ExchangeError } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** Middlewares that note what ran, as `a.handle`. */
function noting(ran: string[], names: string, changes: Readonly<Record<string, Hooks>> = {}): Hooks[] {
  return [...names].map((name) => ({
    onResponse: (ctx: Context) => void ran.push(`${name}.onResponse ${ctx.response.status}`),
    onError: (_: Context, error: ExchangeError) => void ran.push(`${name}.onError ${error.code}`),
    onFinish: () => void ran.push(`${name}.onFinish`),
    ...changes[name],
    handle(ctx: Context) {
      ran.push(`${name}.handle`)
      return changes[name]?.handle?.(ctx) ?? true
    },
  }))
}

test('handle() runs in chain order, onResponse() and onFinish() in reverse', async (t) => {
  const ran: string[] = []
  const { send } = exchangeBench(t, { chain: noting(ran, 'abc'), upstream: { status: 201, body: 'hello' } })
  const { status, text } = await send()
  assert.deepEqual([status, text], [201, 'hello'])
  assert.deepEqual(ran, [
    'a.handle',
    'b.handle',
    'c.handle',
    'c.onResponse 201',
    'b.onResponse 201',
    'a.onResponse 201',
    'c.onFinish',
    'b.onFinish',
    'a.onFinish',
  ])
})

test('hooks keep their order whether they return promises or not', async (t) => {
  const ran: string[] = []
  const slowly = { handle: () => Promise.resolve(true) }
  const chain = noting(ran, 'abcd', { b: slowly, c: slowly })
  const late = chain.map((hooks) => ({
    ...hooks,
    onResponse: async (ctx: Context) => {
      await null
      await hooks.onResponse?.(ctx)
    },
  }))
  const { send } = exchangeBench(t, { chain: late })
  await send()
  assert.deepEqual(ran.slice(0, 8), [
    'a.handle',
    'b.handle',
    'c.handle',
    'd.handle',
    'd.onResponse 200',
    'c.onResponse 200',
    'b.onResponse 200',
    'a.onResponse 200',
  ])
})

test('an empty chain relays the exchange and makes no record', async (t) => {
  const { send, plane } = exchangeBench(t, { upstream: { body: 'hello' } })
  const { text } = await send({ method: 'POST', body: 'content' })
  assert.equal(text, 'hello')
  assert.equal(plane.seen[0]?.text(), 'content')
})

test('handle() returning false answers: later plugins never run, nor does its own onResponse()', async (t) => {
  const ran: string[] = []
  const chain = noting(ran, 'abc', { b: { handle: (ctx) => ctx.response.send('mine', { status: 403 }) } })
  const { send, plane } = exchangeBench(t, { chain })
  const { status, text } = await send()
  assert.deepEqual([status, text], [403, 'mine'])
  assert.deepEqual(ran, ['a.handle', 'b.handle', 'a.onResponse 403', 'b.onFinish', 'a.onFinish'])
  assert.equal(plane.seen.length, 0)
})

test('the first plugin answers without any onResponse()', async (t) => {
  const ran: string[] = []
  const chain = noting(ran, 'ab', { a: { handle: (ctx) => ctx.response.send() } })
  const { send } = exchangeBench(t, { chain })
  const { status, text } = await send()
  assert.deepEqual([status, text], [200, ''])
  assert.deepEqual(ran, ['a.handle', 'a.onFinish'])
})

const troubles = [
  ['refuses', { connect: () => 'refuse' as const }, 502, 'UPSTREAM_CONNECT_FAILED'],
  ['has no address', { connect: () => 'unknown' as const }, 502, 'UPSTREAM_DNS_FAILED'],
  [
    'answers with what is not HTTP',
    { answer: () => ({ fault: 'malformed' as const }) },
    502,
    'UPSTREAM_RESPONSE_INVALID',
  ],
  ['closes without an answer', { answer: () => ({ fault: 'closed' as const }) }, 502, 'UPSTREAM_CLOSED'],
] as const

for (const [what, upstream, status, code] of troubles) {
  test(`an upstream that ${what} is a ${status}: onError() before onResponse(), both in reverse`, async (t) => {
    const ran: string[] = []
    const { send, logs } = exchangeBench(t, { chain: noting(ran, 'ab'), upstream })
    const response = await send()
    assert.equal(response.status, status)
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    const problem = JSON.parse(response.text)
    assert.equal(problem.code, code)
    assert.equal(problem.id, 'test-1')
    assert.deepEqual(ran, [
      'a.handle',
      'b.handle',
      `b.onError ${code}`,
      `a.onError ${code}`,
      `b.onResponse ${status}`,
      `a.onResponse ${status}`,
      'b.onFinish',
      'a.onFinish',
    ])
    assert.equal(logs.at(-1)?.fields.code, code)
  })
}

const timeouts = [
  ['accepts no connection', { connect: () => 'hang' as const }, 5_000, 'UPSTREAM_CONNECT_TIMEOUT'],
  ['says nothing', { answer: () => ({ fault: 'silent' as const }) }, 60_000, 'UPSTREAM_RESPONSE_TIMEOUT'],
] as const

for (const [what, upstream, afterMs, code] of timeouts) {
  test(`an upstream that ${what} is a 504 after its timeout`, async (t) => {
    const ran: string[] = []
    const { open, clock } = exchangeBench(t, { chain: noting(ran, 'a'), upstream })
    const { response } = open()
    await clock.advance(afterMs - 1)
    assert.deepEqual(ran, ['a.handle'])
    await clock.advance(1)
    assert.equal((await response.head).status, 504)
    assert.deepEqual(ran.slice(1, 3), [`a.onError ${code}`, 'a.onResponse 504'])
  })
}

test('onResponse() of every plugin sees the answer of a respond route', async (t) => {
  const ran: string[] = []
  const action = { kind: 'respond', status: 299, headers: { 'x-own': 'yes' }, body: 'stored' } as const
  const { send } = exchangeBench(t, { chain: noting(ran, 'ab'), route: { action } })
  for (let times = 0; times < 2; times++) {
    const { status, headers, text } = await send()
    assert.deepEqual([status, headers.get('x-own'), text], [299, 'yes', 'stored'])
  }
  assert.deepEqual(ran.slice(0, 4), ['a.handle', 'b.handle', 'b.onResponse 299', 'a.onResponse 299'])
})

test('onResponse() of every plugin sees the answer of a redirect route', async (t) => {
  const ran: string[] = []
  const action = { kind: 'redirect', status: 308, location: '/new' } as const
  const { send } = exchangeBench(t, { chain: noting(ran, 'ab'), route: { action } })
  const { status, headers } = await send()
  assert.deepEqual([status, headers.get('location')], [308, '/new'])
  assert.deepEqual(ran.slice(2, 4), ['b.onResponse 308', 'a.onResponse 308'])
})

test('requests without a route run no plugin', async (t) => {
  const ran: string[] = []
  const { send } = exchangeBench(t, {
    chain: noting(ran, 'a'),
    route: { paths: ['/a', '/a/*'], methods: ['GET'] },
  })
  const absent = await send('/b')
  assert.deepEqual([absent.status, JSON.parse(absent.text).code], [404, 'ROUTE_NOT_FOUND'])
  const wrong = await send({ target: '/a', method: 'PUT' })
  assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD'])
  const odd = await send('/a//b')
  assert.equal(odd.status, 400)
  assert.deepEqual(ran, [])
})
