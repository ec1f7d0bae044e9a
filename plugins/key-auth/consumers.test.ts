import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defineConsumer, setConsumer } from '@cardea/sdk'
import type { TestGateway, TestPlugin } from '@cardea/sdk/testing'
import { bench, CHALLENGE, KEY, LET_IN, MOBILE } from './test-bench.ts'

describe('anonymous', () => {
  const anonymous = { id: 'guest', groups: ['guests'], metadata: { plan: 'free' } }

  test('stands for requests without a key, and for no others', async () => {
    await using at = await bench({ ...MOBILE, anonymous })
    assert.deepEqual(await at.ask(), LET_IN)
    assert.deepEqual(at.seen, [
      { ...anonymous, anonymous: true, method: 'key-auth', credential: null, expiresAt: null },
    ])
    assert.equal((await at.ask({ 'x-api-key': 'wrong' })).status, 401)
    assert.equal((await at.ask({ 'x-api-key': '' })).status, 401)
    assert.equal(
      (
        await at.ask([
          ['x-api-key', KEY],
          ['x-api-key', KEY],
        ])
      ).status,
      400,
    )
    assert.deepEqual(await at.ask({ 'x-api-key': KEY }), LET_IN)
    assert.equal(at.seen[1]?.id, 'mobile')
  })

  test('must have what is required, too', async () => {
    await using at = await bench({ ...MOBILE, anonymous, require: { groups_any: ['apps'] } })
    // It has not said who it is, which is no error, and may yet do so (RFC 6750, 3.1).
    assert.deepEqual(await at.ask(), { status: 401, code: 'KEY_MISSING', challenge: CHALLENGE })
    assert.deepEqual(await at.ask({ 'x-api-key': KEY }), LET_IN)
    assert.equal(at.gateway.upstreamRequests.length, 1)
  })
})

describe('upstream_headers', () => {
  const upstream_headers = {
    'X-Consumer-Id': 'id',
    'x-groups': 'groups',
    'x-key-name': 'credential',
    'x-guest': 'anonymous',
    'x-plan': 'metadata.plan',
    'x-none': 'metadata.__proto__',
  }
  const forged = Object.fromEntries(
    Object.keys(upstream_headers).flatMap((name) => [
      [name, 'forged'],
      [name.replaceAll('-', '_'), 'forged'],
    ]),
  )
  const told = (gateway: TestGateway) =>
    Object.fromEntries(
      [...(gateway.upstreamRequests.at(-1)?.headers ?? [])].filter(([name]) => /^x[-_]/.test(name)),
    )

  test('tell the upstream of the consumer, and never what a client said', async () => {
    await using at = await bench({ ...MOBILE, upstream_headers })
    await at.ask({ ...forged, 'x-api-key': KEY })
    const { 'x-request-id': _, ...fields } = told(at.gateway)
    assert.deepEqual(withoutForwarded(fields), {
      'x-consumer-id': 'mobile',
      'x-groups': 'apps',
      'x-key-name': 'first',
      'x-guest': 'false',
      'x-plan': 'gold',
    })
  })

  test('hold nothing of a client for the anonymous either', async () => {
    await using at = await bench({ ...MOBILE, anonymous: { id: 'guest' }, upstream_headers })
    await at.ask(forged)
    const { 'x-request-id': _, ...fields } = told(at.gateway)
    assert.deepEqual(withoutForwarded(fields), { 'x-consumer-id': 'guest', 'x-guest': 'true' })
  })
})

function withoutForwarded(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith('x-forwarded-')))
}

describe('after another plugin that authenticates', () => {
  const USER = defineConsumer({ id: 'user', groups: ['users'], method: 'jwt' })
  const jwt: TestPlugin = {
    manifest: { name: 'jwt', category: 'security', priority: 2_000 },
    main: () => ({
      name: 'jwt',
      handle(ctx) {
        if (ctx.request.headers.has('x-jwt')) setConsumer(ctx, USER)
        return true
      },
    }),
  }
  const upstream_headers = { 'x-user': 'id' }

  test('a key is needed all the same', async () => {
    await using at = await bench(MOBILE, [jwt])
    assert.equal((await at.ask({ 'x-jwt': '' })).code, 'KEY_MISSING')
    assert.deepEqual(await at.ask({ 'x-jwt': '', 'x-api-key': KEY }), LET_IN)
    assert.equal(at.seen[0]?.id, 'mobile')
  })

  test('unless_authenticated asks for a key of those only whom nobody knows', async () => {
    await using at = await bench({ ...MOBILE, unless_authenticated: true, upstream_headers }, [jwt])
    assert.deepEqual(await at.ask({ 'x-jwt': '', 'x-user': 'forged' }), LET_IN)
    assert.equal(at.seen[0]?.id, 'user')
    assert.equal(at.gateway.upstreamRequests[0]?.headers.get('x-user'), 'user')
    assert.equal((await at.ask()).status, 401)
    assert.equal((await at.ask({ 'x-jwt': '', 'x-api-key': 'wrong' })).status, 401)
  })

  test('what is required of a consumer is required of that one too', async () => {
    const require = { groups_any: ['apps'] }
    await using at = await bench({ ...MOBILE, unless_authenticated: true, require }, [jwt])
    assert.equal((await at.ask({ 'x-jwt': '' })).status, 403)
    assert.equal((await at.ask({ 'x-jwt': '' })).code, 'GROUP_REQUIRED')
    assert.equal((await at.ask()).code, 'KEY_MISSING')
  })

  test('the anonymous does not take the place of who is known', async () => {
    await using at = await bench({ ...MOBILE, anonymous: { id: 'guest' }, upstream_headers }, [jwt])
    await at.ask({ 'x-jwt': '' })
    await at.ask()
    assert.deepEqual(
      at.seen.map((consumer) => consumer?.id),
      ['user', 'guest'],
    )
    assert.deepEqual(
      at.gateway.upstreamRequests.map(({ headers }) => headers.get('x-user')),
      ['user', 'guest'],
    )
  })
})
