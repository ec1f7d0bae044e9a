import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { PluginOverride, RouteDraft } from '../config/types.ts'
import type { LostPlugin } from '../protocol/control.ts'
import type { Category, GenerationPlan, InstancePlan, RoutePlan } from '../protocol/generation.ts'
import type { IdlePlugin } from './resolve.ts'
import { findSecurityLosses, listedLosses, optOutsOf, type SecurityComparison } from './security-loss.ts'
import { verifiedPlugin } from './test-support.ts'

interface TestInstance {
  readonly category?: Category
  readonly plugin?: string
  readonly rest?: Partial<InstancePlan>
}

/** A plan with the routes' chains as instance names. Only what this is about is there. */
function planOf(
  chains: Readonly<Record<string, readonly string[]>>,
  instances: Readonly<Record<string, TestInstance>> = { auth: {} },
  actions: Readonly<Record<string, RoutePlan['action']>> = {},
): GenerationPlan {
  const names = Object.keys(instances)
  return {
    routes: Object.entries(chains).map(([name, chain]) => ({
      name,
      action: actions[name] ?? { kind: 'upstream' },
      chain: chain.map((instance) => names.indexOf(instance)),
    })),
    instances: names.map((name, id) => {
      const { category = 'security', plugin = name, rest = {} } = instances[name] ?? {}
      return { id, name, plugin, category, ...rest }
    }),
  } as unknown as GenerationPlan
}

function found(
  reference: GenerationPlan,
  candidate: GenerationPlan,
  rest: Partial<Omit<SecurityComparison, 'reference' | 'candidate'>> = {},
): LostPlugin[] {
  const moves = reference.routes.map(({ name }) => ({ from: name, to: name, example: '' }))
  return [...findSecurityLosses({ reference, candidate, optOuts: new Map(), moves, idle: [], ...rest })]
}

/** As `route plugin: reason`. */
const losses = (...of: Parameters<typeof found>): string[] =>
  found(...of).map(({ route, plugin, reason }) => `${route} ${plugin}: ${reason}`)

const idle = (name: string, reason: IdlePlugin['reason']): IdlePlugin[] => [
  { plugin: verifiedPlugin(`/srv/plugins/${name}`, { name }), reason },
]

describe('findSecurityLosses()', () => {
  const reference = planOf({ api: ['auth'] })

  test('holds when the plugin is gone, and when it was renamed', () => {
    assert.deepEqual(losses(reference, planOf({ api: [] }, {})), [
      'api auth: plugin "auth" is gone from plugins/',
    ])
    assert.deepEqual(losses(reference, planOf({ api: ['login'] }, { login: {} })), [
      'api auth: plugin "auth" is gone from plugins/',
    ])
  })

  test('holds when it is disabled, in whichever way', () => {
    for (const [reason, sentence] of [
      ['disabled in plugin.json', 'plugin "auth" is disabled in plugin.json'],
      ['disabled by command', 'plugin "auth" is disabled by command'],
      ['switched off in the config', 'plugin "auth" is switched off in the config'],
      ['named by no route', 'no route names plugin "auth" any more'],
    ] as const) {
      assert.deepEqual(losses(reference, planOf({ api: [] }, {}), { idle: idle('auth', reason) }), [
        `api auth: ${sentence}`,
      ])
    }
  })

  test('holds when it is of another category', () => {
    assert.deepEqual(losses(reference, planOf({ api: ['auth'] }, { auth: { category: 'transform' } })), [
      'api auth: plugin "auth" is now of category transform',
    ])
  })

  test('holds when the route does not run it any more, but others do', () => {
    const before = planOf({ api: ['auth'], web: ['auth'] })
    assert.deepEqual(losses(before, planOf({ api: [], web: ['auth'] })), [
      'api auth: route "api" does not run "auth"',
    ])
  })

  test('holds when an instance has another name, even though its plugin runs', () => {
    const before = planOf({ api: ['login-limit'] }, { 'login-limit': { plugin: 'rate-limit' } })
    const after = planOf({ api: ['limit'] }, { limit: { plugin: 'rate-limit' } })
    assert.deepEqual(losses(before, after), [
      'api login-limit: plugin "rate-limit" runs as "limit", and no longer as "login-limit"',
    ])
  })

  test('holds when its instance runs another plugin, also one of category security', () => {
    const before = planOf({ api: ['guard'] }, { guard: { plugin: 'jwt' } })
    for (const category of ['security', 'traffic'] as const) {
      const after = planOf({ api: ['guard'] }, { guard: { plugin: 'cors', category } })
      assert.deepEqual(losses(before, after), [
        'api guard: route "api" runs plugin "cors" as "guard", not plugin "jwt"',
      ])
      assert.deepEqual(losses(before, after, { optOuts: new Map([['api', new Set(['guard'])]]) }), [])
    }
  })

  test('holds when requests go to a route where another plugin has its name', () => {
    const before = planOf({ api: ['guard'] }, { guard: { plugin: 'jwt' } })
    const after = planOf({ web: ['guard'] }, { guard: { plugin: 'cors' } })
    const [first = '', ...more] = losses(before, after, { moves: [{ from: 'api', to: 'web', example: '' }] })
    assert.match(first, /^api guard: .* route "web" runs plugin "cors" as "guard", not plugin "jwt"/)
    assert.deepEqual(more, [])
  })

  test('holds when requests go to a route without it', () => {
    const before = planOf({ admin: ['auth'], rest: [] })
    const after = planOf({ rest: [], other: ['auth'] })
    const moves = [{ from: 'admin', to: 'rest', example: 'GET x/admin' }]
    assert.deepEqual(losses(before, after, { moves }), [
      'admin auth: its requests, such as GET x/admin, now go to route "rest", and route "rest" does not run "auth"',
    ])
    assert.deepEqual(losses(before, planOf({ rest: [] }, {}), { moves }), [
      'admin auth: its requests, such as GET x/admin, now go to route "rest", and plugin "auth" is gone from plugins/',
    ])
  })

  test('holds when a route keeps its name and not its requests, each plugin once for each route that takes them', () => {
    const before = planOf({ admin: ['auth', 'waf'] }, { auth: {}, waf: {} })
    const moves = ['admin', 'rest'].map((to) => ({ from: 'admin', to, example: '' }))
    const lost = found(before, planOf({ admin: [], rest: [] }, {}), { moves })
    assert.deepEqual(
      lost.map(({ route, to, plugin }) => `${route} → ${to}: ${plugin}`),
      ['admin → admin: auth', 'admin → admin: waf', 'admin → rest: auth', 'admin → rest: waf'],
    )
    assert.equal(losses(before, planOf({ admin: [] }, {}), { moves: [] }).length, 2)
  })

  test('names every route that takes requests, and what has the name of the plugin there', () => {
    const before = planOf({ api: ['auth'] })
    const after = planOf({ api: ['auth'], health: [], admin: ['imposter'] }, { auth: {}, imposter: {} })
    const instances = after.instances.map((one) =>
      one.plugin === 'imposter' ? { ...one, name: 'auth' } : one,
    )
    const moves = ['api', 'health', 'admin'].map((to) => ({ from: 'api', to, example: '' }))
    const lost = found(before, { ...after, instances }, { moves })
    assert.deepEqual(
      lost.map(({ route, to, plugin, instead }) => ({ route, to, plugin, instead })),
      [
        { route: 'api', to: 'health', plugin: 'auth', instead: null },
        { route: 'api', to: 'admin', plugin: 'auth', instead: 'imposter' },
      ],
    )
  })

  test('lets pass what the config takes off on purpose, for the route that has the requests now', () => {
    const after = planOf({ api: [] }, {})
    const off = (route: string) => new Map([[route, new Set(['auth'])]])
    assert.deepEqual(losses(reference, after, { optOuts: off('api') }), [])
    assert.equal(losses(reference, after, { optOuts: off('web') }).length, 1)
    const moved = planOf({ rest: [] }, {})
    const moves = [{ from: 'api', to: 'rest', example: '' }]
    assert.deepEqual(losses(reference, moved, { moves, optOuts: off('rest') }), [])
    assert.equal(losses(reference, moved, { moves, optOuts: off('api') }).length, 1)
  })

  test('lets pass other code, another config, a quarantine, and more plugins', () => {
    const rest = { codeHash: 'other', config: { a: 1 }, quarantined: true, key: 'other' }
    const after = planOf({ api: ['auth', 'waf'], web: [] }, { auth: { rest }, waf: {} })
    assert.deepEqual(losses(reference, after), [])
  })

  test('lets pass the loss of what is no security plugin', () => {
    for (const category of ['observe', 'traffic', 'transform', 'cache', 'custom'] as const) {
      assert.deepEqual(losses(planOf({ api: ['auth'] }, { auth: { category } }), planOf({ api: [] }, {})), [])
    }
  })

  test('lets pass a route that is gone and whose requests nothing takes', () => {
    assert.deepEqual(losses(reference, planOf({ web: [] }, {}), { moves: [] }), [])
  })

  test('lets pass requests to a fixed error, unless a plugin may answer there', () => {
    const moves = [{ from: 'api', to: 'rest', example: '' }]
    const to = (status: number, category: Category) =>
      losses(
        reference,
        planOf(
          { rest: ['other'] },
          { other: { category } },
          {
            rest: { kind: 'respond', status, headers: {}, body: '' },
          },
        ),
        { moves },
      ).length
    assert.equal(to(404, 'observe'), 0)
    assert.equal(to(404, 'custom'), 1)
    assert.equal(to(200, 'observe'), 1)
  })
})

describe('listedLosses()', () => {
  const lossesTo = (...routes: readonly string[]): LostPlugin[] =>
    routes.map((to) => ({ kind: 'loss', route: 'api', to, plugin: 'auth', instead: null, reason: 'why' }))
  const many = Array.from({ length: 300 }, (_, index) => `r${index}`)

  test('lists all where they are few', () => {
    const few = lossesTo(...many.slice(0, CHANGE_LIMITS.lossesShownMax))
    assert.deepEqual(listedLosses(few), few)
    assert.deepEqual(listedLosses([]), [])
  })

  test('counts those that are too many, and is the same only when none of them differs', () => {
    const listed = listedLosses(lossesTo(...many))
    assert.equal(listed.length, CHANGE_LIMITS.lossesShownMax + 1)
    const more = listed.at(-1)
    assert.ok(more?.kind === 'more')
    assert.equal(more.count, 300 - CHANGE_LIMITS.lossesShownMax)
    assert.deepEqual(listedLosses(lossesTo(...many)), listed)
    for (const others of [many.with(299, 'other'), many.slice(0, -1), [...many, 'other']]) {
      assert.notDeepEqual(listedLosses(lossesTo(...others)), listed)
    }
  })
})

test('optOutsOf() takes `name: false` of the route, or of all where the route does not name it', () => {
  const place = { file: '', line: 1, column: 1 }
  const entry = (name: string, kind: PluginOverride['kind'], enabled?: boolean) =>
    [name, { kind, name, enabled, pointer: '', key: '', position: place }] as unknown as [
      string,
      PluginOverride,
    ]
  const route = (name: string, ...plugins: [string, PluginOverride][]) =>
    ({ name, plugins: new Map(plugins) }) as unknown as RouteDraft
  const optOuts = optOutsOf({
    routes: [
      route('api', entry('auth', 'off'), entry('waf', 'settings', false)),
      route('web', entry('cors', 'settings')),
    ],
    globalPlugins: new Map([entry('cors', 'off'), entry('waf', 'off'), entry('log', 'settings', false)]),
  })
  assert.deepEqual(
    [...optOuts],
    [
      ['api', new Set(['auth', 'cors'])],
      ['web', new Set(['waf'])],
    ],
  )
})
