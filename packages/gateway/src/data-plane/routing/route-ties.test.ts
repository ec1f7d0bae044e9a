import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { RoutePlan } from '../../protocol/generation.ts'
import { findRouteConflicts } from './conflicts.ts'
import { RouteTies } from './route-ties.ts'
import { route } from './test-support.ts'

type Conditions = Pick<RoutePlan, 'methods' | 'headers'>

const conditions: fc.Arbitrary<Conditions> = fc.record({
  methods: fc.array(fc.constantFrom('GET', 'PUT', 'POST'), { maxLength: 3 }),
  headers: fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'constructor'),
    fc.constantFrom('1', '2', null, '"', '1,2'),
    { maxKeys: 3 },
  ),
})

/** The rule as docs/guides/routing.md has it, of one pair. */
function areTied(one: Conditions, other: Conditions): boolean {
  const methodsMeet =
    one.methods.length === 0 || other.methods.length === 0
      ? one.methods.length === other.methods.length
      : one.methods.some((method) => other.methods.includes(method))
  const [names, otherNames] = [one, other].map(({ headers }) => Object.keys(headers))
  const [values, otherValues] = [one, other].map(({ headers }) =>
    Object.entries(headers).filter(([, value]) => value !== null),
  )
  const isAsSpecific = names?.length === otherNames?.length && values?.length === otherValues?.length
  const excludes = values?.some(([name, value]) =>
    otherValues?.some(([otherName, otherValue]) => name === otherName && value !== otherValue),
  )
  return methodsMeet && isAsSpecific && excludes !== true
}

describe('RouteTies', () => {
  it('finds of each route the first that are tied with it, as a comparison of each pair does', () => {
    fc.assert(
      fc.property(fc.array(conditions, { maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (routes, max) => {
        const ties = new RouteTies()
        for (const [index, added] of routes.entries()) {
          const earlier = [...routes.keys()].slice(0, index)
          const expected = earlier.filter((other) => areTied(added, routes[other] ?? added)).slice(0, max)
          assert.deepEqual(ties.add(added, max), expected)
        }
      }),
    )
  })
})

describe('findRouteConflicts()', () => {
  const sets: readonly [string, (index: number) => RoutePlan['headers']][] = [
    ['a value of one header each', (index) => ({ tenant: `${index}` })],
    ['a header of its own each', (index) => ({ [`x-${index}`]: '1' })],
    ['the same header', () => ({ tenant: '1' })],
  ]
  for (const [title, headersOf] of sets) {
    it(`looks at each of many routes of one path a few times, and not at each pair: ${title}`, () => {
      let looks = 0
      const routes = Array.from({ length: 500 }, (_, index) => {
        const headers = headersOf(index)
        return Object.defineProperty(route(`r${index}`), 'headers', {
          get: () => {
            looks++
            return headers
          },
        })
      })
      findRouteConflicts(routes)
      assert.ok(looks <= 4 * routes.length, `${looks} looks at ${routes.length} routes`)
    })
  }
})
