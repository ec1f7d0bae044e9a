import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Context } from '@cardea/sdk'
import * as esbuild from 'esbuild'
import type { BundlePlan, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { StagedInstances } from '../protocol/instance.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { InstancePool, type InstancePoolOptions } from './instance-pool.ts'
import { bundleOf, generationPlan, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What the plugins of these tests tell the tests; they have no other way out of their bundle. */
const told: unknown[] = []
Object.assign(globalThis, { told })

const code = (source: string): BundlePlan => bundleOf(`declare const told: unknown[]\n${source}`)

/** Counts its calls in a state; `version` and what makes it come from the code. */
const counter = (version: number, create: string): BundlePlan =>
  code(`export const PluginMain = (config: any, host: any) => {
    const hits = host.state('hits', ${version}, ${create})
    return {
      name: 'counter',
      handle: () => (told.push(++hits.value.count), true),
      updateConfig: (next: any) => ({ name: 'updated', handle: () => (told.push(hits.value.count += next.by), true) }),
    }
  }`)
const V1 = counter(1, '(previous: any) => ({ count: 0, previous })')
const V1_AGAIN = counter(1, '() => ({ count: 1_000 })')
const V2 = counter(2, `(previous: any) => ({ count: previous.value.count + 100 })`)
const BROKEN = counter(
  3,
  `(previous: any) => { if (previous) throw new Error('no way'); return { count: 0 } }`,
)

function counterPlan(bundle: BundlePlan, changes: Partial<InstancePlan> = {}): GenerationPlan {
  const key = JSON.stringify([bundle.codeHash, changes])
  return generationPlan([bundle], [instancePlan({ id: 0, codeHash: bundle.codeHash, key, ...changes })])
}

function openPool(options: Partial<InstancePoolOptions> = {}) {
  told.length = 0
  const recording = recordingLog()
  const pool = new InstancePool({ log: recording.log, ...options })
  const live = async (plan: GenerationPlan): Promise<StagedInstances> => {
    const staged = await pool.stage(plan)
    assert.deepEqual(staged.commit(), [])
    return staged
  }
  return {
    pool,
    live,
    ...recording,
    saw: (...expected: unknown[]) => assert.deepEqual(told.splice(0), expected),
  }
}

const call = (staged: StagedInstances, id = 0): unknown =>
  staged.instances.get(id)?.middleware.handle({} as Context)

test('a state outlives swaps of code and config, and rollbacks', async () => {
  const { live, saw } = openPool()
  const generations = [await live(counterPlan(V1))]
  const swap = async (plan: GenerationPlan): Promise<void> => {
    generations.push(await live(plan))
    await generations.shift()?.release()
  }
  const hit = (): unknown => generations.map((one) => call(one))
  hit()
  await swap(counterPlan(V1_AGAIN))
  hit()
  await swap(counterPlan(V1_AGAIN, { config: { by: 10 } }))
  hit()
  await swap(counterPlan(V1))
  hit()
  saw(1, 2, 12, 13)
  await swap(counterPlan(V2))
  hit()
  await swap(counterPlan(V1))
  hit()
  // The rollback asked version 1's own `create` for a value made of version 2's.
  saw(114, 1)
})

test('a migration runs in the turn of the commit, on what the old version has by then', async () => {
  const { pool, live, saw } = openPool()
  const first = await live(counterPlan(V1))
  const second = await pool.stage(counterPlan(V2))
  call(first)
  call(first)
  second.commit()
  call(second)
  saw(1, 2, 103)
  call(first)
  saw(3)
})

/** The version of its state is a matter of its config. */
const VERSIONED = code(`export const PluginMain = (config: any, host: any) => {
  const made = (version: number) => {
    const hits = host.state('hits', version, (previous: any) => {
      told.push('made ' + version)
      return { count: previous?.value.count ?? 0 }
    })
    return {
      name: 'counter',
      handle: () => (told.push(++hits.value.count), true),
      updateConfig: (next: any) => made(next.version),
    }
  }
  return made(config.version)
}`)

test('a state that a discarded update asked for is made when an update goes live that asks for it, of what is there by then', async () => {
  const { pool, live, saw } = openPool()
  const first = await live(counterPlan(VERSIONED, { config: { version: 1 } }))
  call(first)
  await (await pool.stage(counterPlan(VERSIONED, { config: { version: 2 } }))).release()
  const carried = await live(counterPlan(VERSIONED, { config: { version: 1 } }))
  await first.release()
  call(carried)
  saw('made 1', 1, 2)
  const updated = await live(counterPlan(VERSIONED, { config: { version: 2 } }))
  call(updated)
  saw('made 2', 3)
})

test('a state whose version goes back and on by config is made each time of what served last', async () => {
  const { live, saw } = openPool()
  let generation = await live(counterPlan(VERSIONED, { config: { version: 1 } }))
  call(generation)
  saw('made 1', 1)
  for (const [version, count] of [
    [2, 2],
    [1, 3],
    [3, 4],
    [1, 5],
  ] as const) {
    const next = await live(counterPlan(VERSIONED, { config: { version } }))
    await generation.release()
    generation = next
    call(generation)
    saw(`made ${version}`, count)
  }
})

test('a state is made of what served last, whatever streams still run on', async () => {
  const { live, saw } = openPool()
  for (const version of [1, 3, 2, 4]) call(await live(counterPlan(VERSIONED, { config: { version } })))
  saw('made 1', 1, 'made 3', 2, 'made 2', 3, 'made 4', 4)
})

test('a state of a version that a stream still runs on is found by a config that comes back to it', async () => {
  const { live, saw } = openPool()
  const streaming = [1, 2].map((version) => counterPlan(VERSIONED, { config: { version } }))
  for (const plan of streaming) call(await live(plan))
  saw('made 1', 1, 'made 2', 2)
  // The instance of the first generation lives, and goes live once more.
  const again = await live(counterPlan(VERSIONED, { config: { version: 1 } }))
  for (const _ of [2, 3, 4]) call(again)
  call(await live(counterPlan(VERSIONED, { config: { version: 3 } })))
  saw(2, 3, 4, 'made 3', 5)
  call(await live(counterPlan(VERSIONED, { config: { version: 2 } })))
  saw(3)
})

for (const isReleased of [false, true]) {
  const next = isReleased ? 'what is released from quarantine' : 'another config'
  test(`a state is made of what served before an update that is quarantined as it goes live, for ${next}`, async () => {
    const { pool, live, saw } = openPool()
    const first = await live(counterPlan(VERSIONED, { config: { version: 1 } }))
    for (const _ of [1, 2]) call(first)
    const plan = counterPlan(VERSIONED, { config: { version: 2 } })
    const staged = await pool.stage(plan)
    for (const { key } of plan.instances) pool.quarantine(key)
    staged.commit()
    await first.release()
    const quarantined = plan.instances.map((instance) => ({ ...instance, quarantined: true }))
    if (isReleased) await live({ ...plan, instances: quarantined })
    const version = isReleased ? 2 : 3
    const last = await live(counterPlan(VERSIONED, { config: { version } }))
    await staged.release()
    call(last)
    saw('made 1', 1, 2, `made ${version}`, 3)
  })
}

test('a state that an update of an update still holds is the one that was asked for', async () => {
  const { live, saw } = openPool()
  const keeping = code(`export const PluginMain = (config: any, host: any) => {
    let kept: any
    const made = (config: any) => {
      if (config.step === 1) kept = host.state('kept', 1, () => ({ count: 0 }))
      return { name: 'counter', handle: () => (told.push(kept ? ++kept.value.count : 0), true), updateConfig: made }
    }
    return made(config)
  }`)
  let generation: StagedInstances | null = null
  for (const step of [0, 1, 2, 3]) {
    const next = await live(counterPlan(keeping, { config: { step } }))
    await generation?.release()
    generation = next
    call(next)
  }
  saw(0, 1, 2, 3)
})

test('a state asked for before the commit throws in the start that uses it', async () => {
  const { pool } = openPool()
  const early = code(`export const PluginMain = (_: unknown, host: any) => {
    const hits = host.state('hits', 1, () => ({}))
    return { name: 'x', handle: () => true, healthCheck() { hits.value } } }`)
  await assert.rejects(pool.stage(counterPlan(early)), {
    code: 'PLUGIN_START_FAILED',
    message: /State "hits" of plugin "sample" has no value: its generation is not live yet/,
  })
})

test('a trial tries migrations on copies of what the workers hold, and reports what they throw', async () => {
  const worker = openPool()
  const first = await worker.live(counterPlan(V1))
  call(first)
  const states = structuredClone(worker.pool.states(['sample']))
  assert.deepEqual(states, [
    { plugin: 'sample', name: 'hits', version: 1, value: { count: 1, previous: null } },
  ])

  const steps: string[] = []
  const trial = openPool({ states, onStep: (instance, step) => void steps.push(`${instance}: ${step}`) })
  const good = await trial.live(counterPlan(V2))
  call(good)
  trial.saw(102)
  assert.deepEqual(steps.slice(-2), ['sample: healthCheck', 'sample: state hits'])

  const broken = await trial.pool.stage(counterPlan(BROKEN))
  const errors = broken.commit()
  assert.deepEqual(
    errors.map(({ code, message, plugin }) => ({ code, message, plugin })),
    [
      {
        code: 'PLUGIN_START_FAILED',
        message: 'Cannot make state "hits" version 3 of version 2 for plugin "sample": no way',
        plugin: 'sample',
      },
    ],
  )
  assert.ok(errors[0]?.cause instanceof Error)
  assert.match(errors[0].cause.stack ?? '', /\/srv\/plugins\/sample\/plugin\.ts:\d+:\d+/)
})

const AUTH = code(`export const PluginMain = (config: any, host: any) => {
  let checks = 0
  host.provide({
    check(token: string) {
      checks++
      if (token === '') throw new Error('no token')
      return { token, by: config.by, checks }
    },
  })
  host.on('auth/asked', (data: unknown) => told.push(['auth heard', data]))
  return {
    name: 'auth',
    handle: () => (host.emit('asked', { n: 1 }), true),
    stop: () => void told.push('stop auth ' + config.by),
  }
}`)
const USER = code(`export const PluginMain = async (config: any, host: any) => {
  const auth = host.use('auth')
  host.on('auth/asked', (data: unknown) => told.push(['user heard', data]))
  told.push(await auth.check('at start'))
  return {
    name: 'user',
    handle: async () => (told.push(await auth.check(config.token)), true),
    async stop() { told.push('stop user', await auth.check('in stop')) },
  }
}`)

function dependent(by: string, token = 'mine', user: BundlePlan = USER): GenerationPlan {
  const auth = {
    id: 4,
    name: 'auth',
    plugin: 'auth',
    codeHash: AUTH.codeHash,
    key: `auth ${by}`,
    config: { by },
  }
  const uses = { id: 2, name: 'user', plugin: 'user', codeHash: user.codeHash, config: { token } }
  const key = `user ${token} ${by} ${user.codeHash}`
  return generationPlan([AUTH, user], [instancePlan(auth), instancePlan({ ...uses, key, dependencies: [4] })])
}

test('use() reaches the dependency of the own generation, from start to stop', async () => {
  const { live, saw } = openPool()
  const first = await live(dependent('a'))
  const second = await live(dependent('b'))
  await call(first, 2)
  await call(second, 2)
  saw(
    { token: 'at start', by: 'a', checks: 1 },
    { token: 'at start', by: 'b', checks: 1 },
    { token: 'mine', by: 'a', checks: 2 },
    { token: 'mine', by: 'b', checks: 2 },
  )
  await first.release()
  saw('stop user', { token: 'in stop', by: 'a', checks: 3 }, 'stop auth a')
})

test('use() of a carried dependency goes on where it was', async () => {
  const { live, saw } = openPool()
  const first = await live(dependent('a'))
  const second = await live(dependent('a', 'other'))
  await first.release()
  await call(second, 2)
  saw(
    { token: 'at start', by: 'a', checks: 1 },
    { token: 'at start', by: 'a', checks: 2 },
    'stop user',
    { token: 'in stop', by: 'a', checks: 3 },
    { token: 'other', by: 'a', checks: 4 },
  )
})

test('use() of what does not stand in dependencies fails the start, and what the provider throws reaches the caller', async () => {
  const { pool, live } = openPool()
  const sneaky = code(
    `export const PluginMain = (_: unknown, host: any) => (host.use('other'), { name: 'x', handle: () => true })`,
  )
  await assert.rejects(pool.stage(dependent('a', 'x', sneaky)), {
    code: 'PLUGIN_START_FAILED',
    message: /Plugin "user" cannot use "other": it is not in dependencies of its plugin\.json/,
  })
  const staged = await live(dependent('a', ''))
  await assert.rejects(async () => call(staged, 2), /^Error: no token/)
})

test('a service that is called after its provider has stopped rejects', async () => {
  const { pool, live } = openPool()
  const keeper = code(`export const PluginMain = (_: unknown, host: any) => {
    const auth = host.use('auth')
    return { name: 'x', handle: () => auth.check('late') } }`)
  const staged = await live(dependent('a', 'x', keeper))
  await staged.release()
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
  await assert.rejects(async () => call(staged, 2), {
    code: 'SERVICE_UNAVAILABLE',
    message: /^Plugin "auth" has stopped; its service can be used only while the own instance lives$/,
  })
})

test('provide() is refused when PluginMain has returned, also while the start goes on', async () => {
  const { pool } = openPool()
  const late = code(`export const PluginMain = (_: unknown, host: any) => ({
    name: 'x', handle: () => true, healthCheck() { host.provide({ f() {} }) } })`)
  await assert.rejects(pool.stage(counterPlan(late)), {
    message: /provide\(\) works only while PluginMain runs$/,
  })
})

test('events reach the plugin itself and its dependents when they are live', async () => {
  const { pool, live, saw } = openPool()
  const first = await live(dependent('a'))
  const staged = await pool.stage(dependent('a', 'other'))
  told.length = 0
  call(first, 4)
  saw()
  await turn()
  saw(['auth heard', { n: 1 }], ['user heard', { n: 1 }])
  staged.commit()
  await first.release()
  told.length = 0
  call(staged, 4)
  await turn()
  saw(['auth heard', { n: 1 }], ['user heard', { n: 1 }])
  await staged.release()
})

test('stage() refuses a plan in which an instance stands before what it depends on', async () => {
  const { pool } = openPool()
  const plan = dependent('a')
  await assert.rejects(pool.stage({ ...plan, instances: plan.instances.toReversed() }), {
    code: 'INTERNAL_ERROR',
    message: '"user" stands before what it depends on',
  })
  assert.deepEqual(pool.size, { instances: 0, bundles: 0 })
})
