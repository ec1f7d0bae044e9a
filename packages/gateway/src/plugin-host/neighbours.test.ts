import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Placement } from '@cardea/sdk'
import * as esbuild from 'esbuild'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { neighboursIn } from '../protocol/neighbours.ts'
import { instancePlan, routePlan } from '../protocol/test-plans.ts'
import { InstancePool } from './instance-pool.ts'
import { rehearse } from './rehearsal.ts'
import { bundleOf, generationPlan, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What `validateConfig` of the plugins of these tests was told, by the instance's `as`. */
const placements: Record<string, Placement> = {}
Object.assign(globalThis, { placements })

const PLUGIN = bundleOf(`declare const placements: Record<string, unknown>
export const PluginMain = (config: any): any => ({
  name: config.as,
  handle: () => true,
  validateConfig({ as }: any, placement: any) {
    placements[as] = placement
    if (placement.others.some(({ config }: any) => config.alone)) throw new Error(as + ' is not alone')
  },
  updateConfig: (next: any) => PluginMain(next),
})`)

interface Spec {
  readonly as: string
  readonly plugin?: string
  readonly config?: object
  readonly routes?: readonly string[]
}

function planOf(...specs: readonly Spec[]): GenerationPlan {
  const instances = specs.map(({ as, plugin = 'sample', config }, id): InstancePlan => {
    const key = JSON.stringify([as, config])
    return instancePlan({
      id,
      key,
      name: `i-${as}`,
      plugin,
      codeHash: PLUGIN.codeHash,
      config: { as, ...config },
    })
  })
  const plan = generationPlan([PLUGIN], instances)
  const names = [...new Set(specs.flatMap(({ routes = [] }) => routes))]
  const chainOf = (name: string) =>
    specs.flatMap(({ routes = [] }, id) => (routes.includes(name) ? [id] : []))
  return { ...plan, routes: names.map((name) => routePlan({ name, chain: chainOf(name) })) }
}

const A: Spec = { as: 'a', routes: ['one', 'two'] }
const B: Spec = { as: 'b', routes: ['two'] }
const STRANGER: Spec = { as: 'c', plugin: 'other', routes: ['one'] }
const IDLE: Spec = { as: 'd' }

const shown = ({ as, routes = [] }: Spec) => ({ name: `i-${as}`, config: { as }, routes })

test('validateConfig() is told of the instance’s routes, and of the others of its plugin', async () => {
  await new InstancePool({ log: recordingLog().log }).stage(planOf(A, B, STRANGER, IDLE))
  assert.deepEqual(placements, {
    a: { routes: ['one', 'two'], others: [shown(B), shown(IDLE)] },
    b: { routes: ['two'], others: [shown(A), shown(IDLE)] },
    c: { routes: ['one'], others: [] },
    d: { routes: [], others: [shown(A), shown(B)] },
  })
  const [other] = placements.a?.others ?? []
  assert.ok(Object.isFrozen(placements.a?.others) && Object.isFrozen(other?.config))
})

test('validateConfig() of the one that is new sees those that are carried, also after updateConfig', async () => {
  const pool = new InstancePool({ log: recordingLog().log })
  const first = await pool.stage(planOf({ ...A, config: { alone: true } }))
  first.commit()
  await assert.rejects(pool.stage(planOf({ ...A, config: { alone: true } }, B)), /b is not alone/)
  const both = await pool.stage(planOf(A, B))
  both.commit()
  assert.deepEqual(placements.b?.others, [shown(A)])
  // Made of the living `b` by its updateConfig: only the config differs.
  await assert.rejects(
    pool.stage(planOf({ ...A, config: { alone: true } }, { ...B, as: 'b', config: { x: 1 } })),
    /is not alone/,
  )
})

test('rehearse() tells of what is not tried as well, and a former instance of nothing', async () => {
  const whole = planOf(A, { ...B, config: { alone: true } })
  const part = { ...whole, routes: [], instances: whole.instances.filter(({ id }) => id === 0) }
  const neighbours = neighboursIn(whole, new Set(['sample']))
  const rehearsal = rehearse(part, {
    log: recordingLog().log,
    neighbours,
    formerConfigs: { 0: { as: 'former' } },
  })
  await assert.rejects(rehearsal, /a is not alone/)
  assert.deepEqual(placements.former, { routes: [], others: [] })
})

test('neighboursIn() takes plans that differ only in how they are called for one instance', () => {
  const plan = planOf(A, B)
  const [first, second] = plan.instances
  assert.ok(first !== undefined && second !== undefined)
  const alike = {
    ...plan,
    instances: [first, { ...second, key: first.key, config: first.config, priority: 7 }],
  }
  const found = neighboursIn(alike, new Set(['sample']))
  const routes = found.map((neighbour) => neighbour.routes)
  assert.deepEqual(routes, [['one', 'two']])
})
