import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findSecurityLosses, type OptOuts } from '../packages/gateway/src/control-plane/security-loss.ts'
import { compileRouter, RouteMatch } from '../packages/gateway/src/data-plane/routing/router.ts'
import { findTrafficMoves } from '../packages/gateway/src/data-plane/routing/traffic-moves.ts'
import type { GenerationPlan, RoutePlan } from '../packages/gateway/src/protocol/generation.ts'

/** The check for lost security plugins with the real router: what it lets pass, no request may tell from before. */

interface TestRoute {
  readonly name: string
  readonly hosts: readonly string[]
  readonly paths: readonly string[]
  readonly methods: readonly string[]
  readonly headers: RoutePlan['headers']
  /** Names of instances; those in capitals are of category security. */
  readonly chain: readonly string[]
  readonly off: readonly string[]
}

const NAMES = ['AUTH', 'WAF', 'auth', 'log']

function planOf(routes: readonly TestRoute[]): GenerationPlan {
  const plan = {
    routes: routes.map(({ off: _, chain, ...route }) => ({
      ...route,
      action: { kind: 'upstream', upstream: 'api', host: { kind: 'preserve' } },
      stripPrefix: '',
      rewrite: '',
      allowInPath: [],
      chain: chain.map((name) => NAMES.indexOf(name)),
    })),
    instances: NAMES.map((name, id) => ({
      id,
      name: name.toLowerCase(),
      plugin: name.toLowerCase(),
      category: name === name.toUpperCase() ? 'security' : 'custom',
    })),
  }
  return plan as unknown as GenerationPlan
}

function optOutsOf(routes: readonly TestRoute[]): OptOuts {
  return new Map(routes.map(({ name, off }) => [name, new Set(off.map((one) => one.toLowerCase()))]))
}

function securityOf(plan: GenerationPlan, route: number): Set<string> {
  const instances = plan.instances.filter(({ id }) => plan.routes[route]?.chain.includes(id))
  return new Set(instances.filter(({ category }) => category === 'security').map(({ name }) => name))
}

const testRoute: fc.Arbitrary<TestRoute> = fc.record({
  name: fc.constantFrom('one', 'two', 'three', 'four'),
  hosts: fc.uniqueArray(fc.constantFrom('a.x', '*.x', 'b.a.x'), { maxLength: 2 }),
  paths: fc.uniqueArray(fc.constantFrom('/*', '/a', '/a/*', '/a/:p', '/:p/b', '/a/b/*', '/:p/*'), {
    minLength: 1,
    maxLength: 2,
  }),
  methods: fc.uniqueArray(fc.constantFrom('GET', 'POST'), { maxLength: 1 }),
  headers: fc.dictionary(fc.constant('h'), fc.constantFrom('1', null), { maxKeys: 1 }),
  chain: fc.uniqueArray(fc.constantFrom('AUTH', 'WAF', 'log'), { maxLength: 3 }),
  off: fc.uniqueArray(fc.constantFrom('AUTH', 'WAF'), { maxLength: 1 }),
})
const testRoutes = fc.uniqueArray(testRoute, { maxLength: 4, selector: ({ name }) => name })

/** Often nearly the same as before: one route changed. */
const change = testRoutes.chain((before) => {
  const edited = fc.tuple(fc.nat(3), testRoute).map(([at, route]) => {
    const name = before[at]?.name ?? route.name
    return [...before.filter((one) => one.name !== name), { ...route, name }]
  })
  return fc.oneof(edited, testRoutes).map((after) => ({ before, after }))
})

const request = fc.record({
  host: fc.constantFrom('a.x', 'b.a.x', 'c.x', 'y'),
  path: fc.constantFrom('/', '/a', '/a/', '/a/b', '/a/c', '/b/b', '/c', '/a/b/c', '/c/c/c'),
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
  header: fc.constantFrom(null, '1', '2'),
})

function losses(before: readonly TestRoute[], after: readonly TestRoute[], optOuts = optOutsOf(after)) {
  const [reference, candidate] = [planOf(before), planOf(after)]
  const moves = findTrafficMoves(reference.routes, candidate.routes)
  return [...findSecurityLosses({ reference, candidate, optOuts, moves, idle: [] })]
}

test('findSecurityLosses() holds every change by which some request loses a security plugin', () => {
  fc.assert(
    fc.property(
      change,
      fc.array(request, { minLength: 30, maxLength: 30 }),
      ({ before, after }, requests) => {
        const found = losses(before, after)
        const [reference, candidate] = [planOf(before), planOf(after)]
        const optOuts = optOutsOf(after)
        const routers = [reference, candidate].map(({ routes }) => compileRouter(routes))
        for (const { host, path, method, header } of requests) {
          const fields = { get: (name: string) => (name === 'h' ? header : null) }
          const [from, to] = routers.map((router) =>
            router.match(host, path, method, fields, new RouteMatch()),
          )
          if (!from || !to) continue
          const kept = securityOf(candidate, to.index)
          for (const name of securityOf(reference, from.index)) {
            if (kept.has(name) || optOuts.get(to.name)?.has(name)) continue
            assert.ok(
              found.some((loss) => loss.route === from.name && loss.to === to.name && loss.plugin === name),
              `${method} ${host}${path} loses ${name}: ${from.name} → ${to.name}`,
            )
          }
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('findSecurityLosses() holds nothing that stays, grows, or is all meant', () => {
  fc.assert(
    fc.property(change, ({ before, after }) => {
      assert.deepEqual(losses(before, before, new Map()), [])
      const grown = before.map((route) => ({ ...route, chain: ['AUTH', 'WAF', 'log'] }))
      assert.deepEqual(losses(before, grown, new Map()), [])
      const all = new Map(after.map(({ name }) => [name, new Set(['auth', 'waf'])]))
      assert.deepEqual(losses(before, after, all), [])
    }),
    { numRuns: 200 },
  )
})

test('findSecurityLosses() holds nothing of a route that had no security plugin', () => {
  fc.assert(
    fc.property(change, ({ before, after }) => {
      const secured = new Set(
        before.filter(({ chain }) => chain.some((name) => name !== 'log')).map(({ name }) => name),
      )
      for (const { route } of losses(before, after)) assert.ok(secured.has(route))
    }),
    { numRuns: 200 },
  )
})
