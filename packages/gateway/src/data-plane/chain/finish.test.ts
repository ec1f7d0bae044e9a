import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FinishRecord } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

const recording = (records: FinishRecord[]): Hooks => ({ onFinish: (_, record) => void records.push(record) })

test('onFinish() runs once, after the last byte', async (t) => {
  const ran: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [{ onFinish: (_, record) => void ran.push(`finished after ${record.responseBytes}`) }],
    upstream: { body: ['one', { pauseMs: 50 }, 'two'] },
  })
  const { response, finished } = open()
  assert.equal((await response.head).status, 200)
  await clock.advance(49)
  assert.deepEqual(ran, [])
  await clock.advance(1)
  await finished
  await clock.advance(1_000)
  assert.deepEqual(ran, ['finished after 6'])
})

test('onFinish() runs for every plugin entered: passed, skipped, failed and answering, not for later ones', async (t) => {
  const ran: string[] = []
  const fails = () => {
    throw new Error('no')
  }
  const hooks: Hooks[] = [
    {},
    { handle: fails, plan: { onFailure: { kind: 'open' } } },
    { handle: (ctx) => ctx.response.send() },
    {},
  ]
  const records: FinishRecord[] = []
  const chain = hooks.map((each, index) => ({
    ...each,
    onFinish(_: unknown, record: FinishRecord) {
      ran.push('abcd'.charAt(index))
      records.push(record)
    },
  }))
  await exchangeBench(t, { chain }).send()
  assert.deepEqual(ran, ['c', 'b', 'a'])
  assert.deepEqual(
    records[0]?.plugins.map(({ name, outcome }) => [name, outcome]),
    [
      ['a', 'passed'],
      ['b', 'skipped'],
      ['c', 'answered'],
    ],
  )
  assert.equal(new Set(records).size, 1)
})

for (const [how, fail] of [
  [
    'throws',
    () => {
      throw new Error('no')
    },
  ],
  ['rejects', () => Promise.reject(new Error('no'))],
  ['takes too long', () => new Promise<never>(() => {})],
] as const) {
  test(`the record says of an onResponse() that ${how} whether it was passed over`, async (t) => {
    const told = async (onFailure: 'open' | 'closed') => {
      const records: FinishRecord[] = []
      const failing: Hooks = { onResponse: fail, plan: { onFailure: { kind: onFailure } } }
      const { open, clock } = exchangeBench(t, { chain: [recording(records), failing, {}] })
      const { finished } = open()
      await clock.advance(2_000)
      await finished
      return records[0]?.plugins.map(({ outcome }) => outcome)
    }
    assert.deepEqual(await told('open'), ['passed', 'skipped', 'passed'])
    assert.deepEqual(await told('closed'), ['passed', 'failed', 'passed'])
  })
}

test('a plugin whose onResponse() was passed over still hears of an error, and of the end', async (t) => {
  const ran: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        onResponse() {
          throw new Error('no')
        },
        onError: (_, { code }) => void ran.push(code),
        onFinish: (_, { plugins }) => void ran.push(`finish ${plugins[0]?.outcome}`),
        plan: { onFailure: { kind: 'open' } },
      },
    ],
    upstream: { body: ['some', { pauseMs: 10 }, 'more'] },
  })
  const client = open()
  await client.response.head
  client.abort()
  await client.finished
  await clock.advance(1_000)
  assert.deepEqual(ran, ['CLIENT_ABORTED', 'finish skipped'])
})

test('the record tells what the exchange was and cost', async (t) => {
  const records: FinishRecord[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        ...recording(records),
        async handle(ctx) {
          ctx.request.path = '/elsewhere'
          ctx.request.method = 'PUT'
          await waiting.promise
          return true
        },
      },
    ],
    upstream: { delayMs: 30, status: 201, body: ['abc', { pauseMs: 20 }, 'defg'] },
  })
  const waiting = Promise.withResolvers<void>()
  const startedAt = clock.unixMs()
  const { finished } = open({ method: 'POST', target: '/x?y', body: 'content', clientIp: '203.0.113.9' })
  await clock.advance(10)
  waiting.resolve()
  await clock.advance(100)
  await finished
  assert.deepEqual(records, [
    {
      id: 'test-1',
      generation: 7,
      route: 'all',
      upstream: 'origin',
      target: 'http://origin.test',
      clientIp: '203.0.113.9',
      method: 'POST',
      host: 'gateway.test',
      url: '/x?y',
      protocol: 'HTTP/1.1',
      status: 201,
      requestBytes: 7,
      responseBytes: 7,
      startedAt,
      durations: { total: 60, handle: 10, connect: 0, upstream: 30, response: 20 },
      plugins: [{ name: 'a', handle: 10, onResponse: 0, outcome: 'passed' }],
      error: null,
      aborted: false,
    },
  ])
  assert.deepEqual(structuredClone(records), records)
})

test('the record of an answer has no target, that of a failure its code', async (t) => {
  const records: FinishRecord[] = []
  await exchangeBench(t, {
    chain: [{ ...recording(records), handle: (ctx) => ctx.response.send('x', { status: 403 }) }],
  }).send()
  await exchangeBench(t, { chain: [recording(records)], upstream: { connect: () => 'refuse' } }).send()
  await exchangeBench(t, {
    chain: [
      recording(records),
      {
        handle() {
          throw new Error('no')
        },
      },
    ],
  }).send()
  assert.deepEqual(
    records.map(({ status, target, error, aborted }) => ({ status, target, error, aborted })),
    [
      { status: 403, target: null, error: null, aborted: false },
      { status: 502, target: null, error: 'UPSTREAM_CONNECT_FAILED', aborted: false },
      { status: 503, target: null, error: 'HOOK_THREW', aborted: false },
    ],
  )
  assert.equal(records[2]?.plugins[1]?.outcome, 'failed')
})

const moments: readonly (readonly [string, Hooks, number])[] = [
  ['in handle()', { handle: () => new Promise(() => {}) }, 0],
  ['in onResponse()', { onResponse: () => new Promise(() => {}) }, 0],
  ['waiting for the upstream', {}, 0],
  ['in the middle of the response', {}, 200],
]

for (const [when, hooks, status] of moments) {
  test(`a client that goes away ${when}: onError(), then onFinish(), once each`, async (t) => {
    const ran: string[] = []
    const records: FinishRecord[] = []
    const { open, clock, plane } = exchangeBench(t, {
      chain: [
        {
          onError: (_, error) => void ran.push(error.code),
          onFinish(_, record) {
            ran.push('finish')
            records.push(record)
          },
        },
        hooks,
      ],
      upstream:
        when === 'waiting for the upstream'
          ? { answer: () => ({ fault: 'silent' }) }
          : { body: ['some', { pauseMs: 10 }, 'more'] },
    })
    const client = open()
    await clock.advance(5)
    client.abort()
    await client.finished
    await clock.advance(5_000)
    assert.deepEqual(ran, ['CLIENT_ABORTED', 'finish'])
    assert.equal(records[0]?.status, status)
    assert.deepEqual([records[0]?.aborted, records[0]?.error], [true, 'CLIENT_ABORTED'])
    assert.equal(plane.openExchanges, 0)
    if (plane.seen.length > 0) assert.equal(plane.seen[0]?.cancelled, true)
  })
}

test('nothing goes on while an onError() after a client abort takes its time', async (t) => {
  const ran: string[] = []
  const waiting = Promise.withResolvers<void>()
  const { open, clock, plane } = exchangeBench(t, {
    chain: [
      {
        onResponse: () => void ran.push('response'),
        onError(_, error) {
          ran.push(error.code)
          return waiting.promise
        },
        onFinish: () => void ran.push('finish'),
      },
    ],
    upstream: { answer: () => ({ delayMs: 100, body: 'late' }) },
  })
  const client = open()
  await clock.advance(50)
  client.abort()
  await clock.advance(500)
  assert.equal(plane.seen[0]?.cancelled, true)
  waiting.resolve()
  await client.finished
  assert.deepEqual(ran, ['CLIENT_ABORTED', 'finish'])
})

test('an async onFinish() keeps its context until it ends', async (t) => {
  const ids: string[] = []
  const waiting = Promise.withResolvers<void>()
  const { open } = exchangeBench(t, {
    chain: [
      {
        async onFinish(ctx) {
          await waiting.promise
          ids.push(ctx.id)
        },
      },
    ],
  })
  const { response, finished } = open()
  await response.content
  waiting.resolve()
  await finished
  assert.deepEqual(ids, ['test-1'])
})
