import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadText, problemOf, problemsOf } from './test-support.ts'

const UPSTREAMS = 'upstreams: { api: { targets: ["http://127.0.0.1:3000"] } }\n'
const routes = (...entries: string[]) =>
  `${UPSTREAMS}routes:\n${entries.map((entry) => `  - { ${entry} }\n`).join('')}`
const route = (more: string) => routes(`name: a, ${more}`)
const target = (url: string) => `upstreams: { a: { targets: ["${url}"] } }`

const CASES: readonly [what: string, text: string, key: string, message: RegExp, nearest?: string][] = [
  ['two listeners at one address', 'listen: [{}, { host: 0.0.0.0, port: 8080 }]', 'listen[1]', /one address/],
  [
    'a listener at what is no name',
    'listen: [{ host: not a host }]',
    'listen[0].host',
    /IP address or a host name/,
  ],
  [
    'a listener at an address in brackets',
    'listen: [{ host: "[::1]" }]',
    'listen[0].host',
    /IP address/,
    '::1',
  ],
  [
    'a database of Redis that is no number',
    'state: { redis: "redis://h:6379/abc" }',
    'state.redis',
    /\(hidden\)/,
  ],
  ['a URL of Redis that is none', 'state: { redis: "redis://h:99999" }', 'state.redis', /\(hidden\)/],
  [
    'a name for TLS that is none',
    'upstreams: { a: { targets: ["https://a"], tls: { server_name: "a b" } } }',
    'upstreams.a.tls.server_name',
    /expected a host name/,
  ],
  [
    'a number as a header to match',
    route('upstream: api, headers: { x: 2 }'),
    'routes[0].headers.x',
    /is 2, expected a string/,
  ],
  [
    'a share above all',
    'faults: { breaker_ratio: 2 }',
    'faults.breaker_ratio',
    /a number above 0, at most 1/,
  ],
  ['a number that is none', 'listen: [{ port: .nan }]', 'listen[0].port', /is \.nan, expected/],
  ['a number without an end', 'workers: -.inf', 'workers', /is -?\.-?inf, expected/],
  [
    'settings of a plugin outside of its config',
    'plugins: { cors: { origins: [] } }',
    'plugins.cors.origins',
    /stand under "config"/,
  ],
  ['a CIDR block with too long a prefix', 'trusted_proxies: [10.0.0.0/33]', 'trusted_proxies[0]', /CIDR/],
  ['a host name as a proxy', 'trusted_proxies: [localhost]', 'trusted_proxies[0]', /CIDR/],
  [
    'a target without a scheme',
    target('localhost:3000'),
    'upstreams.a.targets[0]',
    /http:\/\/ or https/,
    'http://localhost:3000',
  ],
  ['a target of another scheme', target('ftp://a'), 'upstreams.a.targets[0]', /http:\/\/ or https/],
  ['a target with a path', target('http://a/b'), 'upstreams.a.targets[0]', /path or query/, 'http://a'],
  ['a target with a query', target('http://a?b'), 'upstreams.a.targets[0]', /path or query/, 'http://a'],
  ['a target with a password', target('http://u:p@a'), 'upstreams.a.targets[0]', /user or password/],
  ['a target with a backslash', target('http:\\\\\\\\a'), 'upstreams.a.targets[0]', /http:\/\/ or https/],
  ['a target at port 0', target('http://a:0'), 'upstreams.a.targets[0]', /port 0/],
  ['a target at no port', target('http://a:99999'), 'upstreams.a.targets[0]', /not a URL/],
  [
    'TLS settings for plain targets',
    'upstreams: { a: { targets: ["http://a"], tls: {} } }',
    'upstreams.a.tls',
    /no target with https/,
  ],
  [
    'a certificate that is none',
    'upstreams: { a: { targets: ["https://a"], tls: { ca: "-----BEGIN CERTIFICATE-----\\nx" } } }',
    'upstreams.a.tls.ca',
    /whole and valid/,
  ],
  [
    'two routes of one name',
    routes('name: a, upstream: api', 'name: a, path: /b, upstream: api'),
    'routes[1].name',
    /Two routes/,
  ],
  [
    'two routes that match the same',
    routes('name: a, path: "/u/:id", upstream: api', 'name: b, path: "/u/:name", upstream: api'),
    'routes[1]',
    /same requests as the route "a"/,
  ],
  ['a route without an action', route('path: /x'), 'routes[0]', /none of/],
  ['a route with two actions', route('upstream: api, respond: {}'), 'routes[0].respond', /more than one of/],
  ['an unknown upstream', route('upstream: apj'), 'routes[0].upstream', /not under "upstreams"/, 'api'],
  [
    'host and hosts',
    route('upstream: api, host: a, hosts: [b]'),
    'routes[0].hosts',
    /both "host" and "hosts"/,
  ],
  [
    'path and paths',
    route('upstream: api, path: /a, paths: [/b]'),
    'routes[0].paths',
    /both "path" and "paths"/,
  ],
  ['a host with a port that is none', route('upstream: api, host: "a.com:0"'), 'routes[0].host', /port/],
  ['a host with a colon only', route('upstream: api, host: "a.com:"'), 'routes[0].host', /port/],
  [
    'a host with a star inside',
    route('upstream: api, host: "a.*.com"'),
    'routes[0].host',
    /neither a host name/,
  ],
  ...['a/b', 'a?b', 'a#b', 'a@b', '%61.com', 'bücher.de/a', 'u@bücher.de'].map(
    (host): [string, string, string, RegExp] => [
      `the host ${host}`,
      route(`upstream: api, host: "${host}"`),
      'routes[0].host',
      /neither a host name/,
    ],
  ),
  [
    'a host with a dot at its end',
    route('upstream: api, host: a.com.'),
    'routes[0].host',
    /host name/,
    'a.com',
  ],
  [
    'an IPv4 host in another spelling',
    route('upstream: api, host: "127.1"'),
    'routes[0].host',
    /four decimal/,
    '127.0.0.1',
  ],
  [
    'a host that ends in a number',
    route('upstream: api, host: "web.1:80"'),
    'routes[0].host',
    /four decimal/,
  ],
  ['names below an address', route('upstream: api, host: "*.10.0.0.1"'), 'routes[0].host', /four decimal/],
  [
    'an IPv6 host with a zone',
    route('upstream: api, host: "[fe80::1%eth0]"'),
    'routes[0].host',
    /neither a host name/,
  ],
  ['a bare IPv6 host', route('upstream: api, host: "::1"'), 'routes[0].host', /brackets/, '[::1]'],
  ['a path without a slash', route('upstream: api, path: api'), 'routes[0].path', /start with/],
  ['a path with a star inside', route('upstream: api, path: /a/*/b'), 'routes[0].path', /last segment/],
  ['a path with a star in a segment', route('upstream: api, path: /a*'), 'routes[0].path', /last segment/],
  ['a path with an empty segment', route('upstream: api, path: //admin'), 'routes[0].path', /empty segment/],
  [
    'a path with an encoded slash',
    route('upstream: api, path: /a%2Fb, allow_in_path: [encoded_null]'),
    'routes[0].path',
    /"%2F", which needs "encoded_slash" in allow_in_path/,
  ],
  ['a path with a dot segment', route('upstream: api, path: /a/../b'), 'routes[0].path', /dot segment/],
  [
    'a path that is not normalised',
    route('upstream: api, path: /%61dmin'),
    'routes[0].path',
    /"%61" must be written as "a"/,
  ],
  [
    'a path with a bad escape',
    route('upstream: api, path: /%zz'),
    'routes[0].path',
    /two hexadecimal digits/,
  ],
  ['a path with a query', route('upstream: api, path: "/a?b"'), 'routes[0].path', /before "\?"/],
  ['a path with a space', route('upstream: api, path: "/a b"'), 'routes[0].path', /percent-encoded/],
  ['a parameter twice', route('upstream: api, path: "/:a/:a"'), 'routes[0].path', /two parameters ":a"/],
  [
    'a parameter within a segment',
    route('upstream: api, path: "/:a-b"'),
    'routes[0].path',
    /not a parameter/,
  ],
  [
    'a rewrite to an unknown parameter',
    route('upstream: api, path: "/u/:id", rewrite: "/:name"'),
    'routes[0].rewrite',
    /uses ":name"/,
  ],
  [
    'a rewrite to a rest that one path lacks',
    route('upstream: api, paths: [/a/*, /b], rewrite: "/c/*"'),
    'routes[0].rewrite',
    /uses "\*"/,
  ],
  ['a rewrite that is no path', route('upstream: api, rewrite: x'), 'routes[0].rewrite', /start with/],
  ['a rewrite that climbs', route('upstream: api, rewrite: /../b'), 'routes[0].rewrite', /dot segment/],
  ['a rewrite with a query', route('upstream: api, rewrite: "/b?c"'), 'routes[0].rewrite', /before "\?"/],
  [
    'a rewrite with a star inside',
    route('upstream: api, rewrite: /*/b'),
    'routes[0].rewrite',
    /last character/,
  ],
  [
    'a rewrite with an encoded slash',
    route('upstream: api, rewrite: /%2F'),
    'routes[0].rewrite',
    /has "%2F"\./,
  ],
  ['a redirect to a relative path', route('redirect: { to: b }'), 'routes[0].redirect.to', /start with/],
  [
    'a redirect to a script',
    route('redirect: { to: "javascript:alert(1)" }'),
    'routes[0].redirect.to',
    /must be literal/,
  ],
  [
    'a redirect to a host of the client',
    route('path: "/:host", redirect: { to: "https://:host/" }'),
    'routes[0].redirect.to',
    /must be literal/,
  ],
  [
    'a redirect to an unknown parameter',
    route('redirect: { to: "https://a:8443/:id" }, path: /a'),
    'routes[0].redirect.to',
    /uses ":id"/,
  ],
  [
    'a prefix that the path lacks',
    route('upstream: api, path: /apis/*, strip_prefix: /api'),
    'routes[0].strip_prefix',
    /not the start/,
  ],
  [
    'a prefix with a parameter',
    route('upstream: api, path: "/:a/*", strip_prefix: "/:a"'),
    'routes[0].strip_prefix',
    /literal path/,
  ],
  [
    'a prefix and a rewrite',
    route('upstream: api, path: /a/*, strip_prefix: /a, rewrite: /b'),
    'routes[0].strip_prefix',
    /both/,
  ],
  ['a rewrite without an upstream', route('respond: {}, rewrite: /b'), 'routes[0].rewrite', /no upstream/],
  [
    'a Host without an upstream',
    route('respond: {}, upstream_host: target'),
    'routes[0].upstream_host',
    /no upstream/,
  ],
  [
    'one field twice in a match',
    route('upstream: api, headers: { x-a: "1", X-A: "2" }'),
    'routes[0].headers.X-A',
    /stands twice/,
  ],
  [
    'a framing field in a response',
    route('respond: { headers: { Content-Length: "0" } }'),
    'routes[0].respond.headers.Content-Length',
    /set by the gateway/,
  ],
  [
    'an upgrade that no 426 asks for',
    route('respond: { status: 400, headers: { Upgrade: "h2c" } }'),
    'routes[0].respond.headers.Upgrade',
    /set by the gateway itself, but for that of status 426/,
  ],
  [
    'another framing field in a 426',
    route('respond: { status: 426, headers: { upgrade: "h2c", connection: upgrade } }'),
    'routes[0].respond.headers.connection',
    /set by the gateway/,
  ],
  [
    'a framing field in a fallback',
    'plugins: { a: { on_failure: { fallback: { headers: { connection: close } } } } }',
    'plugins.a.on_failure.fallback.headers.connection',
    /set by the gateway/,
  ],
]

for (const [what, text, key, message, nearest] of CASES) {
  test(`checkRules() reports ${what}`, async () => {
    const problem = await problemOf(text)
    assert.equal(problem.code, 'CONFIG_INVALID')
    assert.equal(problem.key, key)
    assert.match(problem.message, message)
    assert.equal(problem.nearest, nearest ?? null)
  })
}

test('checkRules() reports together with the schema', async () => {
  const problems = await problemsOf(
    `${UPSTREAMS}routes:\n  - { name: a, upstrem: x, upstream: b, path: x }\nworkers: x\n`,
  )
  assert.deepEqual(
    problems.map(({ key }) => key),
    ['routes[0].upstrem', 'routes[0].upstream', 'routes[0].path', 'workers'],
  )
})

for (const [what, text] of [
  ['several listeners at free ports', 'listen: [{ port: 0 }, { port: 0 }]'],
  ['addresses and blocks of both families', 'trusted_proxies: [127.0.0.1, 10.0.0.0/8, "::1", "fd00::/8"]'],
  [
    'targets of both schemes and an IPv6 address',
    'upstreams: { a: { targets: ["http://[::1]:1", "https://a/"], tls: { verify: false } } }',
  ],
  [
    'all forms of hosts',
    route('upstream: api, hosts: [localhost, Example.com, "*.example.com", 10.0.0.1, "[::1]", a_b]'),
  ],
  [
    'all forms of paths',
    route('upstream: api, paths: [/, /a, /a/, /a/*, "/:id/b", "/~a", "/a%C3%A9", /用户/*]'),
  ],
  [
    'path parts that the route allows',
    route('upstream: api, paths: [//a, "/%2F"], allow_in_path: [empty_segment, encoded_slash]'),
  ],
  ['hosts with ports and in Unicode', route('upstream: api, hosts: ["a:8443", "[::1]:1", "*.bücher.de:80"]')],
  ['names that every path has', route('upstream: api, paths: ["/a/:id/*", "/b/:id/*"], rewrite: "/:id/*"')],
  ['a redirect with a port', route('redirect: { to: "https://a:8443/*" }')],
  [
    'a 426 that says what to upgrade to',
    `${route('respond: { status: 426, headers: { Upgrade: h2c } }')}
plugins: { cors: { on_failure: { fallback: { status: 426, headers: { upgrade: h2c } } } } }`,
  ],
  ['a prefix that is a path itself', route('upstream: api, paths: [/a, /a/*], strip_prefix: /a')],
  [
    'routes that differ in method or header only',
    routes(
      'name: a, upstream: api',
      'name: b, upstream: api, methods: [GET]',
      'name: c, upstream: api, headers: { x: true }',
    ),
  ],
] as const) {
  test(`checkRules() lets ${what} pass`, async () => {
    await loadText(text)
  })
}
