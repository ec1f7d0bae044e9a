import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { InstancePool } from './instance-pool.ts'
import { bundleOf, carriedAndStarted, generationPlan, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What the plugins of these tests tell the tests; they have no other way out of their bundle. */
const told: unknown[] = []
/** What a plugin with `wait` in its config waits for. */
let gate = Promise.withResolvers<void>()
Object.assign(globalThis, { told, gate: () => gate.promise })

const NAMED = bundleOf(`declare const told: unknown[]; declare const gate: () => Promise<void>
told.push('loaded')
export const PluginMain = async (config: any) => {
  told.push('start ' + config.as)
  if (config.wait) await gate()
  if (config.fail) throw new Error('no')
  return { name: config.as, handle: () => true, async stop() {
    if (config.slow) await gate()
    told.push('stop ' + config.as)
  } } }`)

/** An instance by its key, whose first part is its name: `a`, or `a 2` for another one of that name. */
type Spec = string | { readonly key: string; readonly config?: object; readonly plan?: Partial<InstancePlan> }

function planOf(...specs: readonly Spec[]): GenerationPlan {
  const instances = specs.map((spec, id) => {
    const { key, config = {}, plan = {} } = typeof spec === 'string' ? { key: spec } : spec
    const name = key.split(' ')[0] ?? key
    return instancePlan({
      id,
      name,
      key,
      codeHash: NAMED.codeHash,
      config: { as: key, ...config },
      ...plan,
    })
  })
  return generationPlan([NAMED], instances)
}

function openPool(): { pool: InstancePool; saw(expected: readonly unknown[]): void } {
  told.length = 0
  gate = Promise.withResolvers()
  const pool = new InstancePool({ log: recordingLog().log, stopTimeoutMs: 10_000 })
  return { pool, saw: (expected) => assert.deepEqual(told.splice(0), expected) }
}

test('stage() stops those already started, in reverse, when one fails, and nothing that is carried', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf('a', 'b'))
  saw(['loaded', 'start a', 'start b'])
  const failing = planOf('a', 'x', 'b', 'y', { key: 'z', config: { fail: true } }, 'never')
  await assert.rejects(pool.stage(failing), { code: 'PLUGIN_START_FAILED', plugin: 'z' })
  saw(['start x', 'start y', 'start z', 'stop y', 'stop x'])
  assert.deepEqual(pool.size, { instances: 2, bundles: 1 })
  await first.release()
  saw(['stop b', 'stop a'])
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('stage() refuses a plan without the bundle of an instance, and forgets code that does not load', async () => {
  const { pool } = openPool()
  const plan = { ...planOf('a', 'b'), bundles: [] }
  await assert.rejects(pool.stage(plan), {
    code: 'INTERNAL_ERROR',
    message: 'The generation has no bundle for "a"',
  })
  const broken = bundleOf(`throw new Error('top level')`)
  const instances = [instancePlan({ codeHash: broken.codeHash, key: 'x' })]
  await assert.rejects(pool.stage(generationPlan([broken], instances)), { code: 'PLUGIN_START_FAILED' })
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('stage() gives up when its signal aborts, and what it acquired with it', async () => {
  const { pool, saw } = openPool()
  const giveUp = new AbortController()
  const staging = pool.stage(planOf('a', { key: 'b', config: { wait: true } }, 'c'), giveUp.signal)
  while (told.at(-1) !== 'start b') await new Promise((turn) => setImmediate(turn))
  giveUp.abort(new Error('discarded'))
  await assert.rejects(staging, /discarded/)
  saw(['loaded', 'start a', 'start b', 'stop a'])
  await assert.rejects(pool.stage(planOf('a'), AbortSignal.abort(new Error('before'))), /before/)
  gate.resolve()
  await pool.close()
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('stage() lets others have a turn between load and start, and starts nothing when that gives it up', async () => {
  for (const isGivenUp of [false, true]) {
    told.length = 0
    const giveUp = new AbortController()
    const onStep = (_: string, step: string): void => {
      if (step !== 'load') return
      setImmediate(() => {
        told.push('a turn')
        if (isGivenUp) giveUp.abort(new Error('discarded'))
      })
    }
    const pool = new InstancePool({ log: recordingLog().log, onStep })
    const staging = pool.stage(planOf('a'), giveUp.signal)
    if (isGivenUp) await assert.rejects(staging, /discarded/)
    else await (await staging).release()
    assert.deepEqual(told, ['loaded', 'a turn', ...(isGivenUp ? [] : ['start a', 'stop a'])])
    assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
  }
})

test('stage() waits for the one before: no key is started twice', async () => {
  const { pool, saw } = openPool()
  const slow = pool.stage(planOf({ key: 'a', config: { wait: true } }))
  const second = pool.stage(planOf('a', 'b'))
  gate.resolve()
  const generations = await Promise.all([slow, second])
  saw(['loaded', 'start a', 'start b'])
  assert.equal(generations[0].instances.get(0), generations[1].instances.get(0))
  for (const generation of generations) await generation.release()
  saw(['stop b', 'stop a'])
})

test('stage() carries what has an equal key and makes the rest', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf('a', 'b 1', 'c'))
  const second = await pool.stage(planOf('c', 'a', 'b 2'))
  saw(['loaded', 'start a', 'start b 1', 'start c', 'start b 2'])
  assert.deepEqual(carriedAndStarted(first), [0, ['a', 'b', 'c']])
  assert.deepEqual(carriedAndStarted(second, first), [2, ['b']])
  assert.equal(second.instances.get(1), first.instances.get(0))
  assert.equal(second.instances.get(0), first.instances.get(2))
  await first.release()
  saw(['stop b 1'])
  await second.release()
  saw(['stop b 2', 'stop a', 'stop c'])
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('stage() makes one instance of plans that differ only in how they are called', async () => {
  const { pool, saw } = openPool()
  const staged = await pool.stage(planOf('a', { key: 'a', plan: { timeoutMs: 5 } }))
  saw(['loaded', 'start a'])
  assert.equal(staged.instances.get(0), staged.instances.get(1))
  assert.deepEqual(carriedAndStarted(staged), [0, ['a']])
  await staged.release()
  saw(['stop a'])
})

test('release() runs once, however often it is called', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf('a'))
  const second = await pool.stage(planOf('a'))
  assert.equal(first.release(), first.release())
  await first.release()
  saw(['loaded', 'start a'])
  await second.release()
  saw(['stop a'])
})

test('release() lets go of a dependency only when its dependent has stopped', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf('base', { key: 'dependent', config: { slow: true } }))
  const second = await pool.stage(planOf('base'))
  saw(['loaded', 'start base', 'start dependent'])
  const releasing = first.release()
  await second.release()
  saw([])
  gate.resolve()
  await releasing
  saw(['stop dependent', 'stop base'])
})

test('stage() does not carry an instance that is stopping', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf({ key: 'a', config: { slow: true } }))
  const releasing = first.release()
  const second = await pool.stage(planOf('a'))
  assert.deepEqual(carriedAndStarted(second, first), [0, ['a']])
  gate.resolve()
  await releasing
  saw(['loaded', 'start a', 'start a', 'stop a'])
  assert.deepEqual(pool.size, { instances: 1, bundles: 1 })
  const third = await pool.stage(planOf('a'))
  assert.deepEqual(carriedAndStarted(third, second), [1, []])
  for (const generation of [second, third]) await generation.release()
  saw(['stop a'])
})

test('a bundle is run once while an instance of it lives, and again after that', async () => {
  const { pool, saw } = openPool()
  const first = await pool.stage(planOf('a'))
  const second = await pool.stage(planOf('b'))
  await first.release()
  const third = await pool.stage(planOf('c'))
  saw(['loaded', 'start a', 'start b', 'stop a', 'start c'])
  await second.release()
  await third.release()
  saw(['stop b', 'stop c'])
  await (await pool.stage(planOf('a'))).release()
  saw(['loaded', 'start a', 'stop a'])
})

test('close() stops what is held still, in reverse, after the stage that runs', async () => {
  const { pool, saw } = openPool()
  const held = await pool.stage(planOf('a', 'b'))
  const staging = pool.stage(planOf('a', { key: 'c', config: { wait: true } }))
  const closing = pool.close()
  gate.resolve()
  const late = await staging
  await closing
  saw(['loaded', 'start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
  for (const generation of [held, late]) await generation.release()
  saw([])
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})

test('stage() announces each step of each instance before it begins, those of the unwinding too', async () => {
  told.length = 0
  const good = bundleOf(`declare const told: unknown[]
told.push('top level')
    export const PluginMain = (_: unknown, host: { signal: AbortSignal }) => {
      told.push('main')
      host.signal.addEventListener('abort', () => told.push('aborted'))
      return { name: 'good', handle: () => true, stop: () => told.push('stopped') }
    }`)
  const bad = bundleOf(`declare const told: unknown[]
export const PluginMain = () => ({
    name: 'bad', handle: () => true, healthCheck() { throw new Error('ill') } })`)
  const plan = generationPlan(
    [good, bad],
    [
      instancePlan({ id: 1, name: 'first', key: 'first', codeHash: good.codeHash }),
      instancePlan({ id: 2, name: 'second', key: 'second', codeHash: bad.codeHash }),
    ],
  )
  const onStep = (instance: string, step: string): void => void told.push(`${instance}: ${step}`)
  const pool = new InstancePool({ log: recordingLog().log, onStep })
  await assert.rejects(pool.stage(plan), /ill/)
  assert.deepEqual(told, [
    'first: load',
    'top level',
    'first: PluginMain',
    'main',
    'first: validateConfig',
    'first: healthCheck',
    'second: load',
    'second: PluginMain',
    'second: validateConfig',
    'second: healthCheck',
    'second: stop',
    'first: stop',
    'aborted',
    'stopped',
  ])
})
