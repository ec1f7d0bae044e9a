import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  pluginFolder,
  type TestGateway,
  type TestGatewayOptions,
  type TestPlugin,
  type TestRequestInit,
  type TestResponse,
  testGateway,
} from '@cardea/sdk/testing'

const APP = 'https://app.example.com'

type Config = Readonly<Record<string, unknown>>

function gatewayWith(config: Config, options: TestGatewayOptions = {}): Promise<TestGateway> {
  const plugins = [pluginFolder(import.meta.dirname, config), ...(options.plugins ?? [])]
  return testGateway({ ...options, plugins })
}

function preflight(origin: string, fields: Record<string, string> = {}): TestRequestInit {
  const headers = { origin, 'access-control-request-method': 'PUT', ...fields }
  return { method: 'OPTIONS', headers }
}

function from(origin: string): TestRequestInit {
  return { headers: { origin } }
}

/** The fields of the protocol, and Vary. */
function protocolOf({ headers }: TestResponse): Record<string, string> {
  return Object.fromEntries(
    [...headers].filter(([name]) => name.startsWith('access-control-') || name === 'vary'),
  )
}

/** Whether a page of that origin may read the answer. */
async function mayRead(gateway: TestGateway, origin: string): Promise<boolean> {
  const { headers } = await gateway.fetch('/', from(origin))
  assert.equal(headers.get('vary'), 'Origin', origin)
  const allowed = headers.get('access-control-allow-origin')
  assert.ok(allowed === null || allowed === origin, `${origin} got ${allowed}`)
  return allowed !== null
}

describe('origins', () => {
  const cases: [config: Config, allowed: string[], refused: string[]][] = [
    [
      { origins: [APP, 'http://localhost:5173', 'capacitor://localhost'] },
      [APP, 'http://localhost:5173', 'capacitor://localhost'],
      [
        'null',
        'http://app.example.com',
        'https://app.example.com:8443',
        'https://APP.example.com',
        'https://app.example.com.evil.com',
        'https://app.example.com, https://evil.com',
        'https://example.com',
        'http://localhost',
        'https://app.example.com/',
      ],
    ],
    [
      { origins: ['https://*.example.com'] },
      ['https://a.example.com', 'https://a.b.example.com', 'https://x_1-2.example.com'],
      [
        'https://example.com',
        'https://.example.com',
        'https://evilexample.com',
        'https://a.example.com.evil.com',
        'https://a.example.com:8443',
        'http://a.example.com',
        'https://evil.com/.example.com',
        'https://evil.com#.example.com',
        'https://user@a.example.com',
        'https://a..example.com',
        `https://${'a'.repeat(400)}.example.com`,
      ],
    ],
    [
      { origins: ['http://localhost:*', 'https://*.example.com:8443', 'http://[::1]:*'] },
      [
        ...['http://localhost', 'http://localhost:1', 'http://localhost:65535', 'https://a.example.com:8443'],
        ...['http://[::1]', 'http://[::1]:5173'],
      ],
      [
        'http://localhost:',
        'http://localhost:x',
        'http://localhost.evil.com',
        'http://localhost:80@evil.com',
        'https://a.example.com',
        'https://a.example.com:84430',
        'http://[::2]:5173',
        'http://[::1]evil.com',
      ],
    ],
    [
      {
        origin_patterns: [
          '^https://(?:pr-[0-9]{1,4}|main)\\.[a-z-]+\\.example\\.com$',
          '^http://127\\.0\\.0\\.1(:\\d+)?$',
        ],
      },
      [
        'https://pr-17.shop.example.com',
        'https://main.shop-2-test.example.com'.replace('-2', ''),
        'http://127.0.0.1',
        'http://127.0.0.1:81',
      ],
      [
        'https://pr-17.example.com',
        'https://pr-12345.shop.example.com',
        'https://pr-17.shop.example.com.evil.com',
        'https://evil.com/https://pr-17.shop.example.com',
        'http://127a0.0.1',
      ],
    ],
  ]
  for (const [config, allowed, refused] of cases) {
    test(`${JSON.stringify(config)} allows those that it names, and no other`, async () => {
      await using gateway = await gatewayWith(config)
      for (const origin of allowed) assert.ok(await mayRead(gateway, origin), origin)
      for (const origin of refused) assert.ok(!(await mayRead(gateway, origin)), origin)
      // What was said of an origin is kept; it is said again.
      for (const origin of allowed) assert.ok(await mayRead(gateway, origin), origin)
    })
  }

  test('* is everyone, also who says nothing, and nothing varies', async () => {
    await using gateway = await gatewayWith({ origins: ['*'] })
    for (const init of [from(APP), from('null'), {}]) {
      const response = await gateway.fetch('/', init)
      assert.deepEqual(protocolOf(response), { 'access-control-allow-origin': '*' })
    }
  })

  test('a pattern that JavaScript would take years for is matched at once', async () => {
    await using gateway = await gatewayWith({ origin_patterns: ['^https://(([a-z]+)+)+\\.example\\.com$'] })
    for (let i = 0; i < 20; i++) {
      assert.ok(!(await mayRead(gateway, `https://${'a'.repeat(200 + i)}.example.org`)))
    }
    assert.ok(await mayRead(gateway, `https://${'a'.repeat(200)}.example.com`))
  })

  test('more origins than are remembered change no answer', async () => {
    await using gateway = await gatewayWith({ origin_patterns: ['^https://[a-z0-9]+\\.example\\.com$'] })
    for (let i = 0; i < 1_100; i++) {
      assert.ok(await mayRead(gateway, `https://a${i}.example.com`))
      assert.ok(!(await mayRead(gateway, `https://a-${i}.example.com`)))
    }
  })
})

describe('a preflight', () => {
  test('is answered in the chain: 204, and all that the browser asks for', async () => {
    await using gateway = await gatewayWith({ origins: [APP], max_age: '90s' })
    const response = await gateway.fetch(
      '/a',
      preflight(APP, { 'access-control-request-headers': 'content-type' }),
    )
    assert.equal(response.status, 204)
    assert.equal(await response.text(), '')
    assert.deepEqual(protocolOf(response), {
      'access-control-allow-origin': APP,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-allow-headers': 'Authorization, Content-Type, X-Requested-With',
      'access-control-max-age': '90',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network',
    })
    assert.equal(gateway.upstreamRequests.length, 0)
  })

  test('of another origin is answered without a word of the protocol but Vary', async () => {
    await using gateway = await gatewayWith({ origins: [APP], credentials: true })
    const response = await gateway.fetch('/', preflight('https://evil.com'))
    assert.equal(response.status, 204)
    assert.deepEqual(Object.keys(protocolOf(response)), ['vary'])
  })

  test('with credentials says so', async () => {
    await using gateway = await gatewayWith({ origins: [APP], credentials: true })
    const { headers } = await gateway.fetch('/', preflight(APP))
    assert.equal(headers.get('access-control-allow-credentials'), 'true')
    assert.equal(headers.get('access-control-allow-origin'), APP)
  })

  test('may allow everything; Authorization is named, for * does not stand for it', async () => {
    await using gateway = await gatewayWith({ origins: ['*'], methods: ['*'], headers: ['*'] })
    const { headers } = await gateway.fetch('/', preflight('null'))
    assert.equal(headers.get('access-control-allow-origin'), '*')
    assert.equal(headers.get('access-control-allow-methods'), '*')
    assert.equal(headers.get('access-control-allow-headers'), '*, Authorization')
  })

  test('reaches a private network only where the config says so, and only when asked', async () => {
    const asked = preflight(APP, { 'access-control-request-private-network': 'true' })
    const name = 'access-control-allow-private-network'
    for (const allowed of [true, false]) {
      await using gateway = await gatewayWith({ origins: [APP], private_network: allowed })
      assert.equal((await gateway.fetch('/', asked)).headers.get(name), allowed ? 'true' : null)
      assert.equal((await gateway.fetch('/', preflight(APP))).headers.has(name), false)
      const other = { ...asked, headers: { ...asked.headers, origin: 'https://evil.com' } }
      assert.equal((await gateway.fetch('/', other)).headers.has(name), false)
    }
  })

  test('is no preflight without Origin and the method that it asks for: the upstream answers OPTIONS', async () => {
    await using gateway = await gatewayWith(
      { origins: [APP] },
      { upstream: () => ({ status: 200, body: 'own' }) },
    )
    for (const headers of [{}, { origin: APP }, { 'access-control-request-method': 'PUT' }]) {
      const response = await gateway.fetch('/', { method: 'OPTIONS', headers })
      assert.equal(await response.text(), 'own')
      assert.equal(response.headers.get('vary'), 'Origin, Access-Control-Request-Method')
    }
    const get = await gateway.fetch('/', { headers: { origin: APP, 'access-control-request-method': 'PUT' } })
    assert.equal(await get.text(), 'own')
  })

  test('comes before plugins that ask who is there', async () => {
    const entered: string[] = []
    const auth: TestPlugin = {
      manifest: { name: 'auth', category: 'security', priority: 100 },
      main: () => ({
        name: 'auth',
        handle(ctx) {
          entered.push(ctx.request.method)
          return ctx.response.json({ error: 'no' }, { status: 401 })
        },
      }),
    }
    await using gateway = await gatewayWith({ origins: [APP] }, { plugins: [auth] })
    assert.equal((await gateway.fetch('/', preflight(APP))).status, 204)
    assert.deepEqual(entered, [])
    const refused = await gateway.fetch('/', from(APP))
    assert.equal(refused.status, 401)
    assert.equal(refused.headers.get('access-control-allow-origin'), APP, 'the page may read why')
    assert.equal(refused.headers.get('vary'), 'Origin')
  })
})

describe('an answer', () => {
  test('has the fields of the config, and none that the upstream sets', async () => {
    const upstream = () => ({
      headers: {
        'access-control-allow-origin': '*',
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': 'x-secret',
      },
    })
    await using gateway = await gatewayWith(
      { origins: [APP], expose_headers: ['X-Total', 'ETag'] },
      { upstream },
    )
    assert.deepEqual(protocolOf(await gateway.fetch('/', from(APP))), {
      'access-control-allow-origin': APP,
      'access-control-expose-headers': 'X-Total, ETag',
      vary: 'Origin',
    })
    for (const init of [from('https://evil.com'), {}]) {
      assert.deepEqual(protocolOf(await gateway.fetch('/', init)), { vary: 'Origin' })
    }
  })

  const varies: [upstream: [string, string][], wanted: string][] = [
    [[], 'Origin'],
    [[['vary', 'Accept-Encoding']], 'Accept-Encoding, Origin'],
    [
      [
        ['vary', 'Accept'],
        ['vary', 'Accept-Language'],
      ],
      'Accept, Accept-Language, Origin',
    ],
    [[['vary', 'accept,  ORIGIN']], 'accept,  ORIGIN'],
    [[['vary', '*']], '*'],
    [[['vary', '']], 'Origin'],
    [[['vary', 'X-Origin']], 'X-Origin, Origin'],
  ]
  for (const [headers, wanted] of varies) {
    test(`with ${JSON.stringify(headers)} of the upstream has Vary: ${wanted}`, async () => {
      await using gateway = await gatewayWith({ origins: [APP] }, { upstream: () => ({ headers }) })
      for (const init of [from(APP), from('https://evil.com'), {}]) {
        assert.equal((await gateway.fetch('/', init)).headers.get('vary'), wanted)
      }
    })
  }

  const failing = (what: string, main: TestPlugin['main'], manifest = {}): [string, TestPlugin] => [
    what,
    { manifest: { name: 'later', category: 'transform', ...manifest }, main },
  ]
  const broken = (): never => {
    throw new Error('broken')
  }
  const failures: [what: string, plugin: TestPlugin][] = [
    failing('that throws', () => ({ name: 'later', handle: broken })),
    failing('that throws late', () => ({ name: 'later', handle: () => true, onResponse: broken })),
    failing('that answers with a Vary of its own', () => ({
      name: 'later',
      handle: (ctx) => ctx.response.send('no', { status: 418, headers: { vary: 'Cookie' } }),
    })),
    failing('with a fallback', () => ({ name: 'later', handle: broken }), {
      on_failure: { fallback: { status: 200, headers: { vary: 'Accept' }, body: 'later' } },
    }),
    failing('that sets Vary on its way back', () => ({
      name: 'later',
      handle: () => true,
      onResponse: (ctx) => ctx.response.headers.set('vary', 'Accept'),
    })),
  ]
  for (const [what, plugin] of failures) {
    test(`of a later plugin ${what} can be read by the page, and varies`, async () => {
      await using gateway = await gatewayWith({ origins: [APP], credentials: true }, { plugins: [plugin] })
      const { headers } = await gateway.fetch('/', from(APP))
      assert.equal(headers.get('access-control-allow-origin'), APP)
      assert.equal(headers.get('access-control-allow-credentials'), 'true')
      assert.match(headers.get('vary') ?? '', /\bOrigin$/)
      assert.match((await gateway.fetch('/')).headers.get('vary') ?? '', /\bOrigin$/)
    })
  }

  const FOREIGN = {
    'access-control-allow-origin': '*',
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': '*',
  }
  const relays: Record<string, TestPlugin['main']> = {
    "that passes on another's answer": () => ({
      name: 'later',
      handle: (ctx) => ctx.response.send('stored', { headers: FOREIGN }),
    }),
    'that records fields for whatever comes': () => ({
      name: 'later',
      handle(ctx) {
        for (const [name, value] of Object.entries(FOREIGN)) ctx.response.headers.append(name, value)
        return true
      },
    }),
    'that changes fields on its way back': () => ({
      name: 'later',
      handle: () => true,
      onResponse(ctx) {
        for (const [name, value] of Object.entries(FOREIGN)) ctx.response.headers.set(name, value)
      },
    }),
  }
  for (const [what, main] of Object.entries(relays)) {
    test(`of a later plugin ${what} allows nobody who is not allowed here`, async () => {
      const later = { manifest: { name: 'later', category: 'transform' }, main }
      await using gateway = await gatewayWith({ origins: [APP] }, { plugins: [later] })
      const answerTo = async (origin: string) => protocolOf(await gateway.fetch('/', from(origin)))
      assert.deepEqual(await answerTo(APP), { 'access-control-allow-origin': APP, vary: 'Origin' })
      assert.deepEqual(await answerTo('https://evil.com'), { vary: 'Origin' })
    })
  }

  test("of the gateway itself, 502 and 504, is the page's to read, too", async () => {
    for (const [connect, status] of [
      ['refuse', 502],
      ['hang', 504],
    ] as const) {
      await using gateway = await gatewayWith({ origins: [APP] }, { upstream: { connect: () => connect } })
      const answer = gateway.fetch('/', from(APP))
      await gateway.clock.advance(60_000)
      const response = await answer
      assert.equal(response.status, status)
      assert.equal(response.headers.get('access-control-allow-origin'), APP)
      assert.equal(response.headers.get('vary'), 'Origin')
    }
  })

  test('is for the origin that the client sent, whatever a later plugin makes of the request', async () => {
    const hiding: TestPlugin = {
      main: () => ({
        name: 'hiding',
        handle(ctx) {
          ctx.request.headers.set('origin', 'https://evil.com')
          return true
        },
      }),
    }
    await using gateway = await gatewayWith({ origins: [APP] }, { plugins: [hiding] })
    assert.equal((await gateway.fetch('/', from(APP))).headers.get('access-control-allow-origin'), APP)
    assert.equal(
      (await gateway.fetch('/', from('https://evil.com'))).headers.has('access-control-allow-origin'),
      false,
    )
  })
})
