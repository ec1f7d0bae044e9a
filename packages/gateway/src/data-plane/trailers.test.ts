import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { BodyTransform, Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench, type Hooks } from './test-exchange.ts'
import type { TestRequest } from './testing/test-plane.ts'

/** Trailers come when the head has been acted on. What plugins did to it must not be undone by them. */

const asItIs: BodyTransform = (chunk) => chunk

/** What plugins may do to a body besides; the rule is the same for all. */
const BODIES: Readonly<Record<string, (ctx: Context) => unknown>> = {
  untouched: () => undefined,
  gathered: ({ request }) => request.bytes(),
  transformed: ({ request }) => request.transformBody(asItIs),
  'transformed as a stream': ({ request }) => request.stream(new TransformStream()),
  'gathered, then transformed': async ({ request }) => {
    await request.bytes()
    request.transformBody(asItIs)
  },
}

const handling = (handle: (ctx: Context) => unknown): Hooks => ({
  handle(ctx) {
    const result = handle(ctx)
    return result instanceof Promise ? result.then(() => true) : true
  },
})

const responding = (onResponse: (ctx: Context) => unknown): Hooks => ({
  async onResponse(ctx) {
    await onResponse(ctx)
  },
})

const POST: TestRequest = { method: 'POST', target: '/', body: ['con', 'tent'] }

async function trailersSeen(
  t: TestContext,
  chain: readonly Hooks[],
  trailers: Readonly<Record<string, string>>,
  request: Partial<TestRequest> = {},
): Promise<Readonly<Record<string, string>>> {
  const { send, plane } = exchangeBench(t, { chain })
  assert.equal((await send({ ...POST, ...request, trailers })).status, 200)
  const [seen] = plane.seen
  assert.ok(seen)
  assert.equal(seen.text(), 'content')
  return Object.fromEntries(seen.trailers)
}

const SPELLINGS = ['x-user-id', 'X-USER-ID', 'X-User-Id', 'x_user_id', 'X-User_ID']

const EDITS: Readonly<Record<string, (ctx: Context) => unknown>> = {
  sets: ({ request }) => request.headers.set('X-User-Id', 'anna'),
  appends: ({ request }) => request.headers.append('x-user-id', 'anna'),
  'deletes, where the client sent none,': ({ request }) => request.headers.delete('x-user-id'),
  'sets and deletes': ({ request: { headers } }) => {
    headers.set('x-user-id', 'anna')
    headers.delete('X-USER-ID')
  },
  'deletes with underscores': ({ request }) => request.headers.delete('X_User_Id'),
}

for (const [body, touch] of Object.entries(BODIES)) {
  for (const [does, edit] of Object.entries(EDITS)) {
    test(`what a plugin ${does} is not among the trailers that go on with a body ${body}`, async (t) => {
      for (const name of SPELLINGS) {
        const forged = { [name]: 'admin', 'x-sum': '7' }
        assert.deepEqual(await trailersSeen(t, [handling(edit), handling(touch)], forged), { 'x-sum': '7' })
        assert.deepEqual(await trailersSeen(t, [handling(touch), handling(edit)], forged), { 'x-sum': '7' })
      }
    })
  }

  test(`trailers of other names go on with a body ${body}`, async (t) => {
    const chain = [handling(({ request }) => request.headers.set('x-user', 'anna')), handling(touch)]
    const trailers = { 'x-users': '1', 'x-user-id': '2', 'x-sum': '3' }
    assert.deepEqual(await trailersSeen(t, chain, trailers), trailers)
  })

  test(`a body ${body} whose trailers are all dropped has none`, async (t) => {
    const chain = [handling(({ request }) => request.headers.delete('x-user')), handling(touch)]
    assert.deepEqual(await trailersSeen(t, chain, { 'X-User': 'admin' }), {})
  })
}

test('trailers never add to a field that the head has, by any spelling', async (t) => {
  const headers = { 'X-Token': 'checked', x_tenant: 'mine' }
  const trailers = { 'x-token': 'other', X_Token: 'third', 'x-tenant': 'yours', 'x-sum': '7' }
  const reading = handling(({ request }) => assert.equal(request.headers.get('x-token'), 'checked'))
  assert.deepEqual(await trailersSeen(t, [], trailers, { headers }), { 'x-sum': '7' })
  assert.deepEqual(await trailersSeen(t, [reading], trailers, { headers }), { 'x-sum': '7' })
})

test('a plugin that fails open has edited all the same', async (t) => {
  const chain: Hooks[] = [
    {
      plan: { onFailure: { kind: 'open' } },
      handle({ request }) {
        request.headers.delete('x-user')
        throw new Error('oops')
      },
    },
  ]
  assert.deepEqual(await trailersSeen(t, chain, { 'x-user': 'admin', 'x-sum': '7' }), { 'x-sum': '7' })
})

test('a refused edit drops nothing', async (t) => {
  const wrong = handling(({ request }) => {
    assert.throws(() => request.headers.set('x-user', 'a\r\nb'), TypeError)
  })
  assert.deepEqual(await trailersSeen(t, [wrong], { 'x-user': '1' }), { 'x-user': '1' })
})

test('trailers that describe a body go only with the body they were made for', async (t) => {
  const trailers = { 'content-digest': 'a', 'Repr-Digest': 'b', content_md5: 'c', digest: 'd', 'x-sum': '7' }
  const { 'x-sum': sum, ...digests } = trailers
  const lowerCase = Object.fromEntries(
    Object.entries(digests).map(([name, value]) => [name.toLowerCase(), value]),
  )
  for (const [body, touch] of Object.entries(BODIES)) {
    const seen = await trailersSeen(t, [handling(touch)], trailers)
    assert.deepEqual(
      seen,
      body.includes('transformed') ? { 'x-sum': sum } : { ...lowerCase, 'x-sum': sum },
      body,
    )
  }
})

test('a gathered body whose trailers are all dropped is sent with its length', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(async ({ request }) => {
        await request.bytes()
        request.headers.delete('x-user')
      }),
    ],
  })
  await send({ ...POST, trailers: { 'x-user': 'admin' } })
  assert.equal(plane.seen[0]?.headers.get('content-length'), '7')
  assert.equal(plane.seen[0]?.headers.get('transfer-encoding'), null)
})

test('a second try drops the same trailers', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(async ({ request }) => {
        await request.bytes()
        request.headers.set('x-user', 'anna')
      }),
    ],
    upstream: { connect: () => 'stale' },
  })
  await send({ ...POST, method: 'PUT', trailers: { 'x-user': 'admin', 'x-sum': '7' } })
  const [seen] = plane.seen
  assert.equal(seen?.attempts, 2)
  assert.deepEqual([...(seen?.trailers ?? [])], [['x-sum', '7']])
  assert.equal(seen?.headers.get('x-user'), 'anna')
})

test('the plugin itself sees the trailers as they came', async (t) => {
  const seen: (string | null)[] = []
  const chain = [
    handling(async ({ request }) => {
      request.headers.delete('x-user')
      await request.bytes()
      seen.push(request.trailers.get('x-user'))
    }),
  ]
  assert.deepEqual(await trailersSeen(t, chain, { 'x-user': 'admin' }), {})
  assert.deepEqual(seen, ['admin'])
})

test('what may not come late does not, and what frames the message breaks it, here as on a socket', async (t) => {
  const headers = { connection: 'x-hop' }
  const trailers = { authorization: 'a', Via: 'b', 'X-Hop': 'c', x_forwarded_for: 'd', 'x-sum': '7' }
  assert.deepEqual(await trailersSeen(t, [], trailers, { headers }), { 'x-sum': '7' })
  const { send } = exchangeBench(t)
  assert.equal((await send({ ...POST, trailers: { 'content-length': '7' } })).status, 400)
  const bad = exchangeBench(t, { upstream: { body: ['a'], trailers: { host: 'b' } } })
  assert.equal((await bad.send()).status, 502)
})

// The other way.

const UPSTREAM = { body: ['con', 'tent'], headers: { 'x-stays': 'head' } }

async function trailersGot(
  t: TestContext,
  chain: readonly Hooks[],
  trailers: Readonly<Record<string, string>>,
  setup: ExchangeSetup = {},
): Promise<Readonly<Record<string, string>>> {
  const { send } = exchangeBench(t, { chain, upstream: { ...UPSTREAM, trailers }, ...setup })
  const got = await send()
  assert.equal(got.text, 'content')
  return Object.fromEntries(got.trailers)
}

const RESPONSE_EDITS: Readonly<Record<string, Hooks>> = {
  'deletes in handle': handling(({ response }) => response.headers.delete('x-internal')),
  'sets in handle': handling(({ response }) => response.headers.set('X-Internal', 'no')),
  'appends in handle': handling(({ response }) => response.headers.append('x-internal', 'no')),
  'deletes in onResponse': responding(({ response }) => response.headers.delete('X-Internal')),
  'sets in onResponse': responding(({ response }) => response.headers.set('x_internal', 'no')),
  'appends in onResponse': responding(({ response }) => response.headers.append('x-internal', 'no')),
}

const RESPONSE_BODIES: Readonly<Record<string, Hooks>> = {
  untouched: {},
  gathered: responding(({ response }) => response.bytes()),
  transformed: handling(({ response }) => response.transformBody(asItIs)),
  'transformed as a stream': handling(({ response }) => response.stream(new TransformStream())),
  'transformed late': responding(({ response }) => response.transformBody(asItIs)),
}

for (const [body, touching] of Object.entries(RESPONSE_BODIES)) {
  for (const [does, editing] of Object.entries(RESPONSE_EDITS)) {
    test(`what a plugin ${does} is not among the trailers that the client gets of a body ${body}`, async (t) => {
      for (const name of ['x-internal', 'X-INTERNAL', 'X_Internal']) {
        const trailers = { [name]: 'secret', 'x-stays': 'too' }
        assert.deepEqual(await trailersGot(t, [editing, touching], trailers), { 'x-stays': 'too' })
        assert.deepEqual(await trailersGot(t, [touching, editing], trailers), { 'x-stays': 'too' })
      }
    })
  }
}

test('trailers that describe a response go only with the body they were made for', async (t) => {
  const trailers = { 'content-digest': 'a', etag: '"b"', 'server-timing': 'c' }
  for (const [body, touching] of Object.entries(RESPONSE_BODIES)) {
    const changed = body.startsWith('transformed')
    assert.deepEqual(
      await trailersGot(t, [touching], trailers),
      changed ? { 'server-timing': 'c' } : trailers,
      body,
    )
  }
})

test('edits of a hook that failed open drop no trailer of the response', async (t) => {
  const failing: Hooks = {
    plan: { onFailure: { kind: 'open' } },
    handle({ response }) {
      response.headers.delete('x-internal')
      throw new Error('oops')
    },
  }
  assert.deepEqual(await trailersGot(t, [failing], { 'x-internal': '1' }), { 'x-internal': '1' })
})
