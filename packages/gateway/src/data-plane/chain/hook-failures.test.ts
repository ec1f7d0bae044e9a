import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context, ExchangeError } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import type { OnFailure } from '../../protocol/generation.ts'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

const CLOSED: OnFailure = { kind: 'closed' }
const OPEN: OnFailure = { kind: 'open' }
const FALLBACK: OnFailure = {
  kind: 'fallback',
  status: 299,
  headers: { 'X-Fallback': 'yes' },
  body: 'instead',
}

const refuse = (): never => {
  throw new Error('looked at')
}

/** What a failing hook may do, each as sync and async. */
const ways: readonly (readonly [string, () => never | Promise<never>])[] = [
  [
    'throws',
    () => {
      throw new Error('oops')
    },
  ],
  [
    'throws a string',
    () => {
      throw 'oops'
    },
  ],
  [
    'throws undefined',
    () => {
      throw undefined
    },
  ],
  ['rejects', () => Promise.reject(new Error('oops'))],
  ['rejects with what no text can be made of', () => Promise.reject(Object.create(null))],
  [
    'throws an error whose message and stack throw when they are read',
    () => {
      throw Object.defineProperties(new Error('oops'), { message: { get: refuse }, stack: { get: refuse } })
    },
  ],
  [
    'rejects with what throws however it is looked at',
    () =>
      Promise.reject(new Proxy(new Error('oops'), { get: refuse, getPrototypeOf: refuse, ownKeys: refuse })),
  ],
  [
    'rejects later',
    async () => {
      await null
      throw null
    },
  ],
]

const passing = (ran: string[], name: string): Hooks => ({
  onResponse: (ctx) => void ran.push(`${name} ${ctx.response.status}`),
  onError: (_, error) => void ran.push(`${name} ${error.code} of ${error.plugin}`),
})

for (const [how, fail] of ways) {
  test(`handle() that ${how}: closed answers 503, and says nothing of why to the client`, async (t) => {
    const ran: string[] = []
    const { send, plane, logs } = exchangeBench(t, {
      chain: [passing(ran, 'a'), { handle: fail, plan: { onFailure: CLOSED } }, passing(ran, 'c')],
    })
    const { status, text } = await send()
    assert.equal(status, 503)
    assert.deepEqual(Object.keys(JSON.parse(text)), ['type', 'title', 'status', 'code', 'id'])
    assert.doesNotMatch(text, /oops/)
    assert.deepEqual(ran, ['a HOOK_THREW of b', 'a 503'])
    assert.equal(plane.seen.length, 0)
    assert.equal(logs.length, 1)
    assert.equal(logs[0]?.message, 'handle failed')
    assert.deepEqual([logs[0]?.fields.requestId, logs[0]?.fields.route], ['test-1', 'all'])
  })

  test(`handle() that ${how}: open skips the plugin`, async (t) => {
    const ran: string[] = []
    const skipped = { ...passing(ran, 'b'), handle: fail, plan: { onFailure: OPEN } }
    const { send, plane, logs } = exchangeBench(t, { chain: [passing(ran, 'a'), skipped, passing(ran, 'c')] })
    assert.equal((await send()).status, 200)
    assert.deepEqual(ran, ['c 200', 'a 200'])
    assert.equal(plane.seen.length, 1)
    assert.equal(logs.length, 1)
  })

  test(`handle() that ${how}: fallback answers what is configured`, async (t) => {
    const ran: string[] = []
    const { send } = exchangeBench(t, {
      chain: [passing(ran, 'a'), { handle: fail, plan: { onFailure: FALLBACK } }],
    })
    const { status, headers, text } = await send()
    assert.deepEqual([status, headers.get('x-fallback'), text], [299, 'yes', 'instead'])
    assert.deepEqual(ran, ['a HOOK_THREW of b', 'a 299'])
  })

  test(`onResponse() that ${how}: the answer is replaced, and only hooks not yet run see it`, async (t) => {
    const ran: string[] = []
    const failing = (onFailure: OnFailure) => [
      passing(ran, 'a'),
      { ...passing(ran, 'b'), onResponse: fail, plan: { onFailure } },
      passing(ran, 'c'),
    ]
    const upstream = { headers: { 'x-origin': 'o' }, body: 'from upstream' }
    const closed = await exchangeBench(t, { chain: failing(CLOSED), upstream }).send()
    assert.equal(closed.status, 503)
    assert.equal(closed.headers.get('x-origin'), null)
    assert.deepEqual(ran.splice(0), ['c 200', 'a HOOK_THREW of b', 'a 503'])

    const fallback = await exchangeBench(t, { chain: failing(FALLBACK), upstream }).send()
    assert.deepEqual([fallback.status, fallback.text], [299, 'instead'])
    assert.deepEqual(ran.splice(0), ['c 200', 'a HOOK_THREW of b', 'a 299'])

    const open = await exchangeBench(t, { chain: failing(OPEN), upstream }).send()
    assert.deepEqual([open.status, open.text, open.headers.get('x-origin')], [200, 'from upstream', 'o'])
    assert.deepEqual(ran.splice(0), ['c 200', 'a 200'])
  })

  test(`onError() that ${how} changes nothing`, async (t) => {
    const ran: string[] = []
    const { send, logs } = exchangeBench(t, {
      chain: [passing(ran, 'a'), { ...passing(ran, 'b'), onError: fail }],
      upstream: { connect: () => 'refuse' },
    })
    assert.equal((await send()).status, 502)
    assert.deepEqual(ran, ['a UPSTREAM_CONNECT_FAILED of null', 'b 502', 'a 502'])
    assert.equal(logs.at(-1)?.message, 'onError failed')
  })

  test(`onFinish() that ${how} keeps no other from running`, async (t) => {
    const ran: string[] = []
    const { send, logs } = exchangeBench(t, {
      chain: [{ onFinish: () => void ran.push('a') }, { onFinish: fail }],
    })
    assert.equal((await send()).status, 200)
    assert.deepEqual(ran, ['a'])
    assert.equal(logs[0]?.message, 'onFinish failed')
  })
}

test('the log of a failure has the stack mapped to the source', async (t) => {
  const { send, logs } = exchangeBench(t, {
    chain: [
      {
        handle() {
          throw new Error('oops')
        },
      },
    ],
  })
  await send()
  assert.deepEqual(logs, [
    {
      level: 'error',
      message: 'handle failed',
      fields: { code: 'HOOK_THREW', requestId: 'test-1', route: 'all', stack: 'mapped: oops' },
    },
  ])
})

test("where failures are shown as they are reported none is logged too but those that are no plugin's", async (t) => {
  let thrown: Error = new Error('oops')
  const { send, logs, plane } = exchangeBench(t, {
    chain: [
      {
        handle() {
          throw thrown
        },
      },
    ],
  })
  plane.guards.isWatched = true
  await send()
  assert.equal(logs.length, 0)
  plane.guards.report()
  assert.deepEqual(
    plane.faults.map((fault) => fault.kind === 'failures' && fault.failure.message),
    ['handle of plugin "a" failed: oops'],
  )
  thrown = new GatewayError('REQUEST_BODY_TIMEOUT')
  await send()
  assert.deepEqual(
    logs.map(({ fields }) => fields.code),
    ['REQUEST_BODY_TIMEOUT'],
  )
})

test('two failing onResponse() hooks: the last answer stands', async (t) => {
  const ran: string[] = []
  const failing = (status: number): Hooks => ({
    onResponse() {
      throw new Error('oops')
    },
    plan: { onFailure: { kind: 'fallback', status, headers: {}, body: String(status) } },
  })
  const { send } = exchangeBench(t, { chain: [passing(ran, 'a'), failing(298), failing(299)] })
  const { status, text } = await send()
  assert.deepEqual([status, text], [298, '298'])
  assert.deepEqual(ran, ['a HOOK_THREW of c', 'a HOOK_THREW of b', 'a 298'])
})

test('onError() may not change what is answered before onResponse() does', async (t) => {
  const refusals: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        onError(ctx) {
          try {
            ctx.response.send('mine')
          } catch (error) {
            refusals.push(error)
          }
        },
        onResponse: (ctx) => ctx.response.headers.set('x-seen', String(ctx.response.status)),
      },
    ],
    upstream: { connect: () => 'refuse' },
  })
  const { status, headers } = await send()
  assert.deepEqual([status, headers.get('x-seen')], [502, '502'])
  assert.equal(refusals.length, 1)
})

test('onError() hears what failed, whose fault it is, and the status', async (t) => {
  const errors: ExchangeError[] = []
  const note = (_: Context, error: ExchangeError) => void errors.push(error)
  await exchangeBench(t, { chain: [{ onError: note }], upstream: { connect: () => 'refuse' } }).send()
  await exchangeBench(t, {
    chain: [{ onError: note }],
    upstream: { answer: () => ({ fault: 'malformed' }) },
  }).send()
  assert.deepEqual(
    errors.map(({ code, source, status, plugin }) => ({ code, source, status, plugin })),
    [
      { code: 'UPSTREAM_CONNECT_FAILED', source: 'upstream', status: 502, plugin: null },
      { code: 'UPSTREAM_RESPONSE_INVALID', source: 'upstream', status: 502, plugin: null },
    ],
  )
})

test('a response cut after its head left is reset, and onError() alone hears of it', async (t) => {
  const ran: string[] = []
  const { open, plane, clock } = exchangeBench(t, {
    chain: [{ ...passing(ran, 'a'), onFinish: (_, record) => void ran.push(`finish ${record.error}`) }],
    upstream: { body: ['some', { pauseMs: 1 }], ends: 'cut' },
  })
  const { response, finished } = open()
  assert.equal((await response.head).status, 200)
  await clock.advance(1)
  await assert.rejects(response.content, /The gateway reset the connection/)
  await finished
  assert.deepEqual(ran, ['a 200', 'a UPSTREAM_CLOSED of null', 'finish UPSTREAM_CLOSED'])
  assert.equal(plane.openExchanges, 0)
})

test('an error of ours that a plugin has changed and throws on counts as its own', async (t) => {
  for (const code of ['HOOK_NONSENSE', 'toString', undefined, {}]) {
    const { send, logs } = exchangeBench(t, {
      chain: [
        {
          async handle(ctx) {
            try {
              await ctx.request.json()
            } catch (error) {
              throw Object.assign(error as Error, { code })
            }
            return true
          },
        },
      ],
    })
    const { status, text } = await send({ method: 'POST', body: 'no JSON' })
    assert.deepEqual([status, JSON.parse(text).code], [503, 'HOOK_THREW'])
    assert.equal(logs[0]?.fields.code, 'HOOK_THREW')
  }
})

test('failures of one instance that come too often are left out of the log, and counted', async (t) => {
  const oops = (): never => {
    throw new Error('oops')
  }
  const { send, plane, clock, logs } = exchangeBench(t, {
    chain: [{ handle: oops, plan: { onFailure: OPEN } }],
  })
  for (let request = 0; request < 15; request++) assert.equal((await send()).status, 200)
  assert.equal(logs.length, 10)
  await clock.advance(2_000)
  await send()
  await send()
  assert.deepEqual(
    logs.slice(-2).map(({ fields }) => fields.leftOut),
    [5, undefined],
  )
  await clock.advance(2_000)
  const counts = plane.faults.flatMap((event) => (event.kind === 'failures' ? [event.count] : []))
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    17,
  )
})

test('onError() may write into what it is told, and nobody else sees it', async (t) => {
  const told: unknown[] = []
  const writing: Hooks = {
    onError(_, error) {
      told.push({ ...error })
      Object.assign(error, { code: 'FORGED', source: 'client', status: 200, plugin: 'other' })
    },
    onFinish: (_, record) => void told.push(record.error),
  }
  const { send } = exchangeBench(t, { chain: [writing, writing], upstream: { connect: () => 'refuse' } })
  assert.equal((await send()).status, 502)
  const error = { code: 'UPSTREAM_CONNECT_FAILED', source: 'upstream', status: 502, plugin: null }
  const [first, second, ...records] = told as { message: string }[]
  assert.deepEqual([first, second], [{ ...error, message: first?.message }, first])
  assert.deepEqual(records, [error.code, error.code])
})
