import assert from 'node:assert/strict'
import { test } from 'node:test'
import { names, onlyProblem, plugin, resolved } from './test-chains.ts'

test('resolveChains() refuses a route that names an absent plugin, and names the nearest', () => {
  const problem = onlyProblem(resolved([plugin('rate-limit')], { api: { 'rate-limt': {} } }))
  assert.equal(problem.code, 'PLUGIN_NOT_FOUND')
  assert.equal(problem.nearest, 'rate-limit')
  assert.deepEqual(
    [problem.key, problem.given, problem.expected],
    ['routes.api.plugins.rate-limt', '"rate-limt"', 'rate-limit'],
  )
  assert.deepEqual([problem.file, problem.line, problem.column], ['cardea.yaml', 7, 3])
  assert.equal(
    problem.message,
    'Cannot use routes.api.plugins.rate-limt: there is no plugin "rate-limt". Did you mean "rate-limit"?',
  )
})

test('resolveChains() refuses an absent plugin in the global entries, once for all routes', () => {
  const problem = onlyProblem(resolved([], { a: {}, b: {} }, { limit: { plugin: 'rate-limit' } }))
  assert.equal(problem.code, 'PLUGIN_NOT_FOUND')
  assert.match(problem.message, /^Cannot use plugins\.limit: there is no plugin "rate-limit"\./)
})

test('resolveChains() points at the value that names an absent plugin, whoever uses the entry', () => {
  const plugins = [plugin('rate-limit'), plugin('cors')]
  const entries = { a: { x: { priority: 1 } }, b: { x: {} } }
  const everywhere = onlyProblem(resolved(plugins, entries, { x: { plugin: 'rate-limt' } }))
  const here = onlyProblem(
    resolved(plugins, { a: { x: { plugin: 'rate-limt' } } }, { x: { plugin: 'cors' } }),
  )
  for (const [problem, key] of [
    [everywhere, 'plugins.x.plugin'],
    [here, 'routes.a.plugins.x.plugin'],
  ] as const) {
    assert.deepEqual([problem.key, problem.given, problem.nearest], [key, '"rate-limt"', 'rate-limit'])
    assert.equal(problem.expected, 'one of rate-limit, cors')
    assert.deepEqual([problem.line, problem.column], [8, 5])
    assert.match(problem.message, /: there is no plugin "rate-limt"\. Did you mean "rate-limit"\?$/)
  }
})

test('resolveChains() refuses a route that names a disabled plugin', () => {
  const byManifest = resolved([plugin('auth', { enabled: false })], { api: { auth: {} } })
  assert.equal(onlyProblem(byManifest).code, 'PLUGIN_NOT_FOUND')
  assert.match(
    onlyProblem(byManifest).message,
    /"auth" is disabled by \/p\/auth\/plugin\.json\. Enable it there/,
  )
  const byConfig = resolved([plugin('auth')], { api: { auth: {} } }, { auth: { enabled: false } })
  assert.match(onlyProblem(byConfig).message, /"auth" is disabled by plugins\.auth\. Enable it there/)
  const { key, given, expected, line } = onlyProblem(byConfig)
  assert.deepEqual(
    [key, given, expected, line],
    ['routes.api.plugins.auth', '"auth"', 'a plugin that is enabled', 7],
  )
  const besideSettings = resolved(
    [plugin('auth', { enabled: false })],
    { api: { auth: {} } },
    { auth: { priority: 1 } },
  )
  assert.match(onlyProblem(besideSettings).message, /"auth" is disabled by \/p\/auth\/plugin\.json\./)
})

test('resolveChains() refuses one instance name for two plugins', () => {
  const plugins = [plugin('a'), plugin('b')]
  const shadowing = onlyProblem(resolved(plugins, {}, { a: { plugin: 'b' } }))
  assert.equal(shadowing.code, 'PLUGIN_DUPLICATE')
  assert.match(shadowing.message, /"a" is the name of a plugin and cannot be an instance of "b" too/)
  const { key, given, expected, line } = shadowing
  assert.deepEqual(
    [key, given, expected, line],
    ['plugins.a', '"a"', 'a name that no other plugin or instance has', 7],
  )
  const used = onlyProblem(resolved(plugins, { one: { a: {} }, two: { a: {} } }, { a: { plugin: 'b' } }))
  assert.equal(used.key, 'plugins.a')
  const twice = onlyProblem(resolved(plugins, { one: { x: { plugin: 'a' } }, two: { x: { plugin: 'b' } } }))
  assert.equal(twice.code, 'PLUGIN_DUPLICATE')
  assert.match(twice.message, /"x" is already an instance of plugin "a" and cannot be an instance of "b" too/)
  const overridden = onlyProblem(resolved(plugins, { one: { x: { plugin: 'b' } } }, { x: { plugin: 'a' } }))
  assert.equal(overridden.code, 'PLUGIN_DUPLICATE')
})

test('resolveChains() refuses isolation that is not there, whichever layer asks for it', () => {
  const own = resolved([plugin('a', { isolation: 'process' })], { api: { a: { isolation: 'none' } } })
  assert.equal(own.problems[0]?.code, 'PLUGIN_ISOLATION_UNAVAILABLE')
  assert.equal(own.problems[0]?.file, '/p/a/plugin.json')
  const asked = onlyProblem(resolved([plugin('a')], { api: { a: { isolation: 'isolate' } } }))
  assert.equal(asked.key, 'routes.api.plugins.a.isolation')
  assert.deepEqual([asked.line, asked.column], [8, 5])
  assert.match(asked.message, /^Plugin "a" asks for isolation "isolate", which this version does not have/)
  const unused = resolved([plugin('a', { isolation: 'process', scope: 'route' })], { api: {} })
  assert.deepEqual(unused.problems, [])
})

test('resolveChains() refuses to let a security plugin fail open', () => {
  const plugins = [plugin('auth', { category: 'security' }), plugin('log', { category: 'observe' })]
  const open = { onFailure: { kind: 'open' } } as const
  const problem = onlyProblem(resolved(plugins, { api: { auth: open, log: open } }))
  assert.equal(problem.code, 'CONFIG_INVALID')
  assert.equal(problem.key, 'routes.api.plugins.auth.on_failure')
  assert.deepEqual([problem.line, problem.column], [8, 5])
})

test('resolveChains() reports the config of every instance that its schema refuses', () => {
  const schema = { type: 'object', properties: { size: { type: 'integer' } }, required: ['size'] }
  const plugins = [plugin('a', { configSchema: schema, scope: 'route' })]
  const { problems } = resolved(plugins, {
    wrong: { a: { config: { size: 'big' } } },
    missing: { a: {} },
    right: { a: { config: { size: 1 } } },
  })
  assert.ok(problems.length >= 2)
  assert.ok(problems.every(({ code }) => code === 'PLUGIN_CONFIG_INVALID'))
})

test('resolveChains() runs global plugins everywhere and others where they are named', () => {
  const plugins = [plugin('global'), plugin('routed', { scope: 'route' }), plugin('off', { enabled: false })]
  const resolution = resolved(plugins, { a: {}, b: { routed: {} }, c: { global: false } })
  assert.deepEqual(resolution.problems, [])
  assert.deepEqual(names(resolution), { a: ['global'], b: ['global', 'routed'], c: [] })
  assert.deepEqual(resolution.chains[2]?.optedOut, [{ name: 'global', known: true }])
  assert.deepEqual(
    resolution.idle.map(({ plugin, reason }) => [plugin.manifest.name, reason]),
    [['off', 'disabled in plugin.json']],
  )
})

test('resolveChains() takes an entry of the config for a global instance, whatever its scope', () => {
  const plugins = [plugin('cors', { scope: 'route' }), plugin('limit', { scope: 'route' })]
  const resolution = resolved(
    plugins,
    { a: {}, b: { cors: false, 'login-limit': { enabled: false } } },
    { cors: {}, 'login-limit': { plugin: 'limit' } },
  )
  assert.deepEqual(resolution.problems, [])
  assert.deepEqual(names(resolution), { a: ['cors', 'login-limit'], b: [] })
  assert.deepEqual(resolution.chains[1]?.optedOut, [
    { name: 'cors', known: true },
    { name: 'login-limit', known: true },
  ])
})

test('resolveChains() lets a route switch on what is off everywhere else', () => {
  const plugins = [plugin('a'), plugin('b', { enabled: false })]
  const resolution = resolved(plugins, { one: {}, two: { a: {}, b: { enabled: true } } }, { a: false })
  assert.deepEqual(resolution.problems, [])
  assert.deepEqual(names(resolution), { one: [], two: ['a', 'b'] })
  const nowhere = resolved([plugin('a'), plugin('b', { scope: 'route' })], { one: {} }, { a: false })
  assert.deepEqual(
    nowhere.idle.map(({ reason }) => reason),
    ['switched off in the config', 'named by no route'],
  )
})

test('resolveChains() lets a route say that it goes without a plugin that is gone', () => {
  const resolution = resolved([], { api: { auth: false } }, { gone: false })
  assert.deepEqual(resolution.problems, [])
  assert.deepEqual(resolution.chains[0]?.optedOut, [{ name: 'auth', known: false }])
})

test('resolveChains() orders by category, then priority from high to low, then name', () => {
  const plugins = [
    plugin('custom', { category: 'custom', priority: 999 }),
    plugin('z', { priority: 5 }),
    plugin('a', { priority: 5 }),
    plugin('first', { priority: 6 }),
    plugin('log', { category: 'observe', priority: -1 }),
    plugin('auth', { category: 'security' }),
    plugin('store', { category: 'cache' }),
    plugin('limit', { category: 'traffic' }),
  ]
  const resolution = resolved(plugins, { plain: {}, moved: { a: { priority: 4 } } })
  const { plain, moved } = names(resolution)
  assert.deepEqual(plain, ['log', 'auth', 'limit', 'first', 'a', 'z', 'store', 'custom'])
  assert.deepEqual(moved, ['log', 'auth', 'limit', 'first', 'z', 'a', 'store', 'custom'])
})

test('resolveChains() lays the route over the global entry over plugin.json, and keeps the sources', () => {
  const manifest = { config: { a: 1, b: 1, c: 1 }, priority: 1, timeoutMs: 1 }
  const resolution = resolved(
    [plugin('p', manifest)],
    { api: { p: { config: { c: 3 }, timeoutMs: 3 } } },
    { p: { config: { b: 2, c: 2 }, timeoutMs: 2, priority: 2, onFailure: { kind: 'open' } } },
  )
  assert.deepEqual(resolution.problems, [])
  const link = resolution.chains[0]?.links[0]
  assert.ok(link)
  assert.deepEqual(link.instance, {
    id: link.instance.id,
    name: 'p',
    plugin: 'p',
    version: '1.0.0',
    codeHash: 'hash of p',
    entryPoint: 'PluginMain',
    config: { a: 1, b: 2, c: 3 },
    category: 'transform',
    priority: 2,
    permissions: [],
    timeoutMs: 3,
    onFailure: { kind: 'open' },
    key: link.instance.key,
    dependencies: [],
    incarnation: 0,
    quarantined: false,
  })
  assert.deepEqual(Object.fromEntries(link.sources), {
    '/a': 'plugin.json of p: config',
    '/b': 'cardea.yaml: plugins.p.config',
    '/c': 'cardea.yaml: routes.api.plugins.p.config',
  })
})

test('resolveChains() makes one instance of what is equal, and only of what some route runs', () => {
  const resolution = resolved([plugin('p')], {
    a: { p: { config: { x: { m: 1, n: 2 } } } },
    b: { p: { config: { x: { n: 2, m: 1 } } } },
    c: { p: { config: { x: { m: 1, n: 3 } } } },
    d: { p: { config: { x: { m: 1, n: 2 } }, timeoutMs: 5 } },
    e: { q: { plugin: 'p', config: { x: { m: 1, n: 2 } } }, p: false },
  })
  assert.deepEqual(resolution.problems, [])
  const chains = resolution.routes.map(({ chain }) => chain[0])
  assert.equal(chains[0], chains[1])
  assert.equal(new Set(chains).size, 4)
  assert.deepEqual(resolution.instances.map(({ id }) => id).sort(), [...new Set(chains)].sort())
  // The instance with the config of plugin.json alone is on no route.
  assert.ok(resolution.instances.every(({ config }) => 'x' in config))
})

test("resolveChains() gives routes without own entries one chain, without their drafts' parts", () => {
  const { routes, chains } = resolved([plugin('p')], { a: {}, b: {} })
  assert.equal(chains[0]?.links, chains[1]?.links)
  assert.deepEqual(Object.keys(routes[0] ?? {}), ['name', 'chain'])
})

test('resolveChains() grants the hosts of the URLs that the config names, each instance its own', () => {
  const permissions = ['kv', 'net:config/auth/url', 'net:config/mirrors', 'net:a.example:443']
  const auth = plugin('auth', { permissions, scope: 'route' })
  const granted = (config: Record<string, unknown>): readonly string[] | undefined =>
    resolved([auth], { api: { auth: { config } } }).instances[0]?.permissions
  const own = ['kv', 'net:a.example:443']
  assert.deepEqual(granted({}), own)
  assert.deepEqual(granted({ auth: { url: 'https://Keys.Example/x?y' } }), [
    'kv',
    'net:keys.example:443',
    'net:a.example:443',
  ])
  const mirrors = ['http://[::1]:8080/', 'https://a.example', 'file:///etc/passwd', 7, 'no url']
  assert.deepEqual(granted({ auth: { url: 'ftp://b' }, mirrors }), [
    'kv',
    'net:[::1]:8080',
    'net:a.example:443',
  ])
  assert.deepEqual(granted({ auth: 'https://b.example', other: 'https://c.example' }), own)
  assert.deepEqual(granted({ auth: { url: { url: 'https://b.example' } } }), own)
})
