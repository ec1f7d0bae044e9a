import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packPlan } from '../packages/gateway/src/protocol/packed-plan.ts'
import type { SlimPlan } from '../packages/gateway/src/protocol/slim-plan.ts'
import type { SupervisorToWorker } from '../packages/gateway/src/protocol/supervisor-worker.ts'
import { planOf, respond } from './support/data-plane.ts'
import { LoneWorker } from './support/lone-worker.ts'

const BASE = { ...planOf({ routes: [{ name: 'all', action: respond(204, '') }] }), number: 1 }
const [ROUTE] = BASE.routes
assert.ok(ROUTE)
const MANY = {
  ...BASE,
  number: 2,
  routes: Array.from({ length: 20_000 }, (_, index) => ({ ...ROUTE, name: `r${index}` })),
}

test('a worker reads a plan of very many routes between other things, and what concerns changes waits', async (t) => {
  const worker = await LoneWorker.start(t, BASE.settings, BASE)
  const order: string[] = []
  const ask = async (message: (id: number) => SupervisorToWorker): Promise<void> => {
    const answer = await worker.request(message)
    order.push(answer.kind === 'stage-failed' ? answer.failure.message : answer.kind)
  }
  const stage = (plan: SlimPlan) => ask((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  const lacking = { ...MANY, bundles: [{ codeHash: 'unknown', code: null }] }
  await Promise.all([stage(lacking), ask((id) => ({ kind: 'census', id }))])
  assert.deepEqual(order.splice(0), ['census', 'bundles-missing'])
  const staged = stage(MANY)
  worker.send({ kind: 'discard', generation: 2 })
  await staged
  assert.deepEqual(order, ['Given up: it was discarded'])
})
