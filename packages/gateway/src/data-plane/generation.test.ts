import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allSteps } from '../base/steps.ts'
import type { GenerationPlan, RoutePlan } from '../protocol/generation.ts'
import { type Generation, type GenerationParts, generationInSteps } from './generation.ts'
import { RouteMatch } from './routing/router.ts'
import { redirect, route } from './routing/test-support.ts'

/** Of routes that need no instances and no upstreams. */
const stepsOf = (routes: readonly RoutePlan[], previous: Generation | null) => {
  const settings = { debug: false, viaName: 'cardea' }
  const plan = { number: 1, settings, routes, instances: [], upstreams: [] } as unknown as GenerationPlan
  const parts = { instances: new Map(), onFree() {} } as unknown as GenerationParts
  return generationInSteps(plan, parts, previous)
}

const generationOf = (routes: readonly RoutePlan[], previous: Generation | null = null): Generation =>
  allSteps(stepsOf(routes, previous))

const answering = (body: string, rest: Partial<RoutePlan> = {}): RoutePlan =>
  route('all', { action: { kind: 'respond', status: 200, headers: {}, body }, ...rest })

/** The content of what `GET PATH` is answered with; null: no route takes it. */
function answerOf({ router, routes }: Generation, path: string): string | null {
  const found = router.match('', path, 'GET', { get: () => null }, new RouteMatch())
  return found === null ? null : `${routes[found.index]?.answer?.content}`
}

test('generationInSteps() carries the router over where the routes match as they did, and nothing else of them', () => {
  const first = generationOf([answering('one')])
  const second = generationOf([answering('two', { requestBodyBytesMax: 5 })], first)
  assert.equal(second.router, first.router)
  assert.equal(answerOf(second, '/x'), 'two')
  assert.equal(second.routes[0]?.plan.requestBodyBytesMax, 5)
  assert.equal(answerOf(first, '/x'), 'one')
})

test('generationInSteps() compiles a router of its own for anything that it decides by', () => {
  const changes: readonly Partial<RoutePlan>[] = [
    { name: 'other' },
    { paths: ['/a/*'] },
    { hosts: ['a.com'] },
    { methods: ['GET'] },
    { headers: { 'x-a': null } },
    { allowInPath: ['empty_segment'] },
    { stripPrefix: '/a' },
    { rewrite: '/a' },
  ]
  const first = generationOf([answering('one')])
  for (const change of changes) {
    const next = generationOf([answering('one', change)], first)
    assert.notEqual(next.router, first.router, JSON.stringify(change))
    assert.equal(next.routes[0]?.compiled, next.router.routes[0])
  }
  assert.notEqual(
    generationOf([answering('one'), answering('b', { name: 'b', paths: ['/b'] })], first).router,
    first.router,
  )
  assert.notEqual(generationOf([], first).router, first.router)
  const moved = generationOf([redirect('/a')])
  assert.equal(generationOf([redirect('/a')], moved).router, moved.router)
  assert.notEqual(generationOf([redirect('/b')], moved).router, moved.router)
  const named = generationOf([answering('one', { headers: { 'x-a': '1' } })])
  assert.notEqual(generationOf([answering('one', { headers: { 'x-a': '2' } })], named).router, named.router)
})

test('generationInSteps() has a step for each route, whether it compiles them or not', () => {
  const many = Array.from({ length: 300 }, (_, index) =>
    answering('one', { name: `r${index}`, paths: [`/${index}`] }),
  )
  const stepsIn = (previous: Generation | null): number => {
    let count = 0
    for (const steps = stepsOf(many, previous); steps.next().done !== true; ) count++
    return count
  }
  assert.ok(stepsIn(null) >= 2 * many.length)
  assert.ok(stepsIn(generationOf(many)) >= 2 * many.length)
  assert.equal(answerOf(generationOf(many), '/299'), 'one')
})
