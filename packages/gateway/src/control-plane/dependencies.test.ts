import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PluginManifest } from '../config/types.ts'
import type { BuiltPlugin } from './build.ts'
import type { Resolution } from './resolve.ts'
import { names, onlyProblem, plugin, resolved } from './test-chains.ts'

/** A plugin whose plugin.json has a line for every dependency: the first in line 11, and so on. */
function needing(
  name: string,
  dependencies: Readonly<Record<string, string>>,
  changes: Partial<PluginManifest> = {},
): BuiltPlugin {
  const { manifest, ...rest } = plugin(name, { dependencies, ...changes })
  const locate = (pointer: string) => {
    const index = Object.keys(dependencies).indexOf(pointer.replace('/dependencies/', ''))
    return { file: manifest.file, line: 11 + index, column: 5 }
  }
  return { ...rest, manifest: { ...manifest, source: { ...manifest.source, locate } } }
}

function byName({ instances }: Resolution, name: string) {
  const found = instances.filter((one) => one.name === name)
  assert.equal(found.length, 1, `${found.length} instances of ${name}`)
  const [instance] = found
  assert.ok(instance)
  return instance
}

/** The instances in the order of their start. */
const order = ({ instances }: Resolution): string[] => instances.map(({ name }) => name)

test('a dependency that is not there is a problem at its line in plugin.json, and names the nearest', () => {
  const problem = onlyProblem(
    resolved([needing('limit', { store: '*', auht: '^1.0.0' }), plugin('auth'), plugin('store')], {
      api: {},
    }),
  )
  assert.deepEqual(problem, {
    file: '/p/limit/plugin.json',
    line: 12,
    column: 5,
    code: 'PLUGIN_DEPENDENCY_MISSING',
    key: 'dependencies.auht',
    given: '"^1.0.0"',
    expected: '',
    nearest: 'auth',
    message: 'Plugin "limit" needs "auht" ^1.0.0, but there is no plugin of that name. Did you mean "auth"?',
    folder: '/p/limit',
  })
})

test('a dependency that is disabled is a problem, whoever disabled it', () => {
  const limit = needing('limit', { auth: '*' })
  const cases: [Resolution, RegExp][] = [
    [
      resolved([limit, plugin('auth', { enabled: false })], { api: {} }),
      /disabled by \/p\/auth\/plugin\.json/,
    ],
    [resolved([limit, plugin('auth')], { api: {} }, { auth: false }), /switched off by plugins\.auth of the/],
    [
      resolved([limit, plugin('auth')], { api: {} }, { auth: { enabled: false } }),
      /disabled by plugins\.auth of the config/,
    ],
    [
      resolved([limit, plugin('auth')], { api: {} }, {}, { disabled: ['auth'] }),
      /switched off by "cardea plugin disable"/,
    ],
    // A route's own instance is not the one that others use.
    [
      resolved([limit, plugin('auth', { enabled: false })], { api: { auth: { enabled: true } } }),
      /disabled by \/p\/auth/,
    ],
  ]
  for (const [resolution, message] of cases) {
    const problem = onlyProblem(resolution)
    assert.deepEqual([problem.code, problem.folder], ['PLUGIN_DEPENDENCY_MISSING', '/p/limit'])
    assert.match(problem.message, message)
  }
})

test('a dependency that only the config enables is there', () => {
  const plugins = [needing('limit', { auth: '*' }), plugin('auth', { enabled: false })]
  const resolution = resolved(plugins, { api: {} }, { auth: { enabled: true } })
  assert.deepEqual(resolution.problems, [])
})

test('a dependency of another version is a conflict that names range, version and folder', () => {
  const cases: [string, string, boolean][] = [
    ['^1.0.0', '2.0.0', false],
    ['^1.2.0', '1.1.9', false],
    ['1.0.0', '1.0.0-beta.1', false],
    ['^1.0.0', '2.0.0-beta.1', false],
    ['^1.0.0', '1.9.3', true],
    ['*', '0.0.1', true],
    // The pre-release is what somebody has put there.
    ['^1.0.0', '1.1.0-beta.1', true],
    ['*', '1.0.0-beta.1', true],
  ]
  for (const [range, version, fits] of cases) {
    const { problems } = resolved([needing('limit', { auth: range }), plugin('auth', { version })], {
      api: {},
    })
    assert.equal(problems.length === 0, fits, `${version} in ${range}`)
    if (fits) continue
    assert.equal(problems[0]?.code, 'PLUGIN_DEPENDENCY_CONFLICT')
    assert.equal(
      problems[0]?.message,
      `Plugin "limit" needs "auth" ${range}, but /p/auth holds version ${version}. Put a version within the range there, or widen it.`,
    )
  }
})

test('plugins that need each other in a circle are one problem, the same from wherever it is entered', () => {
  const circle = [needing('b', { c: '*' }), needing('c', { a: '*' }), needing('a', { b: '*' })]
  const orders = [circle, circle.toReversed(), [needing('outside', { c: '*' }), ...circle]]
  for (const plugins of orders) {
    const problem = onlyProblem(resolved(plugins, { api: {} }))
    assert.equal(problem.code, 'PLUGIN_DEPENDENCY_CYCLE')
    assert.deepEqual([problem.file, problem.line, problem.key], ['/p/a/plugin.json', 11, 'dependencies.b'])
    assert.match(problem.message, /^Plugin "a" needs itself: a → b → c → a\. None of them could start first/)
  }
  const alone = onlyProblem(resolved([needing('a', { a: '*' })], { api: {} }))
  assert.match(alone.message, /^Plugin "a" needs itself: a → a\./)
})

test('two circles are two problems', () => {
  const plugins = [needing('a', { b: '*', c: '*' }), needing('b', { a: '*' }), needing('c', { a: '*' })]
  const { problems } = resolved(plugins, { api: {} })
  assert.deepEqual(
    problems.map(({ message }) => /: (.*?)\./.exec(message)?.[1]),
    ['a → b → a', 'a → c → a'],
  )
})

test('every problem is noted once, however many routes and plugins come upon it', () => {
  const plugins = [
    needing('limit', { auth: '^2.0.0', gone: '*' }),
    needing('other', { limit: '*' }),
    plugin('auth'),
  ]
  const { problems } = resolved(plugins, {
    a: {},
    b: { limit: { priority: 1 } },
    c: { other: { priority: 1 } },
  })
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['PLUGIN_DEPENDENCY_CONFLICT', 'PLUGIN_DEPENDENCY_MISSING'],
  )
})

test('a config of a dependency that does not hold is its problem, and noted once', () => {
  const configSchema = { type: 'object', required: ['realm'] }
  const auth = plugin('auth', { configSchema, scope: 'route' })
  const plugins = [needing('a', { auth: '*' }), needing('b', { auth: '*' }), auth]
  const problem = onlyProblem(resolved(plugins, { api: {}, other: {} }))
  assert.deepEqual([problem.code, problem.folder], ['PLUGIN_CONFIG_INVALID', '/p/auth'])
})

test('what a plugin needs that runs nowhere is not looked at', () => {
  const plugins = [
    needing('idle', { gone: '*' }, { scope: 'route' }),
    needing('off', { gone: '*' }, { enabled: false }),
  ]
  const resolution = resolved(plugins, { api: {} })
  assert.deepEqual([resolution.problems, resolution.instances], [[], []])
})

test('a dependency gets an instance although no route runs it, with the settings of plugins:', () => {
  const plugins = [
    needing('limit', { auth: '^1.0.0' }),
    plugin('auth', { scope: 'route', config: { a: 1, b: 1 } }),
  ]
  const global = { auth: { config: { b: 2 } } }
  const alone = resolved(plugins, { api: {} })
  assert.deepEqual(names(alone), { api: ['limit'] })
  assert.deepEqual(order(alone), ['auth', 'limit'])
  assert.deepEqual(alone.idle, [])
  assert.deepEqual([...alone.validated].sort(), ['/p/auth', '/p/limit'])
  const optedOut = resolved(plugins, { api: { auth: false } }, global)
  assert.deepEqual(names(optedOut), { api: ['limit'] })
  assert.deepEqual(byName(optedOut, 'auth').config, { a: 1, b: 2 })
  assert.deepEqual(byName(optedOut, 'limit').dependencies, [byName(optedOut, 'auth').id])
})

test('a dependency that routes run too is one instance, and a route with settings of its own has another', () => {
  const plugins = [needing('limit', { auth: '*' }), plugin('auth')]
  const resolution = resolved(plugins, { plain: {}, own: { auth: { config: { x: 1 } } } })
  assert.deepEqual(
    resolution.instances.map(({ name, config }) => [name, config]),
    [
      ['auth', {}],
      ['limit', {}],
      ['auth', { x: 1 }],
    ],
  )
  assert.deepEqual(byName(resolution, 'limit').dependencies, [resolution.instances[0]?.id])
})

test('instances start after what they depend on, whatever their place in the chain', () => {
  const plugins = [
    needing('a', { b: '*', d: '*' }, { category: 'observe' }),
    needing('b', { c: '*' }, { category: 'security' }),
    plugin('c', { category: 'custom', scope: 'route' }),
    needing('d', { c: '*' }),
  ]
  const resolution = resolved(plugins, { api: {} })
  assert.deepEqual(resolution.problems, [])
  assert.deepEqual(names(resolution), { api: ['a', 'b', 'd'] })
  const started = order(resolution)
  for (const [before, after] of ['ba', 'da', 'cb', 'cd'].map((pair) => [...pair])) {
    assert.ok(
      started.indexOf(before ?? '') < started.indexOf(after ?? ''),
      `${before} before ${after}: ${started}`,
    )
  }
})

test('the key of an instance changes with what it depends on, also behind that', () => {
  const keys = (config: Record<string, unknown>, changes: Partial<PluginManifest> = {}) => {
    const plugins = [
      needing('a', { b: '*' }),
      needing('b', { c: '*' }),
      plugin('c', { config, ...changes }),
      plugin('d'),
    ]
    const resolution = resolved(plugins, { api: {} })
    return ['a', 'b', 'c', 'd'].map((name) => byName(resolution, name).key)
  }
  const base = keys({ x: 1 })
  assert.equal(new Set(base).size, 4)
  assert.deepEqual(keys({ x: 1 }, { timeoutMs: 5, priority: 3 }), base)
  const changed = keys({ x: 2 })
  assert.deepEqual(
    changed.map((key, index) => key !== base[index]),
    [true, true, true, false],
  )
})
