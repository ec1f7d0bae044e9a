import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LIMIT_DEFAULTS, TIMEOUT_DEFAULTS, UPSTREAM_DEFAULTS } from './limits.ts'
import { planSettings } from './plan.ts'
import { loadText } from './test-support.ts'

const planText = async (text: string) => planSettings(await loadText(text))

test('planSettings() gives the defaults of limits.ts when the file says nothing', async () => {
  const { settings, upstreams } = await planText('upstreams: { a: { targets: ["http://a"] } }')
  assert.deepEqual(settings.limits, LIMIT_DEFAULTS)
  assert.deepEqual(settings.timeouts, TIMEOUT_DEFAULTS)
  const { name, targets, tls, ...limits } = upstreams[0] ?? assert.fail()
  assert.deepEqual(limits, UPSTREAM_DEFAULTS)
  assert.deepEqual(tls, { serverName: '', ca: '', verify: true })
  assert.deepEqual([name, targets.length], ['a', 1])
  assert.ok(settings.workers >= 1 && settings.workers <= 64)
})

test('planSettings() keeps a part within its whole', async () => {
  const { settings, upstreams } = await planText(
    'limits: { head_bytes: 1KiB }\nupstreams: { a: { targets: ["http://a"], connections_max: 2 } }',
  )
  assert.equal(settings.limits.requestLineBytesMax, 1_024)
  assert.equal(upstreams[0]?.idleConnectionsMax, 2)
})

test('planSettings() turns units into milliseconds and bytes, 0 with and without quotes', async () => {
  const { settings } = await planText(
    'limits: { body_bytes: 1.5KiB, request_body_bytes: 0, trailer_bytes: "0" }\ntimeouts: { head: 1.5s, linger: 0 }',
  )
  const { limits, timeouts } = settings
  assert.deepEqual([limits.bodyBytesMax, limits.requestBodyBytesMax, limits.trailerBytesMax], [1_536, 0, 0])
  assert.deepEqual([timeouts.headMs, timeouts.lingerMs], [1_500, 0])
})

test('planSettings() normalises targets', async () => {
  const { upstreams } = await planText(
    'upstreams: { a: { targets: ["HTTP://A.example:80/", "https://b", "http://[::1]:3000"] } }',
  )
  assert.deepEqual(upstreams[0]?.targets, [
    { url: 'http://a.example', scheme: 'http', hostname: 'a.example', port: 80 },
    { url: 'https://b', scheme: 'https', hostname: 'b', port: 443 },
    { url: 'http://[::1]:3000', scheme: 'http', hostname: '::1', port: 3_000 },
  ])
})

const ROUTES = `
upstreams: { api: { targets: ["http://127.0.0.1:1"] } }
limits: { request_body_bytes: 1MB }
routes:
  - name: api
    host: API.example.com
    path: /api/*
    methods: [GET]
    headers: { X-Kind: a, X-There: true }
    upstream: api
    upstream_host: { literal: "inner:80" }
    strip_prefix: /api
    allow_in_path: [encoded_slash]
    request_body_bytes: 0
  - { name: own, paths: [/a, /b], respond: { headers: { X-A: b }, body: hi } }
  - { name: away, hosts: [b], redirect: { to: /c } }
  - { name: rest, upstream: api, upstream_host: target }
`

test('planSettings() plans routes of every kind', async () => {
  const { routes } = await planText(ROUTES)
  const [api, own, away, rest] = routes.map(({ plugins, position, ...route }) => route)
  assert.deepEqual(api, {
    name: 'api',
    hosts: ['api.example.com'],
    paths: ['/api/*'],
    methods: ['GET'],
    headers: { 'x-kind': 'a', 'x-there': null },
    action: { kind: 'upstream', upstream: 'api', host: { kind: 'literal', value: 'inner:80' } },
    stripPrefix: '/api',
    rewrite: '',
    allowInPath: ['encoded_slash'],
    requestBodyBytesMax: 0,
  })
  assert.deepEqual(own?.action, { kind: 'respond', status: 200, headers: { 'X-A': 'b' }, body: 'hi' })
  assert.deepEqual([own?.paths, own?.hosts, own?.requestBodyBytesMax], [['/a', '/b'], [], 1_000_000])
  assert.deepEqual([away?.action, away?.hosts], [{ kind: 'redirect', status: 302, location: '/c' }, ['b']])
  assert.deepEqual([rest?.paths, rest?.headers], [['/*'], {}])
  assert.deepEqual(rest?.action, { kind: 'upstream', upstream: 'api', host: { kind: 'target' } })
  assert.deepEqual(routes[0]?.position, { file: '/etc/cardea.yaml', line: 5, column: 5 })
})

test('planSettings() hands on plugin entries with their places, and absent settings as absent', async () => {
  const { globalPlugins, routes } = await planText(`
plugins:
  cors: {}
  login-limit: { plugin: rate-limit, priority: 5, timeout_ms: 10, enabled: false, isolation: none }
routes:
  - name: a
    respond: {}
    plugins:
      cors: false
      auth: { config: { key: 1 }, on_failure: { fallback: { status: 500 } } }
`)
  const { map, ...limit } = globalPlugins.get('login-limit') ?? assert.fail()
  assert.equal(map.written('/plugins/login-limit/plugin'), 'rate-limit')
  assert.deepEqual(limit, {
    kind: 'settings',
    name: 'login-limit',
    pointer: '/plugins/login-limit',
    key: 'plugins.login-limit',
    position: { file: '/etc/cardea.yaml', line: 4, column: 3 },
    plugin: 'rate-limit',
    enabled: false,
    priority: 5,
    timeoutMs: 10,
    onFailure: undefined,
    isolation: 'none',
    config: undefined,
  })
  assert.deepEqual([...globalPlugins.keys()], ['cors', 'login-limit'])
  const here = routes[0]?.plugins
  assert.equal(here?.get('cors')?.kind, 'off')
  assert.equal(here?.get('cors')?.position.line, 9)
  const auth = here?.get('auth')
  assert.ok(auth?.kind === 'settings')
  assert.deepEqual(auth.onFailure, { kind: 'fallback', status: 500, headers: {}, body: '' })
  assert.equal(auth.config?.source, 'cardea.yaml: routes[0].plugins.auth.config')
  assert.equal(auth.config?.pointer, '/routes/0/plugins/auth/config')
})
