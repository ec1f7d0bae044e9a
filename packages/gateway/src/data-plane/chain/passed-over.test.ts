import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench, type Hooks } from '../test-exchange.ts'

/** What `on_failure: open` promises: the exchange goes on as if the plugin that failed were not there. */

/** A plugin that may be passed over, does this and then fails. */
const failing = (edit: (ctx: Context) => unknown): Hooks => ({
  plan: { onFailure: { kind: 'open' }, timeoutMs: 100 },
  handle(ctx) {
    const done = edit(ctx)
    if (!(done instanceof Promise)) throw new Error('half-done')
    return done.then(() => Promise.reject(new Error('half-done')))
  },
})

/** The same, but for a plugin that ends well. */
const passing = (edit: (ctx: Context) => unknown): Hooks => ({
  plan: { onFailure: { kind: 'open' } },
  async handle(ctx) {
    await edit(ctx)
    return true
  },
})

const upper = (chunk: Uint8Array) => Buffer.from(Buffer.from(chunk).toString().toUpperCase())

const REQUEST = {
  method: 'POST',
  target: '/path?a=1&b=%7E',
  headers: [
    ['x-kept', 'a'],
    ['x-twice', 'a'],
    ['x-twice', 'b'],
    ['range', 'bytes=0-1'],
  ] as [string, string][],
  body: ['con', 'tent'],
}

const edits: readonly (readonly [string, (ctx: Context) => unknown])[] = [
  [
    'fields',
    ({ request: { headers } }) => {
      headers.set('x-kept', 'changed')
      headers.delete('x-twice')
      headers.append('x-new', 'new')
      headers.set('host', 'other.test')
    },
  ],
  ['its method', ({ request }) => Reflect.set(request, 'method', 'PUT')],
  ['its path', ({ request }) => Reflect.set(request, 'path', '/other')],
  ['its query', ({ request }) => request.query.set('a', '2')],
  ['values', ({ values }) => values.set('left', 'behind').delete('before')],
  ['the response that comes', ({ response }) => response.transformBody(upper)],
  ['its body, unread', ({ request }) => request.setBody('other')],
  ['its body, twice', ({ request }) => [request.setBody('other'), request.setBody(null)]],
  ['its body, read before', async ({ request }) => request.setBody((await request.text()).repeat(2))],
  ['its body, read after', async ({ request }) => [request.setBody('other'), await request.text()]],
  ['its body by a transform', ({ request }) => request.transformBody(upper)],
  ['its body by a stream', ({ request }) => request.stream(new CompressionStream('gzip'))],
  [
    'its body by a transform, and another body',
    ({ request }) => [request.transformBody(upper), request.setBody('other'), request.transformBody(upper)],
  ],
  [
    'all of it, too late',
    (ctx) => {
      ctx.request.headers.set('x-kept', 'changed')
      ctx.request.query.append('c', '3')
      ctx.values.set('left', 'behind')
      ctx.request.setBody('other')
      return new Promise(() => {})
    },
  ],
]

/** What arrives at the upstream, and what plugins after the failing one see. */
async function arrived(t: Parameters<typeof exchangeBench>[0], chain: readonly Hooks[]) {
  const seen: unknown[] = []
  const witness: Hooks = {
    handle({ request, values }) {
      seen.push([request.method, request.url, [...request.query], [...request.headers], [...values]])
      return true
    },
  }
  const setup: ExchangeSetup = { chain: [...chain, witness], upstream: { body: 'hello' } }
  const { send, plane, clock } = exchangeBench(t, setup)
  const sending = send(REQUEST)
  await clock.advance(200)
  const { status, text } = await sending
  const [request] = plane.seen
  // A body that was read has a length: who reads changes nothing by that.
  const fields = request?.fields.filter(([name]) => name !== 'content-length' && name !== 'transfer-encoding')
  return { status, text, seen, method: request?.method, url: request?.url, fields, body: request?.text() }
}

for (const [what, edit] of edits) {
  test(`a plugin that is passed over has not changed ${what}`, async (t) => {
    const before = passing(({ values }) => values.set('before', 'stays'))
    assert.deepEqual(await arrived(t, [before, failing(edit)]), await arrived(t, [before]))
  })

  test(`what plugins before it did stays when one is passed over that changed ${what}`, async (t) => {
    const before = passing(({ request, values }) => {
      request.headers.append('x-first', '1')
      request.query.append('first', '1')
      request.path = '/first'
      request.transformBody((chunk, last) => (last ? Buffer.concat([chunk, Buffer.from('!')]) : chunk))
      values.set('before', 'stays')
    })
    const expected = await arrived(t, [before])
    assert.equal(expected.body, 'content!')
    assert.deepEqual(await arrived(t, [before, failing(edit)]), expected)
  })
}

test('what a plugin that may be passed over did counts when it ends well', async (t) => {
  const setting = passing(({ request }) => {
    request.method = 'PUT'
    request.headers.delete('x-twice')
    request.query.set('a', '2')
    request.setBody('other')
  })
  const outcome = await arrived(t, [setting, failing(({ request }) => request.headers.set('x-kept', 'b'))])
  assert.deepEqual([outcome.method, outcome.url, outcome.body], ['PUT', '/path?a=2&b=%7E', 'other'])
  assert.equal(
    outcome.fields?.some(([name, value]) => name === 'x-twice' || value === 'b'),
    false,
  )
  const transforming = passing(({ request }) => request.transformBody(upper))
  assert.equal((await arrived(t, [transforming])).body, 'CONTENT')
})

test('a plugin whose change of the body cannot be taken back is not passed over', async (t) => {
  const changes: ((ctx: Context) => unknown)[] = [
    // What was sent has gone through its transform, and nobody has it as it was.
    async ({ request }) => [request.transformBody(upper), await request.text()],
    ({ request }) => {
      request.text().catch(() => {})
      request.setBody('other')
    },
  ]
  for (const change of changes) {
    const { status, method } = await arrived(t, [failing(change)])
    assert.deepEqual([status, method], [503, undefined])
  }
})

test('a read that nobody waits for takes nothing away from a plugin that is passed over', async (t) => {
  const reading = failing(({ request }) => void request.text())
  assert.equal((await arrived(t, [reading])).body, 'content')
})

/** A plugin that may be passed over, does this to the response and then fails. */
const failingLater = (edit: (ctx: Context) => unknown, more: Hooks = {}): Hooks => ({
  plan: { onFailure: { kind: 'open' }, timeoutMs: 100 },
  async onResponse(ctx) {
    await edit(ctx)
    throw new Error('half-done')
  },
  ...more,
})

const responseEdits: readonly (readonly [string, Hooks])[] = [
  [
    'fields',
    failingLater(({ response: { headers } }) => {
      headers.set('x-kept', 'changed')
      headers.delete('x-twice')
      headers.append('x-new', 'new')
    }),
  ],
  ['its status', failingLater(({ response }) => Reflect.set(response, 'status', 418))],
  ['values', failingLater(({ values }) => values.set('left', 'behind').delete('before'))],
  ['its body, unread', failingLater(({ response }) => response.setBody('other'))],
  [
    'its body, read before',
    failingLater(async ({ response }) => response.setBody((await response.text()).repeat(2))),
  ],
  ['its body by a transform', failingLater(({ response }) => response.transformBody(upper))],
  ['its body by a stream', failingLater(({ response }) => response.stream(new CompressionStream('gzip')))],
  [
    'its body by a transform of handle',
    failingLater(() => {}, {
      handle({ response }) {
        response.transformBody(upper)
        return true
      },
    }),
  ],
  [
    'all of it, too late',
    failingLater(({ response, values }) => {
      response.status = 418
      response.headers.set('x-kept', 'changed')
      response.setBody('other')
      values.set('left', 'behind')
      return new Promise(() => {})
    }),
  ],
]

async function answered(t: Parameters<typeof exchangeBench>[0], chain: readonly Hooks[]) {
  const seen: unknown[] = []
  const before: Hooks = {
    onResponse: ({ response, values }) =>
      void seen.push([response.status, [...response.headers], [...values]]),
  }
  const after: Hooks = {
    onResponse({ response, values }) {
      values.set('before', 'stays')
      response.transformBody((chunk, last) => (last ? Buffer.concat([chunk, Buffer.from('!')]) : chunk))
      response.headers.append('x-first', '1')
    },
  }
  const headers: [string, string][] = [
    ['x-kept', 'a'],
    ['x-twice', 'a'],
    ['x-twice', 'b'],
  ]
  const { send, clock } = exchangeBench(t, {
    chain: [before, ...chain, after],
    upstream: { headers, body: ['hel', 'lo'] },
  })
  const sending = send()
  await clock.advance(200)
  const { status, fields, text } = await sending
  const kept = fields.filter(([name]) => name !== 'content-length' && name !== 'transfer-encoding')
  return { seen, status, fields: kept, text }
}

for (const [what, plugin] of responseEdits) {
  test(`a plugin whose onResponse() is passed over has not changed ${what}`, async (t) => {
    const expected = await answered(t, [])
    assert.deepEqual([expected.status, expected.text], [200, 'hello!'])
    assert.deepEqual(await answered(t, [plugin]), expected)
  })
}

test('what onResponse() of a plugin that may be passed over did counts when it ends well', async (t) => {
  const setting: Hooks = {
    plan: { onFailure: { kind: 'open' } },
    onResponse({ response }) {
      response.status = 202
      response.headers.delete('x-twice')
      response.setBody('other')
    },
  }
  const outcome = await answered(t, [setting, failingLater(({ response }) => response.setBody('not this'))])
  assert.deepEqual([outcome.status, outcome.text], [202, 'other'])
  assert.equal(
    outcome.fields.some(([name]) => name === 'x-twice'),
    false,
  )
})

test('onResponse() whose change of the body cannot be taken back is not passed over', async (t) => {
  const changes: ((ctx: Context) => unknown)[] = [
    async ({ response }) => [response.transformBody(upper), await response.text()],
    ({ response }) => {
      response.status = 204
      response.setBody(null)
    },
  ]
  for (const change of changes) {
    const { send } = exchangeBench(t, { chain: [failingLater(change)], upstream: { body: 'hello' } })
    const { status, text } = await send()
    assert.deepEqual([status, JSON.parse(text).code], [503, 'HOOK_THREW'])
  }
})

test('a body of which some was dropped is not taken for whole again: the exchange fails', async (t) => {
  for (const body of ['123456789', ['12345', '6789']]) {
    const { send, plane } = exchangeBench(t, {
      chain: [
        failing(async ({ request }) => {
          await request.text().catch(() => request.setBody('{}'))
        }),
      ],
      limits: { bodyBytesMax: 8 },
    })
    const { status, text } = await send({ method: 'POST', target: '/', body })
    assert.deepEqual([status, JSON.parse(text).code], [503, 'HOOK_THREW'])
    assert.equal(plane.seen.length, 0)
  }
})

test('what onError makes of an answer stays when a later hook is passed over', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        plan: { onFailure: { kind: 'open' } },
        onError({ response }) {
          response.headers.set('content-type', 'text/html')
          response.setBody('<p>sorry</p>')
        },
        onResponse({ response }) {
          response.headers.set('x-half', 'done')
          throw new Error('half-done')
        },
      },
    ],
    upstream: { fault: 'closed' },
  })
  const { status, text, headers } = await send('/')
  assert.deepEqual([status, text], [502, '<p>sorry</p>'])
  assert.deepEqual([headers.get('content-type'), headers.get('x-half')], ['text/html', null])
})
