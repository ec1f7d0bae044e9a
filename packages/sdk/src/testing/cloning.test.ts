import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cloneable, Context, FinishRecord, Middleware } from '../index.ts'
import { testGateway } from './index.ts'

const gatewayOf = (...chain: Partial<Middleware>[]) =>
  testGateway({
    plugins: chain.map((hooks) => ({ main: () => ({ name: 'sample', handle: () => true, ...hooks }) })),
    upstream: (request) => ({ body: request.text() === '' ? 'hello' : request.text() }),
  })

const notCloneable = () => {}

test('what cannot be cloned fails the hook that gives it away', async () => {
  const gives: ((ctx: Context) => unknown)[] = [
    (ctx) => ctx.values.set('a', notCloneable as unknown as Cloneable),
    (ctx) => ctx.values.set('a', { deep: [notCloneable] } as unknown as Cloneable),
    (ctx) => ctx.log.info('a', { notCloneable }),
    (ctx) => ctx.response.json({ notCloneable }),
    (ctx) => ctx.response.send('a', { headers: { a: notCloneable as unknown as string } }),
  ]
  for (const give of gives) {
    await using gateway = await gatewayOf({ handle: (ctx) => give(ctx) !== undefined })
    assert.equal((await gateway.fetch('/')).status, 503, String(give))
    assert.match(String(gateway.logs.at(-1)?.fields.stack), /could not be cloned/)
  }
})

test('values are copied on their way in and out', async () => {
  const seen: unknown[] = []
  await using gateway = await gatewayOf(
    {
      handle(ctx) {
        const mine = { list: [1] }
        ctx.values.set('mine', mine)
        mine.list.push(2)
        return true
      },
      onResponse: (ctx) => void seen.push(ctx.values.get('mine')),
    },
    {
      handle(ctx) {
        const { values } = ctx
        assert.ok(values instanceof Map)
        const got = values.get('mine') as { list: number[] }
        got.list.push(3)
        seen.push(got, values.get('mine'), values.size, values.has('mine'), [...values.keys()], [...values])
        values.forEach((value, key) => void seen.push([key, value]))
        seen.push([...values.values()], values.delete('absent'))
        return true
      },
    },
  )
  assert.equal((await gateway.fetch('/')).status, 200)
  const mine = { list: [1] }
  assert.deepEqual(seen, [
    { list: [1, 3] },
    mine,
    1,
    true,
    ['mine'],
    [['mine', mine]],
    ['mine', mine],
    [mine],
    false,
    mine,
  ])
})

test('own is what the plugin put there, be it a function: it goes nowhere', async () => {
  const seen: unknown[] = []
  await using gateway = await gatewayOf({
    handle(ctx) {
      ctx.own = notCloneable
      return true
    },
    onResponse: (ctx) => void seen.push(ctx.own),
  })
  assert.equal((await gateway.fetch('/')).status, 200)
  assert.deepEqual(seen, [notCloneable])
})

test('a record belongs to whoever gets it', async () => {
  const records: FinishRecord[] = []
  const spoiling = (_: Context, record: FinishRecord): void => {
    records.push(record)
    Reflect.set(record, 'status', 0)
    ;(record.plugins as unknown[]).length = 0
  }
  await using gateway = await gatewayOf({ onFinish: spoiling }, { onFinish: spoiling })
  await (await gateway.fetch('/')).finished
  assert.equal(new Set(records).size, 2)
  assert.equal(gateway.records[0]?.status, 200)
  assert.equal(gateway.records[0]?.plugins.length, 2)
})

test('transforms get bytes of their own, no Buffer', async () => {
  const kept: Uint8Array[] = []
  const transform = (chunk: Uint8Array): Uint8Array => {
    assert.equal(Object.getPrototypeOf(chunk), Uint8Array.prototype)
    kept.push(chunk)
    return chunk
  }
  await using gateway = await gatewayOf({
    handle(ctx) {
      ctx.request.transformBody(transform)
      return true
    },
    onResponse: (ctx) => ctx.response.transformBody(async (chunk) => transform(chunk)),
  })
  const response = await gateway.fetch('/', { method: 'POST', body: 'content' })
  assert.equal(await response.text(), 'content')
  assert.deepEqual(
    kept.map((chunk) => Buffer.from(chunk).toString()),
    ['content', '', 'content', ''],
  )
})

test('everything else of the context is what it is in production', async () => {
  const contexts: unknown[] = []
  await using gateway = await gatewayOf({
    async handle(ctx) {
      contexts.push(ctx)
      ctx.request.path = '/changed'
      ctx.request.method = 'PATCH'
      ctx.request.headers.set('x-a', 'b')
      ctx.request.query.set('c', 'd')
      assert.deepEqual(await ctx.request.json(), { e: 1 })
      assert.ok('headers' in ctx.request && 'send' in ctx.response && !('nothing' in ctx))
      ctx.response.headers.set('x-f', ctx.route.name)
      return true
    },
    onResponse(ctx) {
      contexts.push(ctx)
      ctx.response.status = 299
    },
  })
  const response = await gateway.fetch('/', { method: 'POST', body: '{"e":1}' })
  assert.deepEqual([response.status, response.headers.get('x-f')], [299, 'route-1'])
  const [seen] = gateway.upstreamRequests
  assert.equal(`${seen?.method} ${seen?.url} ${seen?.headers.get('x-a')}`, 'PATCH /changed?c=d b')
  assert.equal(new Set(contexts).size, 1)
  const [kept] = contexts as Context[]
  await response.finished
  for (const member of ['id', 'request', 'response', 'values', 'signal'] as const) {
    assert.throws(() => kept?.[member], { code: 'CONTEXT_REVOKED' }, member)
  }
})

test('a middleware may be an instance of a class with private members', async () => {
  class Counting implements Middleware {
    readonly name = 'counting'
    #count = 0

    handle(ctx: Context): boolean {
      ctx.response.headers.set('x-count', String(++this.#count))
      return true
    }

    onResponse(): void {
      this.#count++
    }
  }
  await using gateway = await testGateway({ plugins: [{ main: () => new Counting() }] })
  await gateway.fetch('/')
  assert.equal((await gateway.fetch('/')).headers.get('x-count'), '3')
})

test("what a plugin puts into values after another one's timeout is seen by all, as in production", async () => {
  const seen: unknown[] = []
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'first',
          handle: ({ values }) => values.set('a', 1).size > 0,
          onResponse: ({ values }) => void values.set('b', [...values.keys()].join()),
        }),
        manifest: { priority: 3 },
      },
      {
        main: () => ({
          name: 'late',
          handle: ({ values }) => {
            late = values
            return new Promise<boolean>(() => {})
          },
        }),
        manifest: { on_failure: 'open', timeout_ms: 100, priority: 2 },
      },
      {
        main: () => ({
          name: 'last',
          handle: () => true,
          onFinish: ({ values }) => void seen.push(...values),
        }),
        manifest: { priority: 1 },
      },
    ],
  })
  let late: Map<string, unknown> | null = null
  const responding = gateway.fetch('/')
  await gateway.clock.advance(200)
  const response = await responding
  await response.finished
  assert.deepEqual(seen, [
    ['a', 1],
    ['b', 'a'],
  ])
  assert.ok(late !== null)
})
