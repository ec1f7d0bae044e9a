import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerationPlan } from '../protocol/generation.ts'
import { formerConfigs } from './former-configs.ts'
import { plugin, resolved } from './test-chains.ts'

type Config = Readonly<Record<string, unknown>>

/** What `limit` depends on, `limit` with one config for each route, and another plugin. */
function planOf(configs: readonly Config[], incarnations: Record<string, number> = {}): GenerationPlan {
  const plugins = [
    plugin('auth', { scope: 'route' }),
    plugin('limit', { dependencies: { auth: '*' } }),
    plugin('other'),
  ]
  const routes = Object.fromEntries(configs.map((config, index) => [`r${index}`, { limit: { config } }]))
  return resolved(plugins, routes, {}, { incarnations }) as unknown as GenerationPlan
}

/** By the new config. */
function pairs(live: GenerationPlan, next: GenerationPlan): [unknown, unknown][] {
  const found = formerConfigs(live, next)
  return next.instances.flatMap(({ id, config }) => (id in found ? [[config, found[id]]] : []))
}

test('formerConfigs() leaves out what is made anew for another reason than its config', () => {
  const live = planOf([{ size: 1 }])
  assert.deepEqual(pairs(live, planOf([{ size: 2 }], { limit: 1 })), [])
  assert.deepEqual(pairs(live, planOf([{ size: 2 }], { auth: 1 })), [], 'its dependency is another one')
  assert.deepEqual(pairs(live, planOf([{ size: 1 }])), [])
  const code = live.instances.map((one) => ({ ...one, codeHash: 'another', key: `${one.key} another` }))
  assert.deepEqual(pairs(live, { ...live, instances: code }), [])
})

test('formerConfigs() pairs what differs in the config alone, one successor for each', () => {
  const live = planOf([{ size: 1 }, { size: 2 }, { size: 3 }])
  assert.deepEqual(pairs(live, planOf([{ size: 4 }, { size: 2 }, { size: 5 }, { size: 6 }])), [
    [{ size: 4 }, { size: 1 }],
    [{ size: 5 }, { size: 3 }],
  ])
})

test('formerConfigs() takes plans that are called in different ways for one instance', () => {
  const twice = (plan: GenerationPlan): GenerationPlan => {
    const again = plan.instances.map((one) => ({ ...one, id: one.id + 100, timeoutMs: 5 }))
    return { ...plan, instances: [...plan.instances, ...again] }
  }
  const [live, next] = [twice(planOf([{ size: 1 }])), twice(planOf([{ size: 2 }]))]
  assert.deepEqual(pairs(live, next), [[{ size: 2 }, { size: 1 }]])
  assert.deepEqual(
    pairs(twice(planOf([{ size: 1 }, { size: 2 }])), planOf([{ size: 3 }, { size: 4 }, { size: 5 }])),
    [
      [{ size: 3 }, { size: 1 }],
      [{ size: 4 }, { size: 2 }],
    ],
  )
})
