import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Bench, bench, INVALID, jwks, LET_IN, type Signer, signer, UNAVAILABLE } from './test-bench.ts'

const [one, two] = [await signer('ES256', 'one'), await signer('ES256', 'two')]
const URL_OF_KEYS = 'https://login.example.com/jwks.json?tenant=hunter2'
const HOUR_MS = 3_600_000

interface Issuer extends Bench {
  /** How often the URL was asked. */
  asked: number
  answer: () => Response | Promise<Response>
  publish(...signers: readonly Signer[]): void
  /** Moves both clocks. */
  pass(durationMs: number): Promise<void>
}

async function issuer(t: TestContext, keys: Record<string, unknown> = {}): Promise<Issuer> {
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('2027-01-01T00:00:00Z') })
  const config = { algorithms: ['ES256'], keys: { url: URL_OF_KEYS, ...keys }, cache: { max_age: '1m' } }
  const state = { asked: 0, answer: (): Response | Promise<Response> => new Response(jwks(one)) }
  const at = await bench(config, {
    fetch: () => {
      state.asked++
      return state.answer()
    },
  })
  return Object.assign(state, at, {
    publish(...signers: readonly Signer[]) {
      state.answer = () => new Response(jwks(...signers))
    },
    async pass(durationMs: number) {
      t.mock.timers.tick(durationMs)
      await at.gateway.clock.advance(durationMs)
    },
  })
}

/** Lasts as long as any test. */
const token = (by: Signer, header?: Record<string, unknown>): Promise<string> =>
  by.sign({ exp: Date.parse('2028-01-01') / 1_000 }, header)

const down = (): never => {
  throw new TypeError('connection refused')
}

test('keys are fetched when the first token comes, once for all that wait', async (t) => {
  await using at = await issuer(t)
  assert.equal(at.asked, 0)
  const gate = Promise.withResolvers<Response>()
  at.answer = () => gate.promise
  const answers = Promise.all([at.ask(await token(one)), at.ask(await token(one)), at.ask(await token(two))])
  gate.resolve(new Response(jwks(one)))
  assert.deepEqual(await answers, [LET_IN, LET_IN, INVALID])
  assert.deepEqual(await at.ask(await token(one)), LET_IN)
  assert.equal(at.asked, 1)
})

test('while there are no keys, nobody comes in, and the URL is asked once a second', async (t) => {
  await using at = await issuer(t)
  at.answer = down
  for (let asked = 1; asked <= 3; asked++) {
    for (let i = 0; i < 5; i++) assert.deepEqual(await at.ask(await token(one)), UNAVAILABLE)
    assert.equal(at.asked, asked)
    await at.pass(1_000)
  }
  const response = await at.gateway.fetch('/', { headers: { authorization: `Bearer ${await token(one)}` } })
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1'])
  assert.equal(at.gateway.upstreamRequests.length, 0)
  await at.pass(1_000)
  at.publish(one)
  assert.deepEqual(await at.ask(await token(one)), LET_IN)
})

test('what needs no key is refused without asking for any', async (t) => {
  await using at = await issuer(t)
  at.answer = down
  await at.refuses('x.y.z')
  await at.refuses(await (await signer('RS256')).sign())
  assert.equal(at.asked, 0)
})

test('a key that is not known is looked for, but not for every token that names one', async (t) => {
  await using at = await issuer(t)
  assert.deepEqual(await at.ask(await token(one)), LET_IN)
  await at.pass(30_000)
  at.publish(one, two)
  assert.deepEqual(await at.ask(await token(two)), LET_IN)
  assert.equal(at.asked, 2)
  for (let i = 0; i < 20; i++) await at.refuses(await token(two, { kid: `made up ${i}` }))
  assert.equal(at.asked, 2)
  await at.pass(30_000)
  for (let i = 0; i < 20; i++) await at.refuses(await token(two, { kid: `made up ${i}` }))
  assert.equal(at.asked, 3)
})

test('a key that may be new is no reason to refuse while the URL is down: 503 says try again', async (t) => {
  await using at = await issuer(t)
  assert.deepEqual(await at.ask(await token(one)), LET_IN)
  at.answer = down
  await at.pass(30_000)
  await at.refuses(await token(two), UNAVAILABLE)
  assert.deepEqual(await at.ask(await token(one)), LET_IN)
})

test('keys are fetched again in time, and nobody waits for it', async (t) => {
  await using at = await issuer(t)
  const known = await token(one)
  await at.ask(known)
  await at.pass(599_999)
  await at.ask(known)
  assert.equal(at.asked, 1)
  await at.pass(1)
  at.answer = () => new Promise(() => {})
  assert.deepEqual(await at.ask(known), LET_IN)
  assert.equal(at.asked, 2)
  assert.deepEqual(await at.ask(await token(one, { typ: 'JWT' })), LET_IN)
  assert.equal(at.asked, 2)
})

const withCacheControl =
  (value: string, headers: Record<string, string> = {}) =>
  (): Response =>
    new Response(jwks(one), { headers: { 'cache-control': value, ...headers } })

test('the issuer says when keys are fetched again, within the bounds of the config', async (t) => {
  await using at = await issuer(t, { max_age: '10m', max_age_longest: '2h', cooldown: '30s' })
  const known = await token(one)
  const fetchesAfter = async (durationMs: number): Promise<number> => {
    const before = at.asked
    await at.pass(durationMs)
    await at.ask(known)
    // Nobody waits for it; it is there when the next one asks.
    await at.gateway.clock.advance(0)
    return at.asked - before
  }
  const cases: [cacheControl: string, headers: Record<string, string>, ageMs: number][] = [
    ['max-age=60', {}, 60_000],
    ['public, max-age=3600', {}, 3_600_000],
    ['max-age=3600', { age: '600' }, 3_000_000],
    ['max-age=0', {}, 30_000],
    ['max-age=5', {}, 30_000],
    ['max-age=86400', {}, 7_200_000],
    ['no-cache', {}, 600_000],
    ['max-age=much', {}, 600_000],
  ]
  await at.ask(known)
  let ageMs = 600_000
  for (const [cacheControl, headers, nextMs] of cases) {
    at.answer = withCacheControl(cacheControl, headers)
    assert.equal(await fetchesAfter(ageMs - 1), 0, `before ${cacheControl}`)
    assert.equal(await fetchesAfter(1), 1, `at ${cacheControl}`)
    ageMs = nextMs
  }
  assert.equal(await fetchesAfter(ageMs - 1), 0)
  assert.equal(await fetchesAfter(1), 1)
})

test('what the issuer says never makes max_age shorter than the config has it', async (t) => {
  await using at = await issuer(t, { max_age: '3h', max_age_longest: '1h' })
  const known = await token(one)
  at.answer = withCacheControl('max-age=86400')
  await at.ask(known)
  await at.pass(3 * 3_600_000 - 1)
  await at.ask(known)
  assert.equal(at.asked, 1)
  await at.pass(1)
  await at.ask(known)
  assert.equal(at.asked, 2)
})

test('a key that is no longer published ends, and what was found out of its tokens with it', async (t) => {
  await using at = await issuer(t)
  at.publish(one, two)
  const [first, second] = [await token(one), await token(two)]
  assert.deepEqual([await at.ask(first), await at.ask(second)], [LET_IN, LET_IN])
  at.publish(two)
  await at.pass(600_000)
  // This one starts the fetch, and may still be let in.
  await at.ask(second)
  await at.gateway.clock.advance(0)
  await at.refuses(first)
  assert.deepEqual(await at.ask(second), LET_IN)
})

test('another key under the same name is another key', async (t) => {
  await using at = await issuer(t)
  const old = await token(one)
  assert.deepEqual(await at.ask(old), LET_IN)
  const other = await signer('ES256', 'one')
  at.publish(other)
  await at.pass(600_000)
  await at.ask(old)
  await at.gateway.clock.advance(0)
  await at.refuses(old)
  assert.deepEqual(await at.ask(await token(other)), LET_IN)
})

test('while the URL is down the keys from before are used, but not for ever', async (t) => {
  await using at = await issuer(t, { stale_max: '3h' })
  const known = await token(one)
  assert.deepEqual(await at.ask(known), LET_IN)
  at.answer = down
  for (let passed = 0; passed + 600_000 < 3 * HOUR_MS; passed += 600_000) {
    await at.pass(600_000)
    assert.deepEqual(await at.ask(known), LET_IN)
  }
  await at.pass(600_000)
  await at.refuses(known, UNAVAILABLE)
  await at.refuses(await token(one, { typ: 'JWT' }), UNAVAILABLE)
  at.publish(one)
  await at.pass(1_000)
  assert.deepEqual(await at.ask(known), LET_IN)
})

test('an answer that is no set of keys leaves those from before', async (t) => {
  await using at = await issuer(t)
  const known = await token(one)
  await at.ask(known)
  const answers: (() => Response)[] = [
    () => new Response('oops', { status: 500 }),
    () => new Response(jwks(two), { status: 404 }),
    () => new Response('<html>'),
    () => new Response('null'),
    () => new Response('{"keys":{}}'),
    () => new Response('{"keys":[]}'),
    () => new Response('{"keys":[null,7,{"kty":"oct","k":"AAAA"}]}'),
    () => new Response(JSON.stringify({ keys: Array(101).fill(two.jwk) })),
    () => new Response(`${' '.repeat(1024 * 1024)}${jwks(two)}`),
    () => Response.redirect('https://evil.example/jwks.json'),
  ]
  for (const [index, answer] of answers.entries()) {
    at.answer = answer
    await at.pass(600_000)
    assert.deepEqual(await at.ask(known), LET_IN)
    await at.gateway.clock.advance(0)
    await at.refuses(await token(two), UNAVAILABLE)
    assert.ok(at.asked >= index + 2)
  }
})

test('fetching that takes too long is given up', async (t) => {
  await using at = await issuer(t, { timeout: '2s' })
  at.answer = () => new Promise<Response>(() => {})
  const waiting = at.ask(await token(one))
  await at.pass(2_000)
  assert.deepEqual(await waiting, UNAVAILABLE)
  assert.match(at.gateway.logs.map(({ message }) => message).join(), /it took longer than 2000 ms/)
})

test('the log says why the URL could not be asked', async (t) => {
  await using at = await issuer(t)
  const causes = [
    new Error('connect ECONNREFUSED 127.0.0.1:443'),
    Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }),
  ]
  for (const cause of causes) {
    at.answer = () => {
      throw new TypeError('fetch failed', { cause })
    }
    await at.ask(await token(one))
    await at.pass(1_000)
  }
  const reasons = at.gateway.logs.map(({ message }) => /jwks\.json: (.*);/.exec(message)?.[1])
  assert.deepEqual(reasons, [
    'fetch failed, connect ECONNREFUSED 127.0.0.1:443',
    'fetch failed, ECONNREFUSED',
  ])
})

test('the log says whether there are keys left while the URL is down', async (t) => {
  await using at = await issuer(t, { max_age: '10m', stale_max: '15m' })
  const known = await token(one)
  at.answer = down
  await at.refuses(known, UNAVAILABLE)
  at.publish(one)
  await at.pass(1_000)
  assert.deepEqual(await at.ask(known), LET_IN)
  at.answer = down
  await at.pass(600_000)
  assert.deepEqual(await at.ask(known), LET_IN)
  await at.pass(300_000)
  await at.refuses(known, UNAVAILABLE)
  const left = at.gateway.logs.map(({ message }) => message.split('; ')[1])
  assert.deepEqual(left, [
    'there are none yet',
    'those from before are used on',
    'those from before are older than `keys.stale_max`, so requests with a token get 503',
  ])
})

test('the log names the URL without its query', async (t) => {
  await using at = await issuer(t)
  at.answer = () => new Response('', { status: 500 })
  await at.ask(await token(one))
  const [line] = at.gateway.logs
  assert.equal(
    line?.message,
    'Cannot fetch the keys from https://login.example.com/jwks.json: the answer is 500; there are none yet',
  )
  assert.ok(!JSON.stringify(at.gateway.logs).includes('hunter2'))
})

test('what is known ends after the time of the cache, whatever the token says', async (t) => {
  await using at = await issuer(t, { max_age: '20d', stale_max: '20d' })
  const known = await token(one)
  await at.ask(known)
  const count = t.mock.method(crypto.subtle, 'verify')
  await at.ask(known)
  assert.equal(count.mock.callCount(), 0)
  await at.pass(59_999)
  await at.ask(known)
  assert.equal(count.mock.callCount(), 0)
  await at.pass(1)
  assert.deepEqual(await at.ask(known), LET_IN)
  assert.equal(count.mock.callCount(), 1)
})

test('routes with other rules share the keys', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('2027-01-01T00:00:00Z') })
  let asked = 0
  const config = { algorithms: ['ES256'], keys: { url: URL_OF_KEYS } }
  const routes = [
    { path: '/*', plugins: { jwt: {} } },
    { path: '/admin/*', plugins: { jwt: { config: { require: { groups_any: ['admins'] } } } } },
    { path: '/open', plugins: { jwt: false } },
  ]
  await using at = await bench(config, {
    routes,
    fetch: () => {
      asked++
      return new Response(jwks(one))
    },
  })
  const headers = { authorization: `Bearer ${await token(one)}` }
  const statuses = []
  for (const path of ['/', '/admin/x', '/open']) {
    statuses.push((await at.gateway.fetch(path, { headers })).status)
  }
  assert.deepEqual(statuses, [200, 403, 200])
  assert.equal((await at.gateway.fetch('/open')).status, 200)
  assert.equal(asked, 1)
})
