import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defineConsumer, setConsumer } from '@cardea/sdk'
import {
  pluginFolder,
  type TestGateway,
  type TestGatewayOptions,
  type TestPlugin,
  type TestRequestInit,
  type TestResponse,
  testGateway,
} from '@cardea/sdk/testing'

type Config = Readonly<Record<string, unknown>>

function gatewayWith(config: Config, options: TestGatewayOptions = {}): Promise<TestGateway> {
  const plugins = [pluginFolder(import.meta.dirname, config), ...(options.plugins ?? [])]
  return testGateway({ ...options, plugins })
}

/** How many of so many requests get through. */
async function admitted(gateway: TestGateway, count: number, init: TestRequestInit = {}, url = '/') {
  let sum = 0
  for (let asked = 0; asked < count; asked += 1) if ((await gateway.fetch(url, init)).status === 200) sum += 1
  return sum
}

async function untilWindowStarts(gateway: TestGateway, windowMs: number): Promise<void> {
  await gateway.clock.advance(windowMs - (gateway.clock.nowMs() % windowMs))
}

/** A response's fields of the limit. */
function fieldsOf({ headers }: TestResponse): (string | null)[] {
  return ['ratelimit-policy', 'ratelimit', 'retry-after'].map((name) => headers.get(name))
}

const from = (clientIp: string): TestRequestInit => ({ clientIp })
const withField = (name: string, value: string): TestRequestInit => ({ headers: { [name]: value } })

describe('algorithms', () => {
  test('bucket lets the burst through at once, then one request each window / limit', async () => {
    await using gateway = await gatewayWith({ limit: 10, window: '10s', burst: 3 })
    assert.equal(await admitted(gateway, 5), 3)
    await gateway.clock.advance(999)
    assert.equal(await admitted(gateway, 1), 0)
    await gateway.clock.advance(1)
    assert.equal(await admitted(gateway, 2), 1)
    await gateway.clock.advance(60_000)
    assert.equal(await admitted(gateway, 5), 3)
  })

  test('bucket without a burst lets the limit through at once', async () => {
    await using gateway = await gatewayWith({ limit: 10, window: '10s' })
    assert.equal(await admitted(gateway, 20), 10)
  })

  test('fixed starts anew with every window, and not before', async () => {
    await using gateway = await gatewayWith({ limit: 4, window: '10s', algorithm: 'fixed' })
    await untilWindowStarts(gateway, 10_000)
    assert.equal(await admitted(gateway, 2), 2)
    await gateway.clock.advance(9_999)
    assert.equal(await admitted(gateway, 4), 2)
    await gateway.clock.advance(1)
    assert.equal(await admitted(gateway, 9), 4)
  })

  test('sliding gives back during a window what was used in the one before', async () => {
    await using gateway = await gatewayWith({ limit: 10, window: '10s', algorithm: 'sliding' })
    await untilWindowStarts(gateway, 10_000)
    assert.equal(await admitted(gateway, 20), 10)
    await gateway.clock.advance(10_000)
    assert.equal(await admitted(gateway, 5), 0)
    await gateway.clock.advance(5_000)
    assert.equal(await admitted(gateway, 9), 5)
    await gateway.clock.advance(4_999)
    assert.equal(await admitted(gateway, 9), 4)
  })
})

describe('keys', () => {
  test('ip takes all addresses of a /64 for one client', async () => {
    await using gateway = await gatewayWith({ limit: 2, window: '60s', key: 'ip' })
    assert.equal(await admitted(gateway, 2, from('2001:db8:1:2::1')), 2)
    assert.equal(await admitted(gateway, 1, from('2001:db8:1:2:ffff::9')), 0)
    assert.equal(await admitted(gateway, 1, from('2001:db8:1:3::1')), 1)
    assert.equal(await admitted(gateway, 3, from('192.0.2.7')), 2)
    assert.equal(await admitted(gateway, 1, from('::ffff:192.0.2.7')), 0)
    assert.equal(await admitted(gateway, 1, from('192.0.2.8')), 1)
  })

  test('ipv6_prefix and ipv4_prefix say how much of an address is a client', async () => {
    const config = { limit: 1, window: '60s', key: 'ip', ipv6_prefix: 56, ipv4_prefix: 24 }
    await using gateway = await gatewayWith(config)
    assert.equal(await admitted(gateway, 1, from('2001:db8:0:100::1')), 1)
    assert.equal(await admitted(gateway, 1, from('2001:db8:0:1ff::1')), 0)
    assert.equal(await admitted(gateway, 1, from('2001:db8:0:200::1')), 1)
    assert.equal(await admitted(gateway, 1, from('192.0.2.1')), 1)
    assert.equal(await admitted(gateway, 1, from('192.0.2.255')), 0)
    assert.equal(await admitted(gateway, 1, from('192.0.3.1')), 1)
  })

  test('header has a limit for each value, and the client for want of one', async () => {
    await using gateway = await gatewayWith({ limit: 1, window: '60s', key: 'header:X-Tenant' })
    assert.equal(await admitted(gateway, 2, withField('x-tenant', 'a')), 1)
    assert.equal(await admitted(gateway, 2, withField('x-tenant', 'b')), 1)
    assert.equal(await admitted(gateway, 2), 1)
    // A value that looks like a client is none.
    assert.equal(await admitted(gateway, 2, withField('x-tenant', 'ip 192.0.2.1')), 1)
  })

  test('consumer is who was authenticated, and the client where nobody was', async () => {
    const auth: TestPlugin = {
      manifest: { category: 'security' },
      main: () => ({
        name: 'auth',
        handle(ctx) {
          const id = ctx.request.headers.get('x-id')
          if (id !== null) setConsumer(ctx, defineConsumer({ id, method: 'test', anonymous: id === 'guest' }))
          return true
        },
      }),
    }
    await using gateway = await gatewayWith({ limit: 1, window: '60s', key: 'consumer' }, { plugins: [auth] })
    const as = (id: string, clientIp: string): TestRequestInit => ({ clientIp, headers: { 'x-id': id } })
    assert.equal(await admitted(gateway, 1, as('mobile', '192.0.2.1')), 1)
    assert.equal(await admitted(gateway, 1, as('mobile', '192.0.2.2')), 0)
    assert.equal(await admitted(gateway, 1, as('web', '192.0.2.1')), 1)
    assert.equal(await admitted(gateway, 1, as('guest', '192.0.2.1')), 1)
    assert.equal(await admitted(gateway, 1, from('192.0.2.1')), 0)
    assert.equal(await admitted(gateway, 1, as('guest', '192.0.2.2')), 1)
  })

  test('route is part of the default key, and left out makes one limit of several routes', async () => {
    const routes = [
      { name: 'a', path: '/a' },
      { name: 'b', path: '/b' },
    ]
    await using apart = await gatewayWith({ limit: 1, window: '60s' }, { routes })
    assert.equal(await admitted(apart, 2, {}, '/a'), 1)
    assert.equal(await admitted(apart, 2, {}, '/b'), 1)
    await using together = await gatewayWith({ limit: 1, window: '60s', key: 'ip' }, { routes })
    assert.equal(await admitted(together, 2, {}, '/a'), 1)
    assert.equal(await admitted(together, 2, {}, '/b'), 0)
  })

  test('a combination cannot be forged by what a client writes into one of its parts', async () => {
    const key = ['header:a', 'header:b']
    await using gateway = await gatewayWith({ limit: 1, window: '60s', key })
    const both = (a: string, b: string): TestRequestInit => ({ headers: { a, b } })
    assert.equal(await admitted(gateway, 2, both('x', 'y')), 1)
    assert.equal(await admitted(gateway, 2, both('x 4 is y', 'y')), 1)
    assert.equal(await admitted(gateway, 2, both('x', 'y 4 is y')), 1)
    assert.equal(await admitted(gateway, 2, both('y', 'x')), 1)
  })

  test('the same value of another header is another key', async () => {
    const routes = ['a', 'b'].map((name) => ({
      name,
      path: `/${name}`,
      plugins: { 'rate-limit': { config: { key: `header:${name}` } } },
    }))
    await using gateway = await gatewayWith({ limit: 1, window: '60s' }, { routes })
    const both: TestRequestInit = { headers: { a: 'same', b: 'same' } }
    assert.equal(await admitted(gateway, 2, both, '/a'), 1)
    assert.equal(await admitted(gateway, 2, both, '/b'), 1)
  })

  test('a client of whom only the address is known has a limit for each thing that limits of one name go by', async () => {
    const routes = ['consumer', 'header:X-Tenant', 'ip', 'route', ['consumer', 'ip'], ['header:b', 'ip']].map(
      (key, at) => ({
        // A route may be called like an address.
        name: at === 3 ? '192.0.2.1' : `r${at}`,
        path: `/${at}`,
        plugins: { 'rate-limit': { config: { key, limit: at + 2 } } },
      }),
    )
    await using gateway = await gatewayWith({ limit: 1, window: '60s' }, { routes })
    for (const at of routes.keys()) {
      assert.equal(await admitted(gateway, 10, from('192.0.2.1'), `/${at}`), at + 2, `/${at}`)
    }
  })

  test('another instance has limits of its own, unless both say one name', async () => {
    const instances = (config: Config): TestGatewayOptions => ({
      routes: [
        {
          path: '/*',
          plugins: {
            'rate-limit': { config },
            'login-limit': { plugin: 'rate-limit', config: { limit: 5, window: '100s', ...config } },
          },
        },
      ],
    })
    await using apart = await gatewayWith({ limit: 100, window: '100s' }, instances({}))
    const first = await apart.fetch('/')
    assert.deepEqual(fieldsOf(first).slice(0, 2), ['"default";q=100;w=100', '"default";r=99;t=1'])
    assert.equal(await admitted(apart, 10), 4)
    await using together = await gatewayWith({ limit: 5, window: '100s' }, instances({ name: 'one' }))
    assert.equal(await admitted(together, 10), 2)
  })

  test('a key as long as a head is one key and not its beginning', async () => {
    await using gateway = await gatewayWith({ limit: 1, window: '60s', key: 'header:token' })
    const long = 'x'.repeat(4_000)
    assert.equal(await admitted(gateway, 2, withField('token', `${long}a`)), 1)
    assert.equal(await admitted(gateway, 2, withField('token', `${long}b`)), 1)
  })
})

describe('several limits', () => {
  const limits = [
    { name: 'second', limit: 2, window: '1s', key: 'ip' },
    { name: 'minute', limit: 5, window: '60s', algorithm: 'fixed', key: 'ip' },
  ]

  test('a request that one of them refuses counts in none', async () => {
    await using gateway = await gatewayWith({ limits })
    await untilWindowStarts(gateway, 60_000)
    // Refused by `second`, eight times: were they counted, nothing of `minute` would be left.
    assert.equal(await admitted(gateway, 10), 2)
    await gateway.clock.advance(1_000)
    assert.equal(await admitted(gateway, 10), 2)
    await gateway.clock.advance(1_000)
    assert.equal(await admitted(gateway, 10), 1)
    await gateway.clock.advance(10_000)
    assert.equal(await admitted(gateway, 10), 0)
  })

  test('the fields tell of all of them, and the answer which one it was', async () => {
    await using gateway = await gatewayWith({ limits })
    await untilWindowStarts(gateway, 60_000)
    const first = await gateway.fetch('/')
    assert.deepEqual(fieldsOf(first), [
      '"second";q=2;w=1, "minute";q=5;w=60',
      '"second";r=1;t=1, "minute";r=4;t=60',
      null,
    ])
    await gateway.fetch('/')
    const third = await gateway.fetch('/')
    assert.equal(third.status, 429)
    assert.deepEqual(fieldsOf(third).slice(1), ['"second";r=0;t=1, "minute";r=3;t=60', '1'])
    const problem = (await third.json()) as Record<string, unknown>
    assert.deepEqual(problem['violated-policies'], ['second'])
  })
})

describe('the fields', () => {
  test('say what is left and when all of it is there again', async () => {
    await using gateway = await gatewayWith({ limit: 100, window: '100s', burst: 3 })
    assert.deepEqual(fieldsOf(await gateway.fetch('/')), ['"default";q=100;w=100', '"default";r=2;t=1', null])
    await gateway.fetch('/')
    assert.deepEqual(fieldsOf(await gateway.fetch('/')), ['"default";q=100;w=100', '"default";r=0;t=3', null])
    const refused = await gateway.fetch('/')
    assert.equal(refused.status, 429)
    assert.deepEqual(fieldsOf(refused), ['"default";q=100;w=100', '"default";r=0;t=3', '2'])
    assert.equal(refused.headers.get('content-type'), 'application/problem+json')
    assert.equal(refused.headers.get('cache-control'), 'no-store')
  })

  test('take the place of those that the upstream sets', async () => {
    const upstream = {
      answer: () => ({ status: 200, headers: { ratelimit: '"x";r=9', 'ratelimit-policy': 'x' } }),
    }
    await using gateway = await gatewayWith({ limit: 5, window: '60s', name: 'api' }, { upstream })
    assert.deepEqual(fieldsOf(await gateway.fetch('/')).slice(0, 2), ['"api";q=5;w=60', '"api";r=4;t=12'])
  })

  test('are not sent where `headers` is false, but Retry-After is', async () => {
    await using gateway = await gatewayWith({ limit: 1, window: '60s', headers: false })
    assert.deepEqual(fieldsOf(await gateway.fetch('/')), [null, null, null])
    const refused = await gateway.fetch('/')
    assert.deepEqual(fieldsOf(refused).slice(0, 2), [null, null])
    const seconds = Number(refused.headers.get('retry-after'))
    await gateway.clock.advance((seconds - 2) * 1_000)
    assert.equal((await gateway.fetch('/')).status, 429)
    await gateway.clock.advance(2_000)
    assert.equal((await gateway.fetch('/')).status, 200)
  })

  for (const algorithm of ['bucket', 'fixed', 'sliding']) {
    test(`Retry-After is true: who waits for it is let in (${algorithm})`, async () => {
      await using gateway = await gatewayWith({ limit: 3, window: '30s', algorithm })
      for (let round = 0; round < 5; round += 1) {
        await gateway.clock.advance(4_321)
        let refused = await gateway.fetch('/')
        while (refused.status === 200) refused = await gateway.fetch('/')
        await gateway.clock.advance(Number(refused.headers.get('retry-after')) * 1_000)
        assert.equal((await gateway.fetch('/')).status, 200, `round ${round}`)
      }
    })
  }
})

describe('the config', () => {
  const cases: [config: Config, message: RegExp][] = [
    [{}, /limits nothing/],
    [{ limit: 5 }, /limits nothing/],
    [{ limit: 5, window: '10ms' }, /at least 1000 ms/],
    [{ limit: 5, window: '10s', algorithm: 'fixed', burst: 3 }, /burst/],
    [{ limit: 5, limits: [{ name: 'a', limit: 1, window: '1s' }] }, /beside `limits`/],
    [
      {
        limits: [
          { name: 'a', limit: 1, window: '1s' },
          { name: 'a', limit: 2, window: '1m' },
        ],
      },
      /same name/,
    ],
    [{ limit: 0, window: '1s' }, /limit/],
    [{ limit: 5, window: '1s', key: 'cookie' }, /ip, consumer, route or header:NAME/],
    [{ limit: 5, window: '1s', key: [] }, /key/],
    [{ limit: 5, window: '1s', name: 'a "b"' }, /name/],
  ]
  for (const [config, message] of cases) {
    test(`is refused: ${JSON.stringify(config)}`, async () => {
      await assert.rejects(gatewayWith(config), message)
    })
  }
})
