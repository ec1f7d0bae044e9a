import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RoutePlan } from '../../protocol/generation.ts'
import { findRouteConflicts, findRouteProblems } from './conflicts.ts'
import { redirect, route } from './test-support.ts'

type Rest = Partial<RoutePlan>

describe('findRouteConflicts() reports', () => {
  const tied: readonly [string, Rest, Rest][] = [
    ['equal routes', {}, {}],
    ['parameters of other names', { paths: ['/a/:x'] }, { paths: ['/a/:y'] }],
    ['one path of several', { paths: ['/a', '/b'] }, { paths: ['/c', '/b'] }],
    ['one host of several', { hosts: ['a.com', 'b.com'] }, { hosts: ['B.com'] }],
    ['one method of several', { methods: ['GET', 'PUT'] }, { methods: ['PUT'] }],
    ['every host, said in two ways', {}, { hosts: ['*'] }],
    ['paths of two spellings', { paths: ['/@a'] }, { paths: ['/%40a'] }],
    ['paths of two escapes', { paths: ['/a%7c'] }, { paths: ['/%61|'] }],
    ['addresses of two spellings', { hosts: ['[::1]'] }, { hosts: ['[0::1]'] }],
    ['equal headers', { headers: { a: '1' } }, { headers: { a: '1' } }],
    ['headers that can both be there', { headers: { a: '1' } }, { headers: { b: '1' } }],
  ]
  for (const [title, one, other] of tied) {
    it(title, () => {
      const found = findRouteConflicts([route('one', one), route('other', other)])
      assert.deepEqual(
        found.map((problem) => problem.route),
        ['other'],
      )
      assert.match(found[0]?.message ?? '', /Route "other" takes the same requests as route "one"/)
    })
  }

  it('a pair once, whatever they share', () => {
    const both = { hosts: ['a.com', 'b.com'], paths: ['/a', '/b'] }
    assert.equal(findRouteConflicts([route('one', both), route('other', both)]).length, 1)
  })

  it('every pair, at the route that stands behind', () => {
    const found = findRouteConflicts([
      route('a', { paths: ['/x'], methods: ['GET', 'PUT'] }),
      route('b', { paths: ['/y', '/x'], methods: ['PUT', 'POST'] }),
      route('c', { paths: ['/x'], methods: ['POST'] }),
      route('d', { paths: ['/y'], methods: ['PUT'] }),
    ])
    const pairs = found.map(({ index, message }) => [index, /as route "(.)"/.exec(message)?.[1]])
    assert.deepEqual(pairs.sort(), [
      [1, 'a'],
      [2, 'b'],
      [3, 'b'],
    ])
  })

  it('each of many routes with one path, and not each pair of them', () => {
    const found = findRouteConflicts(Array.from({ length: 100 }, (_, index) => route(`r${index}`)))
    assert.deepEqual(new Set(found.map(({ index }) => index)).size, 99)
    assert.equal(found.length, 1 + 2 + 3 * 97)
  })

  it('the path and the host', () => {
    const [problem] = findRouteConflicts([route('a', { paths: ['/x'] }), route('b', { paths: ['/x'] })])
    assert.match(problem?.message ?? '', /path "\/x" on every host, and neither/)
  })
})

describe('findRouteConflicts() accepts', () => {
  const apart: readonly [string, Rest, Rest][] = [
    ['a path twice in one route', { paths: ['/a', '/a', '/:x', '/:y'] }, { paths: ['/b'] }],
    ['the prefix and its own path', { paths: ['/a'] }, { paths: ['/a/*'] }],
    ['a slash at the end', { paths: ['/a'] }, { paths: ['/a/'] }],
    ['a literal and a parameter', { paths: ['/a'] }, { paths: ['/:x'] }],
    ['other methods', { methods: ['GET'] }, { methods: ['PUT'] }],
    ['GET and HEAD', { methods: ['GET'] }, { methods: ['HEAD'] }],
    ['a method and every method', { methods: ['GET'] }, {}],
    ['a host and every host', { hosts: ['a.com'] }, {}],
    ['a port and every port', { hosts: ['a.com'] }, { hosts: ['a.com:80'] }],
    ['a wildcard and its parent', { hosts: ['*.a.com'] }, { hosts: ['a.com'] }],
    ['more headers', { headers: { a: '1' } }, { headers: { a: '1', b: '1' } }],
    ['a value and its presence', { headers: { a: '1' } }, { headers: { a: null } }],
    ['values that exclude each other', { headers: { a: '1', b: '1' } }, { headers: { a: '2', c: '1' } }],
  ]
  for (const [title, one, other] of apart) {
    it(title, () => assert.deepEqual(findRouteConflicts([route('one', one), route('other', other)]), []))
  }
})

describe('findRouteProblems()', () => {
  it('reports all routes that do not compile, and conflicts among the others', () => {
    const routes = [
      route('a', { paths: ['/%'] }),
      route('b'),
      { ...redirect('evil'), name: 'c' },
      route('d', { hosts: [''] }),
      route('e'),
    ]
    assert.deepEqual(
      findRouteProblems(routes).map((problem) => problem.route),
      ['a', 'c', 'd', 'e'],
    )
    assert.deepEqual(
      findRouteProblems(routes).map((problem) => problem.index),
      [0, 2, 3, 4],
    )
  })

  it('finds none in sound routes', () => assert.deepEqual(findRouteProblems([route('a')]), []))
})
