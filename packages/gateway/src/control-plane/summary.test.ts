import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerationPlan, InstancePlan, RouteAction, RoutePlan } from '../protocol/generation.ts'
import { summarise } from './summary.ts'

const route = (action: RouteAction, chain: readonly number[] = []) =>
  ({ name: 'r', hosts: [], paths: ['/*'], methods: [], action, chain }) as unknown as RoutePlan

function summaryOf(one: RoutePlan, quarantined = false) {
  const instances = [
    { id: 1, name: 'auth', plugin: 'auth', quarantined },
    { id: 2, name: 'login-limit', plugin: 'rate-limit', quarantined },
  ] as InstancePlan[]
  const upstreams = [{ name: 'app', targets: [{ url: 'http://a:1' }, { url: 'http://b:2' }] }]
  const plan = { number: 3, settings: { workers: 2 }, routes: [one], instances, upstreams }
  return summarise(plan as unknown as GenerationPlan)
}

test('summarise() names the chain in order, with the plugin where the instance has another name', () => {
  const { routes, generation, workers } = summaryOf(
    route({ kind: 'upstream', upstream: 'app', host: { kind: 'target' } }, [2, 1]),
  )
  assert.deepEqual([generation, workers], [3, 2])
  assert.deepEqual(routes[0]?.chain, ['login-limit (rate-limit)', 'auth'])
  assert.equal(routes[0]?.action, 'http://a:1, http://b:2')
})

test('summarise() says what is quarantined: the chain would look sound, and its requests be refused', () => {
  const { routes } = summaryOf(route({ kind: 'redirect', status: 302, location: '/' }, [2, 1]), true)
  assert.deepEqual(routes[0]?.chain, ['login-limit (rate-limit, quarantined)', 'auth (quarantined)'])
})

test('summarise() says what a route without upstream does', () => {
  const respond = route({ kind: 'respond', status: 404, headers: {}, body: '' })
  const redirect = route({ kind: 'redirect', status: 302, location: '/new' })
  assert.equal(summaryOf(respond).routes[0]?.action, 'answer 404')
  assert.equal(summaryOf(redirect).routes[0]?.action, 'redirect 302 /new')
})
