import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { InstancePool } from './instance-pool.ts'
import { bundleOf, carriedAndStarted, generationPlan, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What the plugins of these tests tell the tests; they have no other way out of their bundle. */
const told: unknown[] = []
let gate = Promise.withResolvers<void>()
Object.assign(globalThis, { told, gate: () => gate.promise })

/** Says what is called, and does what its config says. */
const UPDATABLE = bundleOf(`declare const told: unknown[]; declare const gate: () => Promise<void>
export const PluginMain = (config: any, host: any) => {
  told.push('main ' + config.as)
  host.signal.addEventListener('abort', () => told.push('abort'))
  const timer = host.setInterval(() => {}, 1_000)
  const made = (config: any): any => ({
    name: config.as,
    handle: () => true,
    validateConfig(own: any) {
      if (own.invalid) throw new Error('invalid')
      told.push('validate ' + own.as)
    },
    healthCheck() {
      if (config.ill) throw new Error('ill')
      told.push('health ' + config.as)
    },
    async updateConfig(next: any) {
      told.push(config.as + ' to ' + next.as)
      for (let n = 0; n < (next.states ?? 0); n++) host.state(next.as + n, 1, () => n)
      if (next.wait) await gate()
      if (next.fail) throw new Error('no update')
      if (next.same) return this
      if (next.nothing) return undefined
      return made(next)
    },
    async stop() {
      if (config.slow) await gate()
      told.push('stop ' + config.as)
    },
  })
  return made(config)
}`)
const PLAIN = bundleOf(`declare const told: unknown[]
export const PluginMain = (config: any) => {
  told.push('main ' + config.as)
  return { name: config.as, handle: () => true, stop() { told.push('stop ' + config.as) } }
}`)

type Config = { readonly as: string } & Readonly<Record<string, unknown>>

function plan(config: Config, changes: Partial<InstancePlan> = {}): InstancePlan {
  const all = { codeHash: UPDATABLE.codeHash, config, key: JSON.stringify([config, changes]), ...changes }
  return instancePlan(all)
}

function generation(...plans: readonly InstancePlan[]): GenerationPlan {
  return generationPlan(
    [UPDATABLE, PLAIN],
    plans.map((one, id) => ({ ...one, id })),
  )
}

function openPool(): { pool: InstancePool; saw(...expected: readonly unknown[]): void } {
  told.length = 0
  gate = Promise.withResolvers()
  const pool = new InstancePool({ log: recordingLog().log, startTimeoutMs: 10_000 })
  return { pool, saw: (...expected) => assert.deepEqual(told.splice(0), expected) }
}

async function live(pool: InstancePool, ...plans: readonly InstancePlan[]) {
  const staged = await pool.stage(generation(...plans))
  staged.commit()
  return staged
}

test('updateConfig() that refuses fails the stage, and the instance serves on as it is', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one' }))
  saw('main one', 'validate one', 'health one')
  const cases: [Config, string, readonly unknown[]][] = [
    [{ as: 'x', fail: true }, 'no update', ['one to x']],
    [{ as: 'x', invalid: true }, 'invalid', ['one to x', 'stop x']],
    [{ as: 'x', ill: true }, 'ill', ['one to x', 'validate x', 'stop x']],
    [{ as: 'x', nothing: true }, 'updateConfig returned undefined instead of a middleware', ['one to x']],
    [{ as: 'x', same: true }, 'updateConfig returned the middleware that it was called on', ['one to x']],
  ]
  for (const [config, message, expected] of cases) {
    await assert.rejects(pool.stage(generation(plan(config))), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'PLUGIN_START_FAILED')
      assert.ok(
        error.message.startsWith(`Cannot update the config of plugin "sample": ${message}`),
        error.message,
      )
      return true
    })
    saw(...expected)
  }
  assert.deepEqual(pool.size, { instances: 1, bundles: 1 })
  await first.release()
  saw('abort', 'stop one')
})

test('updateConfig() that fails, or whose change does, takes none of the states that a later one may have', async () => {
  const { pool } = openPool()
  const states = PLUGIN_LIMITS.statesMax
  const first = await live(pool, plan({ as: 'one' }))
  const failing = pool.stage(generation(plan({ as: 'fails', states, fail: true })))
  await assert.rejects(failing, /no update/)
  const discarded = await pool.stage(generation(plan({ as: 'discarded', states })))
  await discarded.release()
  // The stop of this one waits.
  const releasing = (await pool.stage(generation(plan({ as: 'slow', states, slow: true })))).release()
  const second = await live(pool, plan({ as: 'two', states: states - 1 }))
  // What is live counts.
  const further = pool.stage(generation(plan({ as: 'three', states: 2 })))
  await assert.rejects(further, /has 1000 states; keep what there are many of inside/)
  const last = await live(pool, plan({ as: 'three', states: 1 }))
  gate.resolve()
  await releasing
  for (const one of [first, second, last]) await one.release()
})

test('updateConfig() that never settles is given up, and stopped should it settle after all', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one' }))
  const giveUp = new AbortController()
  const staging = pool.stage(generation(plan({ as: 'two', wait: true })), giveUp.signal)
  while (told.at(-1) !== 'one to two') await new Promise((turn) => setImmediate(turn))
  giveUp.abort(new Error('discarded'))
  await assert.rejects(staging, /discarded/)
  saw('main one', 'validate one', 'health one', 'one to two')
  gate.resolve()
  while (told.length === 0) await new Promise((turn) => setImmediate(turn))
  saw('stop two')
  await first.release()
  saw('abort', 'stop one')
})

test('updateConfig() makes the instance of another config; the host lives until the last of them has stopped', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one' }))
  const second = await live(pool, plan({ as: 'two' }))
  saw('main one', 'validate one', 'health one', 'one to two', 'validate two', 'health two')
  assert.deepEqual(carriedAndStarted(second, first), [0, ['sample']])
  const [old, next] = [first.instances.get(0), second.instances.get(0)]
  assert.deepEqual([old?.plan.config, next?.plan.config], [{ as: 'one' }, { as: 'two' }])
  assert.equal(next?.middleware.name, 'two')
  const third = await live(pool, plan({ as: 'three' }))
  saw('two to three', 'validate three', 'health three')
  await second.release()
  await first.release()
  saw('stop two', 'stop one')
  await third.release()
  saw('abort', 'stop three')
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('an older instance of the family may stop last', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one', slow: true }))
  const second = await live(pool, plan({ as: 'two' }))
  told.length = 0
  const releasing = first.release()
  await second.release()
  saw('abort', 'stop two')
  gate.resolve()
  await releasing
  saw('stop one')
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('a discarded generation takes only its own middleware with it', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one' }))
  const staged = await pool.stage(generation(plan({ as: 'two' })))
  told.length = 0
  await staged.release()
  saw('stop two')
  const second = await live(pool, plan({ as: 'three' }))
  saw('one to three', 'validate three', 'health three')
  await first.release()
  await second.release()
  saw('stop one', 'abort', 'stop three')
})

test('updateConfig() is not called when more than the config is different', async () => {
  const changes: [string, Partial<InstancePlan>][] = [
    ['code', { codeHash: PLAIN.codeHash }],
    ['name', { name: 'other' }],
    ['permissions', { permissions: ['kv'] }],
    ['incarnation', { incarnation: 1 }],
  ]
  for (const [what, change] of changes) {
    const { pool } = openPool()
    const first = await live(pool, plan({ as: 'one' }))
    const second = await live(pool, plan({ as: 'two' }, change))
    assert.ok(told.includes('main two') && !told.includes('one to two'), what)
    await first.release()
    await second.release()
  }
})

test('updateConfig() is not called when a dependency was made anew, which the instance would go on using', async () => {
  const { pool } = openPool()
  const base = (as: string) => plan({ as }, { name: 'base', plugin: 'base', codeHash: PLAIN.codeHash })
  const user = (as: string) => plan({ as }, { dependencies: [0] })
  const first = await live(pool, base('b1'), user('one'))
  const second = await live(pool, base('b1'), user('two'))
  assert.ok(told.includes('one to two'))
  const third = await live(pool, base('b2'), user('three'))
  assert.ok(told.includes('main three') && !told.includes('two to three'))
  for (const staged of [first, second, third]) await staged.release()
})

test('updateConfig() has one successor for one instance, and none for one that goes on', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'a' }), plan({ as: 'b' }))
  told.length = 0
  const second = await live(pool, plan({ as: 'a' }), plan({ as: 'c' }), plan({ as: 'd' }))
  saw('b to c', 'validate c', 'health c', 'main d', 'validate d', 'health d')
  await first.release()
  saw('stop b')
  await second.release()
  saw('abort', 'stop d', 'abort', 'stop c', 'abort', 'stop a')
})

test('updateConfig() is called on what is live, not on what was staged and never committed or is gone', async () => {
  const { pool, saw } = openPool()
  const staged = await pool.stage(generation(plan({ as: 'one' })))
  const second = await live(pool, plan({ as: 'two' }))
  saw('main one', 'validate one', 'health one', 'main two', 'validate two', 'health two')
  await staged.release()
  await second.release()
  told.length = 0
  const third = await live(pool, plan({ as: 'three' }))
  saw('main three', 'validate three', 'health three')
  await third.release()
})

test('an instance whose generation is freed while it is updated stops after that', async () => {
  const { pool, saw } = openPool()
  const first = await live(pool, plan({ as: 'one' }))
  told.length = 0
  const staging = live(pool, plan({ as: 'two', wait: true }))
  while (told.at(-1) !== 'one to two') await new Promise((turn) => setImmediate(turn))
  await first.release()
  saw('one to two')
  gate.resolve()
  const second = await staging
  saw('validate two', 'health two', 'stop one')
  await second.release()
  saw('abort', 'stop two')
})
