import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerationPlan } from './generation.ts'
import { PlanPacker, packPlan, unpackInSteps, unpackPlan } from './packed-plan.ts'
import { slimPlan } from './slim-plan.ts'
import { instancePlan, routePlan } from './test-plans.ts'

const PLAN = {
  number: 3,
  upstreams: [{ name: 'origin' }],
  routes: [routePlan()],
  instances: [instancePlan({ codeHash: 'a' })],
  bundles: [{ codeHash: 'a', code: 'a'.repeat(10_000), sourceMap: '{}', entryFile: '/p.ts' }],
} as unknown as GenerationPlan

test('PlanPacker.pack() writes a plan once for all who have the same, and anew for others', () => {
  const packer = new PlanPacker()
  const named = packer.pack(PLAN, PLAN)
  assert.equal(packer.pack(PLAN, PLAN), named)
  assert.deepEqual(unpackPlan(named), slimPlan(PLAN, PLAN))
  assert.deepEqual(unpackPlan(packer.pack(PLAN, null)), PLAN)
  const whole = packer.pack(PLAN, null)
  packer.forget()
  assert.notEqual(packer.pack(PLAN, null), whole)
  const next = { ...PLAN, number: 4 }
  assert.deepEqual(unpackPlan(packer.pack(next, PLAN)), slimPlan(next, PLAN))
})

test('unpackInSteps() reads any number of routes as they were, a few in a step', () => {
  for (const count of [0, 1, 15, 16, 17, 1_000]) {
    const routes = Array.from({ length: count }, (_, index) => routePlan({ name: `r${index}` }))
    const packed = packPlan({ ...PLAN, routes })
    const steps = unpackInSteps(packed)
    let taken = 0
    while (steps.next().done !== true) taken++
    assert.ok(taken >= count / 16, `${taken} steps for ${count} routes`)
    assert.deepEqual(unpackPlan(packed), { ...PLAN, routes })
  }
})
