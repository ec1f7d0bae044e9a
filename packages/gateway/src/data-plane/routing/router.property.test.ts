import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { RoutePlan } from '../../protocol/generation.ts'
import { findRouteConflicts } from './conflicts.ts'
import { compileRouter, RouteMatch } from './router.ts'
import { route } from './test-support.ts'

/** The rules of routing.md once more, as slow and as plain as can be: rate every match, take the best. */
function bestMatches(routes: readonly RoutePlan[], asked: Asked): string[] {
  const rated = routes.flatMap((plan) => {
    const hosts = plan.hosts.length === 0 ? ['*'] : plan.hosts
    return hosts.flatMap((host) =>
      plan.paths.flatMap((path) => {
        const parts = [rateHost(host, asked.host), ratePath(path, asked.path), rateMethod(plan, asked.method)]
        parts.push(rateHeaders(plan, asked.headers))
        return parts.includes(null) ? [] : [{ name: plan.name, rate: parts.join(' | ') }]
      }),
    )
  })
  const best = rated
    .map(({ rate }) => rate)
    .sort()
    .at(0)
  return [...new Set(rated.filter(({ rate }) => rate === best).map(({ name }) => name))]
}

// Rates sort as text: the smaller, the more specific. Null: no match.

function rateHost(pattern: string, host: string): string | null {
  if (pattern === '*') return '9'
  if (pattern === host) return '0'
  return pattern.startsWith('*') && host.endsWith(pattern.slice(1)) ? `1 ${99 - pattern.length}` : null
}

function ratePath(pattern: string, path: string): string | null {
  const wanted = pattern.slice(1).split('/')
  const given = path.slice(1).split('/')
  const rates: string[] = []
  for (const [index, part] of wanted.entries()) {
    if (part === '*' && index === wanted.length - 1) return [...rates, '3'].join('')
    const segment = given[index]
    if (part.startsWith(':') ? segment === undefined || segment === '' : part !== segment) return null
    rates.push(part.startsWith(':') ? '2' : '1')
  }
  return wanted.length === given.length ? rates.join('') : null
}

function rateMethod(plan: RoutePlan, method: string): string | null {
  if (plan.methods.includes(method)) return '0'
  if (method === 'HEAD' && plan.methods.includes('GET')) return '1'
  return plan.methods.length === 0 ? '2' : null
}

function rateHeaders(plan: RoutePlan, headers: Readonly<Record<string, string>>): string | null {
  const conditions = Object.entries(plan.headers)
  const holds = conditions.every(
    ([name, value]) => name in headers && (value === null || headers[name] === value),
  )
  const values = conditions.filter(([, value]) => value !== null)
  return holds ? `${9 - conditions.length} ${9 - values.length}` : null
}

interface Asked {
  readonly host: string
  readonly path: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
}

const pathPattern = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', ':p', ':p', ''), { maxLength: 4 }),
    fc.constantFrom('*', '*', 'a', ':p', ''),
  )
  .map(([parts, last]) => {
    const named = [...parts.filter((part) => part !== ''), last].map((part, index) =>
      part.replace(':p', `:p${index}`),
    )
    return `/${named.join('/')}`
  })

const plans = fc
  .array(
    fc.record({
      hosts: fc.uniqueArray(fc.constantFrom('a.x', 'b.a.x', '*.x', '*.a.x'), { maxLength: 2 }),
      paths: fc.uniqueArray(pathPattern, { minLength: 1, maxLength: 3 }),
      methods: fc.uniqueArray(fc.constantFrom('GET', 'HEAD', 'POST'), { maxLength: 2 }),
      headers: fc.dictionary(fc.constantFrom('h', 'i'), fc.constantFrom('1', '2', null), { maxKeys: 2 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((records) => records.map((record, index) => route(`r${index}`, record)))

const asked: fc.Arbitrary<Asked> = fc.record({
  host: fc.constantFrom('a.x', 'b.a.x', 'c.a.x', 'c.x', 'x', 'y'),
  path: fc
    .array(fc.constantFrom('a', 'b', 'c', ''), { minLength: 1, maxLength: 6 })
    .map((parts) => `/${parts.join('/')}`),
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
  headers: fc.dictionary(fc.constantFrom('h', 'i'), fc.constantFrom('1', '2'), { maxKeys: 2 }),
})

function matchName(
  routes: readonly RoutePlan[],
  { host, path, method, headers }: Asked,
  out: RouteMatch,
): string | null {
  const fields = { get: (name: string) => headers[name] ?? null }
  return compileRouter(routes).match(host, path, method, fields, out)?.name ?? null
}

describe('Router.match()', () => {
  it('finds what comparing all routes finds', () => {
    fc.assert(
      fc.property(plans, asked, (routes, request) => {
        const best = bestMatches(routes, request)
        const name = matchName(routes, request, new RouteMatch())
        assert.ok(name === null ? best.length === 0 : best.includes(name), `${name}, expected one of ${best}`)
      }),
      { numRuns: 3_000 },
    )
  })

  it('allows exactly the methods that would have matched', () => {
    fc.assert(
      fc.property(plans, asked, (routes, request) => {
        const out = new RouteMatch()
        fc.pre(matchName(routes, { ...request, method: 'PUT' }, out) === null)
        const allowed = ['GET', 'HEAD', 'POST'].filter(
          (method) => bestMatches(routes, { ...request, method }).length > 0,
        )
        assert.equal(out.allow, allowed.join(', '))
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('findRouteConflicts()', () => {
  it('finds every tie: without a conflict one route is the best', () => {
    fc.assert(
      fc.property(plans, asked, (routes, request) => {
        fc.pre(findRouteConflicts(routes).length === 0)
        assert.ok(bestMatches(routes, request).length <= 1)
      }),
      { numRuns: 3_000 },
    )
  })
})
