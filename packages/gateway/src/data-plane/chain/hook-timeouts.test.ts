import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** A hook that settles when the test says so. */
function held<T>() {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  return { hook: () => promise, resolve, reject }
}

const never = () => new Promise<never>(() => {})
/** Deadlines are looked at ten times a second. */
const SWEEP_MS = 100

test('handle() that does not settle in timeout_ms fails, not before', async (t) => {
  const { open, clock, logs } = exchangeBench(t, {
    chain: [{ handle: never, plan: { timeoutMs: 500 } }],
  })
  const { response } = open()
  await clock.advance(499)
  assert.equal(logs.length, 0)
  await clock.advance(SWEEP_MS)
  const { status } = await response.head
  assert.equal(status, 503)
  assert.equal(JSON.parse((await response.content).toString()).code, 'HOOK_TIMEOUT')
  assert.equal(logs[0]?.fields.code, 'HOOK_TIMEOUT')
})

test('a timed-out handle() under open is skipped, under fallback replaced', async (t) => {
  for (const [plan, status] of [
    [{ onFailure: { kind: 'open' } }, 200],
    [{ onFailure: { kind: 'fallback', status: 299, headers: {}, body: '' } }, 299],
  ] as const) {
    const { open, clock } = exchangeBench(t, { chain: [{ handle: never, plan }] })
    const { response } = open()
    await clock.advance(1_000 + SWEEP_MS)
    assert.equal((await response.head).status, status)
  }
})

test('each hook of a chain has its own time', async (t) => {
  const slow = () => held<boolean>()
  const hooks = [slow(), slow()]
  const { open, clock } = exchangeBench(t, { chain: hooks.map(({ hook }) => ({ handle: hook })) })
  const { response } = open()
  await clock.advance(900)
  hooks[0]?.resolve(true)
  await clock.advance(900)
  hooks[1]?.resolve(true)
  assert.equal((await response.head).status, 200)
})

test('onResponse() that times out is replaced, under open passed over', async (t) => {
  const ran: string[] = []
  const first: Hooks = { onResponse: (ctx) => void ran.push(`a ${ctx.response.status}`) }
  const closed = exchangeBench(t, { chain: [first, { onResponse: never }], upstream: { body: 'x' } })
  const { response } = closed.open()
  await closed.clock.advance(1_000 + SWEEP_MS)
  assert.equal((await response.head).status, 503)
  const open = exchangeBench(t, {
    chain: [first, { onResponse: never, plan: { onFailure: { kind: 'open' } } }],
    upstream: { body: 'x' },
  })
  const passed = open.open()
  await open.clock.advance(1_000 + SWEEP_MS)
  assert.equal((await passed.response.head).status, 200)
  assert.equal((await passed.response.content).toString(), 'x')
  assert.deepEqual(ran, ['a 503', 'a 200'])
})

test('onError() and onFinish() that time out are given up, and the next runs', async (t) => {
  const ran: string[] = []
  const { open, clock, logs } = exchangeBench(t, {
    chain: [
      { onError: () => void ran.push('a.onError'), onFinish: () => void ran.push('a.onFinish') },
      { onError: never, onFinish: never },
    ],
    upstream: { connect: () => 'refuse' },
  })
  const { response, finished } = open()
  await clock.advance(1_000 + SWEEP_MS)
  assert.equal((await response.head).status, 502)
  assert.deepEqual(ran, ['a.onError'])
  await clock.advance(1_000 + SWEEP_MS)
  await finished
  assert.deepEqual(ran, ['a.onError', 'a.onFinish'])
  const failures = logs.filter(({ level }) => level === 'error').map(({ message }) => message)
  assert.deepEqual(failures, ['onError failed', 'onFinish failed'])
})

test('what a timed-out handle() settles with later changes nothing', async (t) => {
  for (const late of ['resolve true', 'resolve false', 'reject'] as const) {
    const slow = held<boolean>()
    const { open, clock, logs, plane } = exchangeBench(t, {
      chain: [{ handle: slow.hook, plan: { onFailure: { kind: 'open' } } }, { handle: async () => true }],
    })
    const { response } = open()
    await clock.advance(1_000 + SWEEP_MS)
    if (late === 'reject') slow.reject(new Error('too late'))
    else slow.resolve(late === 'resolve true')
    await clock.advance(1_000)
    assert.equal((await response.head).status, 200)
    assert.equal(plane.seen.length, 1)
    assert.equal(logs.length, 1)
  }
})

test('what a timed-out hook still does throws CONTEXT_REVOKED and changes nothing', async (t) => {
  const slow = held<void>()
  const thrown: unknown[] = []
  const attempt = (act: () => unknown): void => {
    try {
      act()
    } catch (error) {
      thrown.push((error as { code?: string }).code)
    }
  }
  const second = held<boolean>()
  const first: Hooks = {
    handle(ctx) {
      ctx.values.set('early', 'kept')
      ctx.request.query.set('early', '1')
      return true
    },
  }
  const timedOut: Hooks = {
    async handle(ctx) {
      const { query, headers } = ctx.request
      const { values } = ctx
      const responseHeaders = ctx.response.headers
      await slow.hook()
      attempt(() => headers.set('x-late', '1'))
      attempt(() => responseHeaders.set('x-late', '1'))
      attempt(() => ctx.request.path)
      attempt(() => ctx.response.send('late'))
      // These two are plain objects, and cannot throw.
      query.set('late', '1')
      values.set('late', 1)
      return true
    },
    plan: { onFailure: { kind: 'open' } },
  }
  const last: Hooks = {
    async handle(ctx) {
      await second.hook()
      assert.equal(ctx.values.has('late'), false)
      assert.equal(ctx.values.get('early'), 'kept')
      return true
    },
  }
  const { open, clock, plane } = exchangeBench(t, { chain: [first, timedOut, last] })
  const { response } = open('/path?a=b')
  await clock.advance(1_000 + SWEEP_MS)
  slow.resolve()
  await clock.advance(0)
  second.resolve(true)
  const { status, fields } = await response.head
  assert.equal(status, 200)
  assert.ok(fields.every(([name]) => name !== 'x-late'))
  assert.equal(plane.seen[0]?.url, '/path?a=b&early=1')
  assert.equal(plane.seen[0]?.headers.has('x-late'), false)
  assert.deepEqual(thrown, ['CONTEXT_REVOKED', 'CONTEXT_REVOKED', 'CONTEXT_REVOKED', 'CONTEXT_REVOKED'])
})

test("waiting for the client's bytes does not count", async (t) => {
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        async handle(ctx) {
          return ctx.response.send(await ctx.request.text())
        },
        plan: { timeoutMs: 300 },
      },
    ],
  })
  const client = open({ method: 'POST', streamed: true })
  client.write(Buffer.from('one '))
  await clock.advance(20_000)
  client.write(Buffer.from('two'))
  await clock.advance(20_000)
  client.end()
  const { status } = await client.response.head
  assert.equal(status, 200)
  assert.equal((await client.response.content).toString(), 'one two')
})

test('time before and after the wait for bytes counts', async (t) => {
  const before = held<void>()
  const { open, clock, logs } = exchangeBench(t, {
    chain: [
      {
        async handle(ctx) {
          await before.hook()
          await ctx.request.text()
          await never()
          return true
        },
      },
    ],
  })
  const client = open({ method: 'POST', streamed: true })
  await clock.advance(600)
  before.resolve()
  await clock.advance(10_000)
  client.end()
  await clock.advance(300)
  assert.equal(logs.length, 0)
  await clock.advance(200)
  assert.equal(logs[0]?.fields.code, 'HOOK_TIMEOUT')
  assert.equal((await client.response.head).status, 503)
})

/** It goes on before the body that it asked for is there. */
const forgetful: readonly (readonly [string, Hooks])[] = [
  [
    'has returned',
    {
      handle(ctx) {
        ctx.request.bytes().catch(() => {})
        return true
      },
    },
  ],
  [
    'has settled',
    {
      async handle(ctx) {
        ctx.request.bytes().catch(() => {})
        return true
      },
    },
  ],
]

for (const [how, reader] of forgetful) {
  test(`a hook that hangs times out, also while one that ${how} has asked for a body that is to come`, async (t) => {
    const { open, clock, logs } = exchangeBench(t, { chain: [reader, { handle: never }] })
    const client = open({ method: 'POST', streamed: true })
    client.write(Buffer.from('some'))
    await clock.advance(1_000 + SWEEP_MS)
    assert.deepEqual(
      logs.map(({ fields }) => fields.code),
      ['HOOK_TIMEOUT'],
    )
    assert.equal((await client.response.head).status, 503)
  })

  test(`waiting for bytes that one which ${how} asked for first does not count`, async (t) => {
    const second: Hooks = { handle: async (ctx) => ctx.response.send(await ctx.request.text()) }
    const { open, clock } = exchangeBench(t, { chain: [reader, second] })
    const client = open({ method: 'POST', streamed: true })
    client.write(Buffer.from('one '))
    await clock.advance(20_000)
    client.write(Buffer.from('two'))
    client.end()
    assert.equal((await client.response.content).toString(), 'one two')
  })
}

test("waiting for the upstream's bytes does not count either", async (t) => {
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        async onResponse(ctx) {
          ctx.response.headers.set('x-body', await ctx.response.text())
        },
      },
    ],
    upstream: { body: ['a', { pauseMs: 30_000 }, 'b'] },
  })
  const { response } = open()
  await clock.advance(30_000)
  const { status, fields } = await response.head
  assert.equal(status, 200)
  assert.ok(fields.some(([name, value]) => name === 'x-body' && value === 'ab'))
})

test('a client that stops sending ends the wait with 408', async (t) => {
  const settled: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        async handle(ctx) {
          await ctx.request.text().catch((error: { code: string }) => settled.push(error.code))
          return true
        },
      },
    ],
  })
  const { response } = open({ method: 'POST', streamed: true })
  await clock.advance(30_000)
  assert.equal((await response.head).status, 408)
  await clock.advance(0)
  assert.deepEqual(settled, ['REQUEST_BODY_TIMEOUT'])
})
