import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ExchangeBench, exchangeBench, type Hooks } from '../test-exchange.ts'

/** Exchanges that go another way while a hook runs, and what its plugin's later hooks get. */

type Client = ReturnType<ExchangeBench['open']>

/** What answers, or ends, an exchange whose `handle` is still waited for. */
const ways: readonly (readonly [string, number, (client: Client, bench: ExchangeBench) => unknown])[] = [
  ['a bad chunk', 400, (client) => client.breakBody('REQUEST_MALFORMED', 'The chunk has no size')],
  ['a client that stops sending', 408, (_, { clock }) => clock.advance(30_000)],
  ['a body that is too large', 413, (client) => client.write(Buffer.from('too large'))],
  ['a client that goes away', 0, (client) => client.abort()],
]

function benchOf(t: Parameters<typeof exchangeBench>[0], chain: readonly Hooks[]): ExchangeBench {
  return exchangeBench(t, { chain, route: { requestBodyBytesMax: 8 } })
}

const REQUEST = { method: 'POST', target: '/a?b=c', headers: { 'x-who': 'me' }, streamed: true } as const

/** Failures that the plugins are blamed for. */
async function blamed({ plane, clock }: ExchangeBench): Promise<number> {
  await clock.advance(1_100)
  return plane.faults.reduce((sum, fault) => sum + (fault.kind === 'failures' ? fault.count : 0), 0)
}

/** With the status, and without the field that a hook sets too late. */
async function assertAnswered({ response }: Client, status: number): Promise<void> {
  const head = await response.head
  assert.equal(head.status, status)
  assert.ok(head.fields.every(([name]) => name !== 'x-late'))
}

function thrownBy(act: () => unknown): unknown {
  try {
    act()
    return null
  } catch (error) {
    return (error as Error).name
  }
}

for (const [what, status, happen] of ways) {
  test(`${what} while handle() is waited for: onFinish() writes its line, and nobody is blamed`, async (t) => {
    const bench = benchOf(t, [
      {
        async handle(ctx) {
          ctx.own = { since: 7 }
          ctx.values.set('user', 'me')
          await ctx.request.text()
          return true
        },
        onFinish(ctx, record) {
          const { own, request, response, route, values } = ctx
          const facts = [own, request.path, request.headers.get('x-who'), response.status, route.name]
          ctx.log.info('audit', { facts: [...facts, values.get('user'), record.status] })
        },
      },
    ])
    const client = bench.open(REQUEST)
    await bench.clock.advance(0)
    await happen(client, bench)
    await client.finished
    if (status !== 0) assert.equal((await client.response.head).status, status)
    assert.deepEqual(
      bench.logs.filter(({ message }) => message !== 'handle failed').map(({ fields }) => fields.facts),
      [[{ since: 7 }, '/a', 'me', status, 'all', 'me', status]],
    )
    assert.equal(await blamed(bench), 0)
  })

  test(`${what}: what a handle() that was waited for does after it changes nothing`, async (t) => {
    const signalled = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const late: unknown[] = []
    const told: unknown[] = []
    const bench = benchOf(t, [
      {
        // Holds the exchange while the other plugin goes on.
        onError: () => goOn.promise,
        onFinish(ctx, record) {
          told.push([...ctx.values], ctx.request.url, record.url)
        },
      },
      {
        async handle(ctx) {
          const { values, request, response } = ctx
          const { query } = request
          ctx.own = 'early'
          ctx.signal.addEventListener('abort', () => values.set('by', 'the listener'))
          ctx.signal.addEventListener('abort', () => signalled.resolve())
          request.bytes().catch(() => {})
          await signalled.promise
          queueMicrotask(goOn.resolve)
          values.set('late', 1)
          ctx.values.set('late', 1)
          query.set('late', '1')
          request.query.set('late', '1')
          ctx.own = 'late'
          late.push(ctx.id, request.path, ctx.signal.aborted)
          late.push(
            thrownBy(() => request.headers.set('x-late', '1')),
            thrownBy(() => Reflect.set(request, 'path', '/late')),
            thrownBy(() => response.headers.set('x-late', '1')),
            thrownBy(() => Reflect.set(response, 'status', 299)),
            thrownBy(() => response.setBody('late')),
            thrownBy(() => response.send('late')),
          )
          return true
        },
        onFinish: (ctx) => void told.push(ctx.own),
      },
    ])
    const client = bench.open(REQUEST)
    await bench.clock.advance(0)
    await happen(client, bench)
    await client.finished
    assert.deepEqual(late, ['test-1', '/a', true, ...Array(6).fill('TypeError')])
    assert.deepEqual(told, ['early', [], '/a?b=c', '/a?b=c'])
    if (status !== 0) {
      await assertAnswered(client, status)
    }
    assert.equal(await blamed(bench), 0)
  })
}

test('a handle() that breaks the request by what it asks for, and throws then, changes nothing of the answer', async (t) => {
  const waiting = Promise.withResolvers<boolean>()
  const answered = Promise.withResolvers<void>()
  const finished: unknown[] = []
  const bench = benchOf(t, [
    { handle: () => waiting.promise, onResponse: () => answered.promise },
    {
      handle(ctx) {
        ctx.request.bytes().catch(() => {})
        ctx.values.set('late', 1)
        throw new Error('too late')
      },
      onFinish: (ctx) => void finished.push(ctx.id, [...ctx.values]),
    },
  ])
  const client = bench.open(REQUEST)
  client.write(Buffer.from('too large'))
  waiting.resolve(true)
  await bench.clock.advance(0)
  answered.resolve()
  await client.finished
  assert.equal((await client.response.head).status, 413)
  assert.deepEqual(finished, ['test-1', []])
  assert.equal(await blamed(bench), 0)
})

test('an onResponse() that is waited for when the upstream breaks off changes nothing; onFinish() can read', async (t) => {
  const signalled = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const seen: unknown[] = []
  const bench = exchangeBench(t, {
    chain: [
      { onResponse: () => goOn.promise },
      {
        async onResponse(ctx) {
          ctx.signal.addEventListener('abort', () => signalled.resolve())
          ctx.response.bytes().catch(() => {})
          await signalled.promise
          queueMicrotask(goOn.resolve)
          seen.push(
            ctx.response.status,
            thrownBy(() => ctx.response.headers.set('x-late', '1')),
          )
        },
        onFinish: (ctx, { status }) => void seen.push(ctx.id, status),
      },
    ],
    upstream: { body: ['some', { pauseMs: 10 }], ends: 'cut' },
  })
  const client = bench.open()
  await bench.clock.advance(20)
  await client.finished
  await assertAnswered(client, 502)
  assert.deepEqual(seen, [502, 'TypeError', 'test-1', 502])
  assert.equal(await blamed(bench), 0)
})

test('an onResponse() that is called when the upstream turns out to be broken changes nothing of the answer', async (t) => {
  const goOn = Promise.withResolvers<void>()
  const tried = Promise.withResolvers<void>()
  const ran: unknown[] = []
  const second: Hooks = {
    async onResponse(ctx) {
      ran.push(`second ${ctx.response.status}`)
      await ctx.response.bytes().catch(() => {})
      ran.push(thrownBy(() => ctx.response.headers.set('x-late', '1')))
      setImmediate(tried.resolve)
      throw new Error('too late')
    },
    onFinish: (ctx) => void ran.push(ctx.id),
  }
  const bench = exchangeBench(t, {
    chain: [
      {
        onResponse(ctx) {
          ran.push(`first ${ctx.response.status}`)
          return tried.promise
        },
      },
      second,
      { onResponse: () => goOn.promise },
    ],
    upstream: { body: ['some', 'more'], ends: 'cut' },
  })
  const client = bench.open()
  // What follows the head is held meanwhile.
  await bench.clock.advance(10)
  goOn.resolve()
  await client.finished
  await assertAnswered(client, 502)
  assert.deepEqual(ran, ['second 200', 'first 502', 'TypeError', 'test-1'])
  assert.equal(await blamed(bench), 0)
})

const never = () => new Promise<never>(() => {})

test('a hook that hangs times out, also while an onResponse() that was overtaken waits for a body', async (t) => {
  const reads = Promise.withResolvers<void>()
  const { open, clock, logs } = exchangeBench(t, {
    chain: [
      { onResponse: never },
      {
        plan: { timeoutMs: 60_000 },
        // The body does not come before the other's time is over.
        onResponse: (ctx) => ctx.response.transformBody(never),
      },
      {
        async onResponse(ctx) {
          await ctx.response.bytes().catch(() => {})
          reads.resolve()
          await ctx.response.bytes()
        },
      },
    ],
    upstream: { body: ['some', { pauseMs: 10 }], ends: 'cut' },
  })
  const client = open()
  await clock.advance(20)
  await reads.promise
  await clock.advance(1_100)
  assert.deepEqual(
    logs.filter(({ level }) => level === 'error').map(({ fields }) => fields.code),
    ['HOOK_TIMEOUT'],
  )
  assert.equal((await client.response.head).status, 503)
})

for (const onFailure of ['closed', 'open'] as const) {
  test(`after a timeout of handle() under ${onFailure}: onFinish() gets a context with the same own, and writes its line`, async (t) => {
    const { open, clock, logs } = exchangeBench(t, {
      chain: [
        {
          plan: { onFailure: { kind: onFailure } },
          handle(ctx) {
            ctx.own = 'kept'
            return never()
          },
          onFinish: (ctx, { status }) => ctx.log.info('audit', { line: [ctx.own, ctx.request.path, status] }),
        },
      ],
    })
    const { finished } = open('/a')
    await clock.advance(1_100)
    await finished
    const status = onFailure === 'open' ? 200 : 503
    assert.deepEqual(
      logs.map(({ message, fields }) => [message, fields.line]),
      [
        ['handle failed', undefined],
        ['audit', ['kept', '/a', status]],
      ],
    )
  })
}

test('a plugin whose onError() timed out still sees the response', async (t) => {
  const { open, clock } = exchangeBench(t, {
    chain: [{ onError: never, onResponse: (ctx) => ctx.response.headers.set('x-policy', 'strict') }],
    upstream: { connect: () => 'refuse' },
  })
  const { response } = open()
  await clock.advance(1_100)
  const { fields } = await response.head
  assert.ok(fields.some(([name, value]) => name === 'x-policy' && value === 'strict'))
})

test('a plugin whose onResponse() timed out and was passed over still hears of an error', async (t) => {
  const ran: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        plan: { onFailure: { kind: 'open' } },
        onResponse: never,
        onError: (ctx, { code }) => void ran.push(ctx.id, code),
      },
    ],
    upstream: { body: ['some', { pauseMs: 5_000 }, 'more'] },
  })
  const client = open()
  await clock.advance(1_100)
  await client.response.head
  client.abort()
  await client.finished
  assert.deepEqual(ran, ['test-1', 'CLIENT_ABORTED'])
})
