import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { describeAll, describeChanges } from './describe-changes.ts'

const instance = (name: string, changes: Partial<InstancePlan> = {}) =>
  ({
    id: 1,
    name,
    plugin: name,
    version: '1.0.0',
    codeHash: 'a',
    config: {},
    incarnation: 0,
    ...changes,
  }) as InstancePlan

const route = (name: string, changes: object = {}) => ({ name, paths: ['/*'], chain: [], ...changes })

function plan(changes: object = {}): GenerationPlan {
  const empty = {
    number: 1,
    settings: { debug: false, workers: 1 },
    upstreams: [],
    routes: [],
    instances: [],
  }
  return { ...empty, ...changes } as unknown as GenerationPlan
}

const described = (before: object, after: object): string[] => describeChanges(plan(before), plan(after))

test('describeChanges() tells plugins that come, go, and change by version or only by code', () => {
  const before = { instances: [instance('a'), instance('b'), instance('c')] }
  const after = {
    instances: [
      instance('a', { version: '1.1.0', codeHash: 'b' }),
      instance('b', { codeHash: 'x' }),
      instance('d'),
    ],
  }
  assert.deepEqual(described(before, after), [
    'plugin a 1.0.0 → 1.1.0',
    'plugin b 1.0.0: new code',
    'plugin d 1.0.0 added',
    'plugin c 1.0.0 removed',
  ])
})

test('describeChanges() tells new config, new settings, quarantine and what is made anew apart', () => {
  const one = (changes: Partial<InstancePlan>) =>
    described({ instances: [instance('a')] }, { instances: [instance('a', changes)] })
  assert.deepEqual(one({ config: { x: 1 } }), ['a: new config'])
  assert.deepEqual(one({ permissions: ['kv'] }), ['a: new permissions'])
  assert.deepEqual(one({ entryPoint: 'Other', config: { x: 1 } }), ['a: new config, entry point'])
  assert.deepEqual(one({ timeoutMs: 5 }), ['a: new settings'])
  assert.deepEqual(one({ quarantined: true }), ['a quarantined'])
  assert.deepEqual(one({ incarnation: 1 }), ['a made anew'])
  assert.deepEqual(one({}), [])
})

test('describeChanges() tells of a config that another route has or had, and of nothing else', () => {
  const [both, one] = [
    { instances: [instance('a'), instance('a', { id: 2, config: { x: 1 } })] },
    { instances: [instance('a')] },
  ]
  assert.deepEqual(described(both, one), ['a: new config'])
  assert.deepEqual(described(one, both), ['a: new config'])
})

test('describeChanges() tells that code or config which comes back is quarantined as before', () => {
  const again = 'a quarantined as before: this code and config harmed a worker'
  const one = (before: InstancePlan[], changes: Partial<InstancePlan>) =>
    described({ instances: before }, { instances: [instance('a', { ...changes, quarantined: true })] })
  const quarantined = instance('a', { quarantined: true })
  assert.deepEqual(one([], {}), ['plugin a 1.0.0 added', again])
  assert.deepEqual(one([instance('a')], { codeHash: 'b' }), ['plugin a 1.0.0: new code', again])
  assert.deepEqual(one([quarantined], { codeHash: 'b' }), ['plugin a 1.0.0: new code', again])
  assert.deepEqual(one([instance('a')], { config: { x: 1 } }), ['a: new config', again])
  assert.deepEqual(one([quarantined], { timeoutMs: 5 }), ['a: new settings'])
})

test('describeChanges() tells routes by what they match and by what they run', () => {
  const instances = [instance('a'), instance('b', { id: 2 })]
  const before = { instances, routes: [route('x', { chain: [1] }), route('y'), route('z')] }
  const after = {
    instances,
    routes: [route('x', { chain: [2] }), route('y', { paths: ['/y'] }), route('new')],
  }
  assert.deepEqual(described(before, after), [
    'route y changed',
    'route new added',
    'route z removed',
    'route x: +b −a',
  ])
})

test('describeChanges() tells that a name runs another plugin, and on which route', () => {
  const guards = [instance('guard', { plugin: 'jwt' }), instance('guard', { id: 2, plugin: 'cors' })]
  const planWith = (...chains: number[][]) => ({
    instances: guards,
    routes: chains.map((chain, index) => route(`r${index}`, { chain })),
  })
  assert.deepEqual(described(planWith([1], [1]), planWith([2], [1])), [
    'guard runs plugin cors instead of jwt on route r0',
  ])
  assert.deepEqual(described(planWith([1], [1]), planWith([2], [2])), [
    'guard runs plugin cors instead of jwt on 2 routes',
  ])
  assert.deepEqual(described(planWith([1], [2]), planWith([2], [1])), [
    'guard runs plugin cors instead of jwt on route r0',
    'guard runs plugin jwt instead of cors on route r1',
  ])
})

test('describeChanges() names settings as the config does, and is silent about nothing', () => {
  assert.deepEqual(described({}, { settings: { debug: true, workers: 2 } }), [
    'workers changed',
    'debug changed',
  ])
  assert.deepEqual(described({}, {}), [])
  assert.deepEqual(describeChanges(null, plan({ routes: [route('a')] })), ['first generation: 1 route'])
})

test('describeChanges() counts what nobody would read', () => {
  const routes = Array.from({ length: 50 }, (_, index) => route(`r${index}`))
  const changes = described({}, { routes })
  assert.equal(changes.length, 21)
  assert.equal(changes.at(-1), 'and 30 more')
})

test('describeAll() says what cannot be compared, and why', () => {
  const next = plan({ routes: [route('a')] })
  const why = 'cannot be read any more'
  assert.deepEqual(describeAll({ number: 0, madeOf: null }, next), [
    `1 route, compared with nothing: the generation that was committed last ${why}`,
  ])
  assert.deepEqual(describeAll({ number: 7, madeOf: null }, next), [
    `1 route, compared with nothing: generation 7, which was committed last, ${why}`,
  ])
  assert.deepEqual(describeAll({ number: 7, madeOf: 'cardea.yaml' }, next), [
    '1 route, compared with nothing: generation 7, which was committed last, is of cardea.yaml',
  ])
})
