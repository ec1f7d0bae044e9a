import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { type RehearsalOptions, rehearse } from './rehearsal.ts'
import { bundleOf, generationPlan, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What the plugins of these tests tell the tests; they have no other way out of their bundle. */
const told: unknown[] = []
Object.assign(globalThis, { told })

const PLUGIN = bundleOf(`declare const told: unknown[]
export const PluginMain = (config: any, host: any) => {
  told.push('main ' + config.as)
  if (config.broken) throw new Error('broken')
  const hits = host.state('hits', 1, () => ({ by: config.as }))
  const made = (config: any): any => ({
    name: config.as,
    handle: () => true,
    updateConfig(next: any) {
      told.push(config.as + ' to ' + next.as)
      if (next.refused) throw new Error('refused')
      return made(next)
    },
    stop: () => void told.push('stop ' + config.as),
  })
  return made(config)
}`)

function planOf(...instances: readonly Partial<InstancePlan>[]): GenerationPlan {
  return generationPlan(
    [PLUGIN],
    instances.map((changes, id) =>
      instancePlan({ id, key: `${id}`, codeHash: PLUGIN.codeHash, config: { as: `new ${id}` }, ...changes }),
    ),
  )
}

async function rehearsed(plan: GenerationPlan, options: Partial<RehearsalOptions> = {}): Promise<unknown[]> {
  told.length = 0
  await rehearse(plan, { log: recordingLog().log, ...options })
  return told.splice(0)
}

test('rehearse() fails by an updateConfig that refuses the new config, and stops everything', async () => {
  const plan = planOf({ config: { as: 'new', refused: true } })
  await assert.rejects(rehearsed(plan, { formerConfigs: { 0: { as: 'old' } } }), {
    code: 'PLUGIN_START_FAILED',
    message: 'Cannot update the config of plugin "sample": refused',
  })
  assert.deepEqual(told, ['main old', 'old to new', 'stop old'])
})

test('rehearse() judges the new config by itself when the former one does not start here', async () => {
  const formerConfigs = { 0: { as: 'old', broken: true } }
  assert.deepEqual(await rehearsed(planOf({}), { formerConfigs }), ['main old', 'main new 0', 'stop new 0'])
})

test('rehearse() makes by updateConfig what follows on a live instance, and nothing else', async () => {
  const plan = planOf({ name: 'base' }, { dependencies: [0] }, { name: 'fresh' })
  assert.deepEqual(await rehearsed(plan, { formerConfigs: { 1: { as: 'old' } } }), [
    'main new 0',
    'main old',
    'old to new 1',
    'main new 2',
    'stop new 2',
    'stop new 1',
    'stop old',
    'stop new 0',
  ])
  assert.deepEqual(await rehearsed(planOf({})), ['main new 0', 'stop new 0'])
})

test('rehearse() fails by a sink that no worker would open', async () => {
  const logger = bundleOf(
    `import type { Host } from '@cardea/sdk'
export const PluginMain = ({ file, ...options }: { file: string }, host: Host) => {
  host.sink(file, options)
  return { name: 'logger', handle: () => true }
}`,
  )
  const rehearsedWith = (config: InstancePlan['config']): Promise<unknown> =>
    rehearsed(
      generationPlan(
        [logger],
        [instancePlan({ id: 0, codeHash: logger.codeHash, permissions: ['sink'], config })],
      ),
    )
  await rehearsedWith({ file: 'folder/file.log', rotatePeriodMs: 1_000, keep: 3 })
  for (const file of ['../up.log', '/tmp/absolute.log', 'access.log.1']) {
    await assert.rejects(rehearsedWith({ file }), { code: 'PLUGIN_START_FAILED' }, file)
  }
  await assert.rejects(rehearsedWith({ file: 'a.log', keep: -1 }), /keep cannot be -1/)
})
