import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { defineConsumer, setConsumer } from '@cardea/sdk'
import { pluginFolder, type TestPlugin } from '@cardea/sdk/testing'
import { claimAt } from './claims.ts'
import { type Bench, bench, FORBIDDEN, INVALID, jwks, LET_IN, MISSING, signer } from './test-bench.ts'

const ec = await signer('ES256')
const EC = { algorithms: ['ES256'], keys: { jwks: jwks(ec) } }

describe('require', () => {
  const CLAIMS = {
    scope: 'read write',
    groups: ['staff'],
    tenant: 'acme',
    level: 3,
    mail: { verified: true },
    amr: ['pwd', 'otp'],
  }
  const rules: [require: object, isAllowed: boolean][] = [
    [{}, true],
    [{ scopes_all: ['read', 'write'] }, true],
    [{ scopes_all: ['read', 'delete'] }, false],
    [{ scopes_any: ['delete', 'write'] }, true],
    [{ scopes_any: ['delete', 'rea'] }, false],
    [{ groups_any: ['staff', 'admins'] }, true],
    [{ groups_all: ['staff', 'admins'] }, false],
    [{ claims: { tenant: 'acme' } }, true],
    [{ claims: { tenant: ['other', 'acme'] } }, true],
    [{ claims: { tenant: 'ACME' } }, false],
    [{ claims: { level: 3 } }, true],
    [{ claims: { level: '3' } }, false],
    [{ claims: { 'mail.verified': true } }, true],
    [{ claims: { 'mail.verified': 'true' } }, false],
    [{ claims: { amr: 'otp' } }, true],
    [{ claims: { amr: ['hwk', 'otp'] } }, true],
    [{ claims: { amr: 'hwk' } }, false],
    [{ claims: { absent: 'x' } }, false],
    [{ claims: { constructor: 'x' } }, false],
    [{ claims: { tenant: 'acme', level: 4 } }, false],
    [{ scopes_all: ['read'], groups_any: ['staff'], claims: { tenant: 'acme' } }, true],
    [{ scopes_all: ['read'], groups_any: ['admins'], claims: { tenant: 'acme' } }, false],
  ]
  for (const [require, isAllowed] of rules) {
    test(`${JSON.stringify(require)} ${isAllowed ? 'lets in' : 'keeps out'}`, async () => {
      await using at = await bench({ ...EC, require })
      const token = await ec.sign(CLAIMS)
      // Also when the token is known.
      for (let i = 0; i < 2; i++) assert.deepEqual(await at.ask(token), isAllowed ? LET_IN : FORBIDDEN)
      assert.equal(at.gateway.upstreamRequests.length, isAllowed ? 2 : 0)
    })
  }

  const scopes: [claims: object, isAllowed: boolean][] = [
    [{ scope: 'write' }, true],
    [{ scp: 'read write' }, true],
    [{ scp: ['write'] }, true],
    [{ scope: 'read', scp: 'write' }, false],
    [{ scope: 'writes' }, false],
    [{ scope: 'read,write' }, false],
    [{ scope: { write: true } }, false],
    [{ scope: ['read', 'write'] }, true],
    [{ scope: ['write', 5] }, false],
    [{ scope: 5, scp: 'write' }, false],
    [{ scope: null, scp: ['write'] }, false],
    [{ scope: '', scp: 'write' }, false],
    [{}, false],
  ]
  for (const [claims, isAllowed] of scopes) {
    test(`the scope write is ${isAllowed ? '' : 'not '}in ${JSON.stringify(claims)}`, async () => {
      await using at = await bench({ ...EC, require: { scopes_all: ['write'] } })
      assert.deepEqual(await at.ask(await ec.sign({ ...claims })), isAllowed ? LET_IN : FORBIDDEN)
    })
  }
})

describe('consumer', () => {
  test('is made of the claims that the config names', async () => {
    const consumer = { id: 'client.id', groups: 'realm_access.roles', metadata: ['tenant', 'absent', 'mail'] }
    await using at = await bench({ ...EC, consumer })
    const claims = {
      sub: undefined,
      client: { id: 'app-1' },
      realm_access: { roles: ['a', 7, '', null, 'b'] },
      tenant: 'acme',
      mail: { verified: true },
    }
    assert.deepEqual(await at.ask(await ec.sign(claims)), LET_IN)
    const [seen] = at.seen
    assert.deepEqual(
      [seen?.id, seen?.groups, seen?.metadata, seen?.credential],
      ['app-1', ['a', 'b'], { tenant: 'acme', mail: { verified: true } }, 'ES256'],
    )
    assert.deepEqual(await at.ask(await ec.sign()), INVALID)
  })

  test('has one group where the claim is one string', async () => {
    await using at = await bench({ ...EC, consumer: { groups: 'role' } })
    await at.ask(await ec.sign({ role: 'admin' }))
    assert.deepEqual(at.seen[0]?.groups, ['admin'])
  })
})

test('claimAt() finds whole names before parts, and own members only', () => {
  const claims = { 'https://a.example/roles': 1, a: { b: { c: 2 } }, 'a.b': 3, list: ['x'] }
  assert.equal(claimAt(claims, 'https://a.example/roles'), 1)
  assert.equal(claimAt(claims, 'a.b.c'), 2)
  assert.equal(claimAt(claims, 'a.b'), 3)
  assert.equal(claimAt(claims, 'list.0'), 'x')
  for (const name of [
    'a.b.c.d',
    'b',
    '',
    '.',
    'constructor',
    'a.constructor',
    '__proto__.a',
    'list.length.x',
  ]) {
    assert.equal(claimAt(claims, name), undefined, name)
  }
})

describe('upstream_headers', () => {
  const upstream_headers = {
    'X-User': 'sub',
    'x-mail': 'email',
    'x-roles': 'realm.roles',
    'x-level': 'level',
  }
  const forged = {
    'x-user': 'forged',
    x_user: 'forged',
    'X-Mail': 'forged',
    'x-roles': 'forged',
    x_level: 'forged',
  }
  const told = ({ gateway }: Bench): Record<string, string> => {
    const names = /^x[-_](user|mail|roles|level)$/
    return Object.fromEntries(
      [...(gateway.upstreamRequests.at(-1)?.headers ?? [])].filter(([name]) => names.test(name)),
    )
  }

  test('tell the upstream of claims', async () => {
    await using at = await bench({ ...EC, upstream_headers })
    const token = await ec.sign({ email: 'müller@example.com', realm: { roles: ['a', 'b'] }, level: 3 })
    for (let i = 0; i < 2; i++) {
      await at.ask(token, forged)
      assert.deepEqual(told(at), {
        'x-user': 'anna',
        'x-mail': Buffer.from('müller@example.com').toString('latin1'),
        'x-roles': 'a,b',
        'x-level': '3',
      })
    }
  })

  test('hold nothing of a client where a claim is missing or cannot be told', async () => {
    await using at = await bench({ ...EC, upstream_headers })
    await at.ask(await ec.sign({ email: 'a\r\nx-admin: 1', realm: { roles: ['a', 'b,admin'] } }), forged)
    assert.deepEqual(told(at), { 'x-user': 'anna' })
  })

  test('hold nothing of a client for the anonymous', async () => {
    await using at = await bench({ ...EC, upstream_headers, anonymous: { id: 'guest' } })
    assert.deepEqual(await at.ask(null, forged), LET_IN)
    assert.deepEqual(told(at), {})
    assert.deepEqual(at.seen, [
      {
        id: 'guest',
        groups: [],
        metadata: {},
        anonymous: true,
        method: 'jwt',
        credential: null,
        expiresAt: null,
      },
    ])
  })
})

describe('anonymous', () => {
  const anonymous = { id: 'guest', groups: ['guests'] }

  test('is for requests without a token only', async () => {
    await using at = await bench({ ...EC, anonymous })
    assert.deepEqual(await at.ask(null), LET_IN)
    await at.refuses('x.y.z')
    await at.refuses('')
    await at.refuses(await (await signer('ES256')).sign())
    assert.deepEqual(await at.ask(await ec.sign()), LET_IN)
    assert.deepEqual(
      at.seen.map((consumer) => consumer?.id),
      ['guest', 'anna'],
    )
  })

  test('has no scopes and no claims', async () => {
    const rules = [{ scopes_any: ['read'] }, { claims: { tenant: 'acme' } }, { groups_all: ['staff'] }]
    for (const require of rules) {
      await using at = await bench({ ...EC, anonymous, require })
      // It has not said who it is, which is no error, and may yet do so (RFC 6750, 3.1).
      assert.deepEqual(await at.ask(null), MISSING)
      const { headers } = await at.gateway.fetch('/')
      assert.equal(headers.get('www-authenticate'), 'Bearer realm="api"')
      assert.equal(at.gateway.upstreamRequests.length, 0)
    }
    await using at = await bench({ ...EC, anonymous, require: { groups_any: ['guests'] } })
    assert.deepEqual(await at.ask(null), LET_IN)
  })

  test('leaves room for a key, and for what is required of whoever comes in by either', async () => {
    const key = 'a key of which this test holds the hash'
    const hash = `sha256:${createHash('sha256').update(key).digest('hex')}`
    const keyAuth = (settings: Readonly<Record<string, unknown>>) =>
      pluginFolder(join(import.meta.dirname, '../key-auth'), {
        consumers: { backup: { groups: ['admins'], keys: { first: { hash } } } },
        unless_authenticated: true,
        ...settings,
      })
    const require = { groups_any: ['admins'] }
    await using at = await bench({ ...EC, anonymous: { id: 'guest' } }, { others: [keyAuth({ require })] })
    assert.deepEqual(await at.ask(null), { status: 401, code: 'KEY_MISSING' })
    assert.deepEqual(await at.ask(null, { 'x-api-key': key }), LET_IN)
    assert.deepEqual(await at.ask(await ec.sign({ groups: ['admins'] })), LET_IN)
    assert.deepEqual(await at.ask(await ec.sign({ groups: ['staff'] })), {
      status: 403,
      code: 'GROUP_REQUIRED',
    })
    assert.deepEqual(
      at.seen.map((consumer) => consumer?.id),
      ['backup', 'anna'],
    )
    // What follows may let everybody in: who does not meet it yet does not get there.
    const first = { ...EC, anonymous: { id: 'guest' }, require }
    await using before = await bench(first, { others: [keyAuth({ anonymous: { id: 'guest' } })] })
    assert.deepEqual(await before.ask(null), MISSING)
    assert.deepEqual(await before.ask(null, { 'x-api-key': key }), MISSING)
    assert.equal(before.gateway.upstreamRequests.length, 0)
  })

  test('does not take the place of whom another plugin knows', async () => {
    const other: TestPlugin = {
      manifest: { name: 'other', category: 'security', priority: 9_000 },
      main: () => ({
        name: 'other',
        handle(ctx) {
          return setConsumer(ctx, defineConsumer({ id: 'app', groups: ['apps'], method: 'other' }))
        },
      }),
    }
    await using at = await bench({ ...EC, anonymous, require: { groups_any: ['apps'] } }, { others: [other] })
    assert.deepEqual(await at.ask(null), LET_IN)
    assert.equal(at.seen[0]?.id, 'app')
    for (const require of [{ groups_any: ['staff'] }, { scopes_any: ['read'] }]) {
      await using stricter = await bench({ ...EC, anonymous, require }, { others: [other] })
      assert.deepEqual(await stricter.ask(null), FORBIDDEN)
    }
    await using closed = await bench(EC, { others: [other] })
    assert.deepEqual(await closed.ask(null), MISSING)
  })
})
