import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RoutePlan } from '../../protocol/generation.ts'
import { normalizePath, PathFindings } from './path.ts'
import { compileRouter, RouteMatch } from './router.ts'
import { route } from './test-support.ts'
import { findTrafficMoves } from './traffic-moves.ts'

/** As `from → to`, sorted. */
function moves(before: readonly RoutePlan[], after: readonly RoutePlan[]): string[] {
  return findTrafficMoves(before, after)
    .map(({ from, to }) => `${from} → ${to}`)
    .sort()
}

const at = (name: string, ...paths: string[]): RoutePlan => route(name, { paths })

describe('findTrafficMoves()', () => {
  test('keeps routes with equal conditions where they are, without a look at each request', () => {
    const routes = [at('admin', '/admin/*'), at('rest', '/*')]
    assert.deepEqual(moves(routes, routes), ['admin → admin', 'rest → rest'])
  })

  test('finds what takes the traffic of a route that was removed, and nothing where that is 404', () => {
    const admin = at('admin', '/admin/*')
    assert.deepEqual(moves([admin, at('rest', '/*')], [at('rest', '/*')]), ['admin → rest', 'rest → rest'])
    assert.deepEqual(moves([admin], [at('other', '/other/*')]), [])
    assert.deepEqual(moves([admin], []), [])
    assert.deepEqual(moves([], [admin]), [])
  })

  test('finds a route under another name', () => {
    assert.deepEqual(moves([at('admin', '/admin/*')], [at('manage', '/admin/*')]), ['admin → manage'])
  })

  test('finds a more specific route that takes a part', () => {
    const admin = at('admin', '/admin/*')
    const found = findTrafficMoves([admin], [admin, at('login', '/admin/login')])
    assert.deepEqual(found, [
      { from: 'admin', to: 'admin', example: 'GET x/admin' },
      { from: 'admin', to: 'login', example: 'GET x/admin/login' },
    ])
  })

  test('finds what a narrower path lets go', () => {
    const before = [at('users', '/users/*'), at('rest', '/*')]
    const after = [at('users', '/users/:id'), at('rest', '/*')]
    assert.deepEqual(moves(before, after), ['rest → rest', 'users → rest', 'users → users'])
  })

  test('tells the folder from what is in it, and an empty segment from a parameter', () => {
    assert.deepEqual(moves([at('a', '/a/*')], [at('b', '/a')]), ['a → b'])
    assert.deepEqual(moves([at('a', '/a/*')], [at('b', '/a/')]), ['a → b'])
    assert.deepEqual(moves([at('a', '/a')], [at('b', '/a/')]), [])
    assert.deepEqual(moves([at('a', '/a/')], [at('b', '/a/:x')]), [])
    assert.deepEqual(moves([at('a', '/')], [at('b', '/*'), at('c', '/:x')]), ['a → b'])
    // Only `/a/` is left to the last one.
    const others = [at('s', '/a'), at('t', '/a/:p/*')]
    assert.ok(moves([...others, at('a', '/a/*')], [...others, at('b', '/a/*')]).includes('a → b'))
  })

  test('knows that parameters of a segment do not count', () => {
    assert.deepEqual(moves([at('a', '/admin/*')], [at('a', '/admin/*'), at('b', '/admin;x')]), [
      'a → a',
      'a → b',
    ])
  })

  test('sends hosts by exact name, wildcard and port', () => {
    const on = (name: string, ...hosts: string[]): RoutePlan => route(name, { hosts })
    const any = route('any')
    assert.deepEqual(moves([on('a', 'a.x'), any], [on('a', '*.x'), any]), ['a → a', 'any → a', 'any → any'])
    assert.deepEqual(moves([on('a', '*.x'), any], [on('a', 'a.x'), any]), ['a → a', 'a → any', 'any → any'])
    assert.deepEqual(moves([on('a', 'a.x')], [on('b', 'a.x:8443')]), ['a → b'])
    assert.deepEqual(moves([on('a', 'a.x:8443')], [on('b', 'a.x:9443')]), [])
    assert.deepEqual(moves([on('a', '*.y.x')], [on('b', '*.x'), any]), ['a → b'])
    assert.deepEqual(moves([on('a', 'x')], [on('b', '*.x')]), [])
  })

  test('sends methods, and HEAD where GET answers it', () => {
    const by = (name: string, ...methods: string[]): RoutePlan => route(name, { methods })
    assert.deepEqual(moves([by('a', 'POST')], [by('b', 'GET'), by('c')]), ['a → c'])
    assert.deepEqual(moves([by('a', 'HEAD')], [by('b', 'GET')]), ['a → b'])
    assert.deepEqual(moves([by('a', 'GET')], [by('b', 'HEAD')]), ['a → b'])
    assert.deepEqual(moves([by('a')], [by('b', 'OTHER')]), ['a → b'])
  })

  test('sends headers: absent, with each value, with another', () => {
    const having = (name: string, headers: RoutePlan['headers']): RoutePlan => route(name, { headers })
    const rest = route('rest')
    assert.deepEqual(moves([having('a', { v: '1' })], [having('b', { v: '2' }), rest]), ['a → rest'])
    assert.deepEqual(moves([having('a', { v: null }), rest], [having('a', { v: '1' }), rest]), [
      'a → a',
      'a → rest',
      'rest → rest',
    ])
  })

  test('leaves out what either refuses because of its path', () => {
    const before = [at('a', '/a/*')]
    const lax = route('b', { paths: ['/a/b%2Fc'], allowInPath: ['encoded_slash'] })
    assert.deepEqual(moves(before, [...before, lax]), ['a → a'])
    const laxBefore = [route('a', { paths: ['/a/*'], allowInPath: ['encoded_slash'] })]
    assert.deepEqual(moves(laxBefore, [...laxBefore, lax]), ['a → a', 'a → b'])
  })

  test('reports too much, and never too little, when there is too much to look at', () => {
    const headers = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`h${index}`, 'v']))
    const before = [route('a', { headers }), route('rest')]
    assert.deepEqual(moves(before, [route('rest')]), ['a → rest', 'rest → rest'])
    const wide = (name: string, offset: number) =>
      route(name, {
        paths: Array.from({ length: 18 }, (_, index) => {
          const parts = Array.from({ length: 18 }, (_, at) => (at === index ? `l${offset}` : `:p${at}`))
          return `/${parts.join('/')}`
        }),
      })
    assert.ok(moves([wide('a', 1), route('rest')], [wide('b', 2), route('rest')]).includes('a → rest'))
  })

  test('looks at a thousand routes in bounded time', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) =>
        route(`r${index}`, { hosts: [`h${index % 50}.x`], paths: [`/s${index}/:id/*`, `/s${index}`] }),
      )
    const found = moves(many(1_000), many(999))
    assert.equal(found.length, 999)
  })
})

const pathPattern = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', ':p', 'a;x'), { maxLength: 3 }),
    fc.constantFrom('*', '*', 'a', ':p', ''),
  )
  .map(([parts, last]) => `/${[...parts, last].map((part, at) => part.replace(':p', `:p${at}`)).join('/')}`)

const conditions = fc.record({
  name: fc.constantFrom('one', 'two', 'three', 'four', 'five'),
  hosts: fc.uniqueArray(fc.constantFrom('a.x', 'b.a.x', '*.x', '*.a.x', 'a.x:81'), { maxLength: 2 }),
  paths: fc.uniqueArray(pathPattern, { minLength: 1, maxLength: 3 }),
  methods: fc.uniqueArray(fc.constantFrom('GET', 'HEAD', 'POST'), { maxLength: 2 }),
  headers: fc.dictionary(fc.constantFrom('h', 'i'), fc.constantFrom('1', '2', null), { maxKeys: 2 }),
  allowInPath: fc.constantFrom([], ['empty_segment' as const]),
})

const plans = fc
  .uniqueArray(conditions, { maxLength: 5, selector: ({ name }) => name })
  .map((records) => records.map(({ name, ...rest }) => route(name, rest)))

const asked = fc.record({
  host: fc.constantFrom('a.x', 'b.a.x', 'c.a.x', 'c.x', 'x', 'y', 'a.x:81', 'a.x:82', ''),
  path: fc
    .array(fc.constantFrom('a', 'b', 'c', 'a;x', 'a;y', ''), { minLength: 1, maxLength: 5 })
    .map((parts) => `/${parts.join('/')}`),
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
  headers: fc.dictionary(fc.constantFrom('h', 'i'), fc.constantFrom('1', '2', '3'), { maxKeys: 2 }),
})

test('findTrafficMoves() misses no move that some request makes', () => {
  fc.assert(
    fc.property(
      plans,
      plans,
      fc.array(asked, { minLength: 20, maxLength: 20 }),
      (before, after, requests) => {
        const found = moves(before, after)
        const routers = [compileRouter(before), compileRouter(after)]
        for (const { host, path, method, headers } of requests) {
          const fields = { get: (name: string) => headers[name] ?? null }
          const [from, to] = routers.map((router) =>
            router.match(host, path, method, fields, new RouteMatch()),
          )
          if (!from || !to) continue
          const findings = new PathFindings()
          normalizePath(path, findings)
          if ((findings.oddities & ~(from.allowedOddities & to.allowedOddities)) !== 0) continue
          assert.ok(
            found.includes(`${from.name} → ${to.name}`),
            `${method} ${host}${path} ${JSON.stringify(headers)} goes ${from.name} → ${to.name}, found: ${found}`,
          )
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('findTrafficMoves() gives a request for each move that makes it', () => {
  fc.assert(
    fc.property(plans, plans, (before, after) => {
      const routers = [compileRouter(before), compileRouter(after)]
      for (const { from, to, example } of findTrafficMoves(before, after)) {
        if (example === '') continue
        const [method = '', url = '', ...rest] = example.split(' ')
        const slash = url.indexOf('/')
        const fields = new Map<string, string>()
        for (let at = 0; at < rest.length; at += 2)
          fields.set(rest[at]?.slice(0, -1) ?? '', rest[at + 1] ?? '')
        const names = routers.map((router) => {
          const reader = { get: (name: string) => fields.get(name) ?? null }
          return router.match(url.slice(0, slash), url.slice(slash), method, reader, new RouteMatch())?.name
        })
        assert.deepEqual(names, [from, to], example)
      }
    }),
    { numRuns: 300 },
  )
})
