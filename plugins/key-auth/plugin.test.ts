import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pluginFolder, type TestRequestInit, testGateway } from '@cardea/sdk/testing'
import { bench, CHALLENGE, hmac, KEY, LET_IN, MOBILE, OTHER_KEY, PEPPER, sha256 } from './test-bench.ts'

test('a key lets its consumer in, is told to nobody, and names who came', async () => {
  await using at = await bench(MOBILE)
  assert.deepEqual(await at.ask({ 'x-api-key': KEY }), LET_IN)
  assert.deepEqual(at.seen, [
    {
      id: 'mobile',
      groups: ['apps'],
      metadata: { plan: 'gold' },
      anonymous: false,
      method: 'key-auth',
      credential: 'first',
      expiresAt: null,
    },
  ])
  assert.equal(at.gateway.upstreamRequests[0]?.headers.get('x-api-key'), null)
  assert.ok(!JSON.stringify([at.gateway.logs, at.gateway.records]).includes(KEY))
})

describe('nothing but a key gets past', () => {
  const hash = sha256(KEY)
  const refused: [what: string, headers: TestRequestInit['headers'], status: number, code: string][] = [
    ['no key', {}, 401, 'KEY_MISSING'],
    ['an empty key', { 'x-api-key': '' }, 401, 'KEY_INVALID'],
    ['an unknown key', { 'x-api-key': OTHER_KEY }, 401, 'KEY_INVALID'],
    ['the start of a key', { 'x-api-key': KEY.slice(0, -1) }, 401, 'KEY_INVALID'],
    ['a key in other case', { 'x-api-key': KEY.toUpperCase() }, 401, 'KEY_INVALID'],
    ['a key with more behind it', { 'x-api-key': `${KEY}A` }, 401, 'KEY_INVALID'],
    ['the hash of a key', { 'x-api-key': hash }, 401, 'KEY_INVALID'],
    ['the digest of a key', { 'x-api-key': hash.slice('sha256:'.length) }, 401, 'KEY_INVALID'],
    ['a name of the table', { 'x-api-key': '__proto__' }, 401, 'KEY_INVALID'],
    ['a huge key', { 'x-api-key': 'a'.repeat(10_000) }, 401, 'KEY_INVALID'],
    [
      'a key twice',
      [
        ['x-api-key', KEY],
        ['x-api-key', KEY],
      ],
      400,
      'KEY_AMBIGUOUS',
    ],
    [
      'a key and another',
      [
        ['x-api-key', KEY],
        ['x-api-key', 'b'],
      ],
      400,
      'KEY_AMBIGUOUS',
    ],
    ['a key in a place that is none', { authorization: `Bearer ${KEY}` }, 401, 'KEY_MISSING'],
    ['the name of a consumer', { 'x-consumer-id': 'mobile' }, 401, 'KEY_MISSING'],
  ]
  for (const [what, headers, status, code] of refused) {
    test(what, async () => {
      await using at = await bench(MOBILE)
      const answer = await at.ask(headers)
      assert.deepEqual([answer.status, answer.code], [status, code])
      assert.equal(at.gateway.upstreamRequests.length, 0)
      assert.deepEqual(at.seen, [])
    })
  }
})

test('a refusal says what to bring (RFC 9110, 11.6.1), and is a problem that nobody keeps', async () => {
  await using at = await bench(MOBILE)
  const response = await at.gateway.fetch('/')
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.equal(response.headers.get('cache-control'), 'no-store')
  assert.equal(response.headers.get('www-authenticate'), CHALLENGE)
  assert.deepEqual(await response.json(), {
    type: 'about:blank',
    title: 'Unauthorized',
    status: 401,
    code: 'KEY_MISSING',
    detail: 'The request carries no key.',
    id: at.gateway.records[0]?.id,
  })
  assert.equal((await at.ask({ 'x-api-key': 'x' })).challenge, `${CHALLENGE}, error="invalid_token"`)
})

test('each source has its challenge, and a word before the key is one of Authorization', async () => {
  const sources = [
    { header: 'Authorization', scheme: 'Bearer' },
    { query: 'schlüssel "k"' },
    { cookie: 'key' },
  ]
  await using at = await bench({ ...MOBILE, sources, realm: 'the shop' })
  const { challenge } = await at.ask()
  assert.equal(
    challenge,
    'Bearer realm="the shop", ' +
      'ApiKey realm="the shop", in="query", name="schl%C3%BCssel%20%22k%22", ' +
      'ApiKey realm="the shop", in="cookie", name="key"',
  )
})

test('a key may stand in any of the sources, in one at a time, and never gets to the upstream', async () => {
  const sources = [
    { header: 'Authorization', scheme: 'Token' },
    { header: 'X-Key' },
    { query: 'key' },
    { cookie: 'key' },
  ]
  await using at = await bench({ ...MOBILE, sources })
  const places: [TestRequestInit['headers'], string][] = [
    [{ authorization: `token ${KEY}` }, '/'],
    [{ 'x-key': KEY }, '/'],
    [{}, `/?a=b&key=${KEY}`],
    [{}, `/?%6Bey=${KEY}`],
    [{ cookie: `a=b; key=${KEY}` }, '/'],
  ]
  for (const [headers, url] of places) assert.deepEqual(await at.ask(headers, url), LET_IN)
  for (const { url, headers } of at.gateway.upstreamRequests) {
    assert.ok(!JSON.stringify([url, ...headers]).includes(KEY))
  }
  for (const [first] of places) {
    for (const [second, url] of places) {
      if (first === second || Object.keys(first ?? {}).length === 0) continue
      const { status } = await at.ask({ ...first, ...second }, url)
      assert.equal(status, 400)
    }
  }
  assert.equal(at.gateway.upstreamRequests.length, places.length)
})

test('a key in the query is taken out, and the rest of the query stays byte for byte', async () => {
  await using at = await bench({ ...MOBILE, sources: [{ query: 'k' }] })
  const rest = 'q=%C4%E3%BA%C3&sig=a%20b&&flag'
  assert.deepEqual(await at.ask({}, `/?%6B=${KEY}&${rest}`), LET_IN)
  assert.equal(at.gateway.upstreamRequests[0]?.url, `/?${rest}`)
})

test('a consumer has several keys at once, each until it expires', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('2027-01-01T00:00:00Z') })
  const keys = {
    old: { hash: sha256(KEY), expires: '2027-01-01T01:00:00+01:00' },
    older: { hash: sha256('x'.repeat(40)), expires: '2026-01-01T00:00:00Z' },
    next: { hash: sha256(OTHER_KEY), expires: '2027-01-01T00:00:01Z' },
  }
  await using at = await bench({ consumers: { mobile: { keys } } })
  assert.equal((await at.ask({ 'x-api-key': KEY })).code, 'KEY_EXPIRED')
  assert.equal((await at.ask({ 'x-api-key': 'x'.repeat(40) })).code, 'KEY_EXPIRED')
  assert.deepEqual(await at.ask({ 'x-api-key': OTHER_KEY }), LET_IN)
  assert.equal(at.seen[0]?.expiresAt, Date.parse('2027-01-01T00:00:01Z'))
  t.mock.timers.tick(999)
  assert.deepEqual(await at.ask({ 'x-api-key': OTHER_KEY }), LET_IN)
  t.mock.timers.tick(1)
  assert.deepEqual(await at.ask({ 'x-api-key': OTHER_KEY }), {
    status: 401,
    code: 'KEY_EXPIRED',
    challenge: `${CHALLENGE}, error="invalid_token"`,
  })
})

test('hashes can have a pepper, beside those that have none', async () => {
  const consumers = {
    a: { keys: { k: { hash: hmac(KEY) } } },
    b: { keys: { k: { hash: sha256(OTHER_KEY) } } },
  }
  await using at = await bench({ consumers, pepper: PEPPER })
  for (const key of [KEY, OTHER_KEY]) assert.deepEqual(await at.ask({ 'x-api-key': key }), LET_IN)
  assert.deepEqual(
    at.seen.map((consumer) => consumer?.id),
    ['a', 'b'],
  )
  assert.equal((await at.ask({ 'x-api-key': PEPPER })).status, 401)
})

test('another pepper opens nothing', async () => {
  const consumers = { a: { keys: { k: { hash: hmac(KEY) } } } }
  await using at = await bench({ consumers, pepper: `${PEPPER}!` })
  assert.equal((await at.ask({ 'x-api-key': KEY })).code, 'KEY_INVALID')
})

describe('require', () => {
  const groups: [require: object, allowed: boolean][] = [
    [{}, true],
    [{ groups_any: ['apps'] }, true],
    [{ groups_any: ['ops', 'apps'] }, true],
    [{ groups_any: ['ops'] }, false],
    [{ groups_any: ['app'] }, false],
    [{ groups_all: ['apps', 'beta'] }, true],
    [{ groups_all: ['apps', 'ops'] }, false],
    [{ groups_any: ['apps'], groups_all: ['ops'] }, false],
  ]
  for (const [require, allowed] of groups) {
    test(`${JSON.stringify(require)} ${allowed ? 'lets in' : 'keeps out'} a member of apps and beta`, async () => {
      const consumers = { mobile: { groups: ['apps', 'beta'], keys: { k: { hash: sha256(KEY) } } } }
      await using at = await bench({ consumers, require })
      const answer = await at.ask({ 'x-api-key': KEY })
      const refusal = {
        status: 403,
        code: 'GROUP_REQUIRED',
        challenge: `${CHALLENGE}, error="insufficient_scope"`,
      }
      assert.deepEqual(answer, allowed ? LET_IN : refusal)
      assert.equal(at.gateway.upstreamRequests.length, allowed ? 1 : 0)
    })
  }

  test('is laid over by route', async () => {
    const routes = [
      { path: '/*', plugins: { 'key-auth': {} } },
      { path: '/admin/*', plugins: { 'key-auth': { config: { require: { groups_any: ['admins'] } } } } },
      { path: '/open', plugins: { 'key-auth': false } },
    ]
    await using gateway = await testGateway({
      plugins: [pluginFolder(import.meta.dirname, MOBILE)],
      routes,
    })
    const headers = { 'x-api-key': KEY }
    assert.equal((await gateway.fetch('/', { headers })).status, 200)
    assert.equal((await gateway.fetch('/admin/x', { headers })).status, 403)
    assert.equal((await gateway.fetch('/admin/x')).status, 401)
    assert.equal((await gateway.fetch('/open')).status, 200)
  })
})

describe('a config is refused', () => {
  const refused: [what: string, config: object, reason: RegExp][] = [
    [
      'with a key in clear',
      { consumers: { a: { keys: { k: { hash: KEY } } } } },
      /a hash as "cardea key new" prints it/,
    ],
    ['with a key without a hash', { consumers: { a: { keys: { k: {} } } } }, /hash" is missing/],
    [
      'with a hash of half the length',
      { consumers: { a: { keys: { k: { hash: sha256(KEY).slice(0, 40) } } } } },
      /hash/,
    ],
    [
      'with one key for two consumers',
      { consumers: { a: { keys: { k: { hash: sha256(KEY) } } }, b: { keys: { l: { hash: sha256(KEY) } } } } },
      /Cannot use the key "l" of consumer "b": another key is the same/,
    ],
    [
      'with a peppered hash and no pepper',
      { consumers: { a: { keys: { k: { hash: hmac(KEY) } } } } },
      /Cannot use the key "k" of consumer "a": its hash is hmac-sha256 and there is no pepper/,
    ],
    ['with a short pepper', { pepper: 'hunter2' }, /pepper/],
    [
      'with a date that is none',
      { consumers: { a: { keys: { k: { hash: sha256(KEY), expires: '2027' } } } } },
      /expires/,
    ],
    ['with no source', { sources: [] }, /sources/],
    ['with a source of two places', { sources: [{ header: 'a', query: 'b' }] }, /sources/],
    ['with a group that holds a comma', { consumers: { a: { groups: ['b,admin'] } } }, /groups/],
    ['with a header that tells a secret', { upstream_headers: { 'x-a': 'pepper' } }, /upstream_headers/],
    ['with a misspelt option', { requires: {} }, /require/],
  ]
  for (const [what, config, reason] of refused) {
    test(what, async () => {
      await assert.rejects(bench(config as Record<string, unknown>), (error: Error) => {
        assert.match(error.message, reason)
        for (const secret of [KEY, 'hunter2']) assert.ok(!error.message.includes(secret), error.message)
        return true
      })
    })
  }
})

test('without keys everybody is refused, and the log says so', async () => {
  await using at = await bench({})
  assert.equal((await at.ask({ 'x-api-key': KEY })).status, 401)
  assert.match(at.gateway.logs.map(({ message }) => message).join(), /There are no keys/)
})
