import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Middleware, PluginMain } from '@cardea/sdk'
import { ONCE_LIMITS } from '../config/limits.ts'
import { SYSTEM } from '../plugin-host/host.ts'
import { InstancePool } from '../plugin-host/instance-pool.ts'
import type { LoadedBundle } from '../plugin-host/load.ts'
import type { GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { planOf, SimulatedNode } from './test-node.ts'

/** `host.once` and `host.sink` of instances that are staged, go live, are carried, and are followed by others, in one worker. */

type Host = Parameters<PluginMain>[1]
type Config = Readonly<Record<string, unknown>> & { readonly as: string }
type Main = (config: Config, host: Host) => Partial<Middleware>

/** Tasks that run until they are told to end. */
class Tasks {
  readonly now: string[] = []
  readonly started: string[] = []

  task(name: string): (signal: AbortSignal) => Promise<void> {
    return (signal) => {
      this.now.push(name)
      this.started.push(name)
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          this.now.splice(this.now.indexOf(name), 1)
          resolve()
        })
      })
    }
  }
}

function worker(t: TestContext, main: Main) {
  const node = new SimulatedNode({ workers: 1 })
  const load = (): LoadedBundle => ({
    codeHash: 'code',
    entryFile: '/plugin.ts',
    exports: { PluginMain: (config: Config, host: Host) => middleware(main(config, host)) },
    mapStack: String,
    frameOf: () => null,
  })
  const surroundings = { ...SYSTEM, node: node.client(1) }
  const pool = new InstancePool({ log: SILENT, surroundings, load })
  t.after(async () => {
    await pool.close()
    await node.close()
  })
  return {
    node,
    pool,
    stage: (...configs: readonly Config[]) => pool.stage(generation(configs)),
    /** Gives the stage up after `begun`. */
    async stageInVain(config: Config, begun: Promise<void>): Promise<void> {
      const giveUp = new AbortController()
      const staging = pool.stage(generation([config]), giveUp.signal)
      await begun
      giveUp.abort(new Error('given up'))
      await assert.rejects(staging, /given up/)
    },
    stageQuarantined: (...configs: readonly Config[]) => pool.stage(generation(configs, true)),
    /** Messages arrive, and what waits for them has its turn. */
    async pass(): Promise<void> {
      for (let ms = 0; ms < 10; ms++) {
        node.advance(1)
        await turn()
      }
    },
  }
}

const middleware = (hooks: Partial<Middleware>): Middleware => ({ name: 'a', handle: () => true, ...hooks })

const log = (): void => {}
const SILENT = { debug: log, info: log, warn: log, error: log }

function generation(configs: readonly Config[], quarantined = false): GenerationPlan {
  const instances = configs.map(
    (config, id): InstancePlan => ({
      ...planOf('a'),
      id,
      config,
      codeHash: 'code',
      key: JSON.stringify(config),
      quarantined,
    }),
  )
  const bundles = [{ codeHash: 'code', code: '', sourceMap: '', entryFile: '/plugin.ts' }]
  const settings = {} as GenerationPlan['settings']
  return { number: 1, bundles, instances, upstreams: [], routes: [], settings }
}

test('host.once runs nothing of an instance that fails after PluginMain, or whose generation is discarded', async (t) => {
  const tasks = new Tasks()
  const { stage, pass } = worker(t, (config, host) => {
    host.once('migrate', tasks.task(config.as))
    return {
      async healthCheck() {
        await pass()
        if (config.ill === true) throw new Error('ill')
      },
    }
  })
  await assert.rejects(stage({ as: 'ill', ill: true }), { code: 'PLUGIN_START_FAILED' })
  const discarded = await stage({ as: 'discarded' })
  await pass()
  await discarded.release()
  await pass()
  assert.deepEqual(tasks.started, [])
  const live = await stage({ as: 'live' })
  await pass()
  assert.deepEqual(tasks.started, [])
  live.commit()
  await pass()
  assert.deepEqual(tasks.now, ['live'])
})

test('host.once runs on in an instance that is carried, and ends in one that another follows, whatever still uses it', async (t) => {
  const tasks = new Tasks()
  const { stage, pass } = worker(t, (config, host) => {
    host.once('leader', tasks.task(config.as))
    return {}
  })
  const first = await stage({ as: 'one' })
  first.commit()
  await pass()
  const second = await stage({ as: 'one' })
  second.commit()
  await pass()
  assert.deepEqual(tasks.started, ['one'])
  const third = await stage({ as: 'two' })
  third.commit()
  await pass()
  assert.deepEqual(tasks.now, ['two'])
  // It comes back before the streams of its generation have ended.
  const fourth = await stage({ as: 'one' })
  fourth.commit()
  await pass()
  assert.deepEqual(tasks.now, ['one'])
  assert.deepEqual(tasks.started, ['one', 'two', 'one'])
})

test('host.once takes what updateConfig() asks for when its instance goes live, in the place of the same name', async (t) => {
  const tasks = new Tasks()
  const { stage, pass } = worker(t, (config, host) => {
    const updatable = ({ as }: Config): Partial<Middleware> => ({
      updateConfig(next) {
        const to = next as Config
        host.once('same', tasks.task(`same ${to.as}`))
        host.once(to.as, tasks.task(to.as))
        return middleware(updatable(to))
      },
      healthCheck() {
        if (as === 'ill') throw new Error('ill')
      },
    })
    host.once('same', tasks.task(`same ${config.as}`))
    host.once('lasting', tasks.task('lasting'))
    return updatable(config)
  })
  const first = await stage({ as: 'one' })
  first.commit()
  await pass()
  assert.deepEqual(tasks.now.toSorted(), ['lasting', 'same one'])
  await assert.rejects(stage({ as: 'ill' }), { code: 'PLUGIN_START_FAILED' })
  const second = await stage({ as: 'two' })
  await pass()
  assert.deepEqual(tasks.now.toSorted(), ['lasting', 'same one'])
  second.commit()
  await pass()
  assert.deepEqual(tasks.now.toSorted(), ['lasting', 'same two', 'two'])
  assert.deepEqual(tasks.started.toSorted(), ['lasting', 'same one', 'same two', 'two'])
})

test('host.once counts the tasks that an instance has, not those that it took the place of', async (t) => {
  const refused: string[] = []
  const ask = (host: Host, count: number): void => {
    try {
      for (let i = 0; i < count; i++) host.once(`task ${i}`, () => {})
    } catch (error) {
      refused.push((error as Error).name)
    }
  }
  const { stage } = worker(t, (_, host) => {
    ask(host, ONCE_LIMITS.tasksMax)
    const updatable = (): Partial<Middleware> => ({
      updateConfig(next) {
        ask(host, ONCE_LIMITS.tasksMax + (next.more === true ? 1 : 0))
        return middleware(updatable())
      },
    })
    return updatable()
  })
  const first = await stage({ as: 'one' })
  first.commit()
  const second = await stage({ as: 'two' })
  second.commit()
  assert.deepEqual(refused, [])
  await stage({ as: 'three', more: true })
  assert.deepEqual(refused, ['RangeError'])
})

test('host.once ends in an instance that is quarantined, until a generation says that it is not', async (t) => {
  const tasks = new Tasks()
  const { pool, stage, stageQuarantined, pass } = worker(t, (config, host) => {
    host.once('task', tasks.task(config.as))
    return {}
  })
  const one = { as: 'one' }
  const live = async (staged: Promise<{ commit(): unknown }>): Promise<readonly string[]> => {
    const { commit } = await staged
    commit()
    await pass()
    return tasks.now
  }
  assert.deepEqual(await live(stage(one)), ['one'])
  assert.deepEqual(await live(stageQuarantined(one)), [])
  assert.deepEqual(await live(stage(one)), ['one'])
  const stagedBefore = stage(one)
  await stagedBefore
  pool.quarantine(JSON.stringify(one))
  await pass()
  assert.deepEqual(tasks.now, [])
  assert.deepEqual(await live(stagedBefore), [])
  assert.deepEqual(await live(stageQuarantined(one)), [])
  assert.deepEqual(await live(stage(one)), ['one'])
})

test('host.once runs nothing of an updateConfig() that goes on after it was given up, or its change has failed', async (t) => {
  const tasks = new Tasks()
  const begun = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  const { stage, stageInVain, pass } = worker(t, (config, host) => {
    const updatable = ({ as }: Config): Partial<Middleware> => ({
      async updateConfig(next) {
        const to = next as Config
        const asked = late.promise.then(() => {
          host.once('same', tasks.task(`same ${to.as}`))
          host.once(to.as, tasks.task(to.as))
        })
        begun.resolve()
        if (to.waits === true) await asked
        return middleware(updatable(to))
      },
      healthCheck() {
        if (as === 'ill') throw new Error('ill')
      },
    })
    host.once('same', tasks.task(`same ${config.as}`))
    return updatable(config)
  })
  const first = await stage({ as: 'one' })
  first.commit()
  await stageInVain({ as: 'given up', waits: true }, begun.promise)
  await assert.rejects(stage({ as: 'ill' }), { code: 'PLUGIN_START_FAILED' })
  const discarded = await stage({ as: 'discarded' })
  await discarded.release()
  const coming = await stage({ as: 'coming' })
  late.resolve()
  await pass()
  assert.deepEqual(tasks.started, ['same one'])
  coming.commit()
  await pass()
  assert.deepEqual(tasks.now.toSorted(), ['coming', 'same coming'])
  assert.deepEqual(tasks.started.toSorted(), ['coming', 'same coming', 'same one'])
})

test('host.once runs what an updateConfig() asks for after its instance has gone live, and others have followed', async (t) => {
  const tasks = new Tasks()
  const late = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { stage, pass } = worker(t, (_, host) => {
    const updatable = (): Partial<Middleware> => ({
      updateConfig(next) {
        const { as, part } = next as Config
        const { promise } = late[part === 0 ? 0 : 1] ?? Promise.withResolvers<void>()
        promise.then(() => host.once(as, tasks.task(as)))
        return middleware(updatable())
      },
    })
    return updatable()
  })
  for (const config of [{ as: 'one' }, { as: 'two', part: 0 }, { as: 'three', part: 1 }]) {
    const staged = await stage(config)
    staged.commit()
  }
  late[1]?.resolve()
  await pass()
  assert.deepEqual(tasks.now, ['three'])
  late[0]?.resolve()
  await pass()
  assert.deepEqual(tasks.now, ['three', 'two'])
})

test('an updateConfig() that goes on after it was given up has no say in the rotation of files', async (t) => {
  const begun = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  const { node, stage, stageInVain, pass } = worker(t, (_, host) => {
    host.sink('a.log', { keep: 100 })
    return {
      async updateConfig() {
        begun.resolve()
        await late.promise
        host.sink('a.log', { keep: 0 })
        return middleware({})
      },
    }
  })
  const first = await stage({ as: 'one' })
  first.commit()
  await stageInVain({ as: 'given up' }, begun.promise)
  late.resolve()
  await pass()
  const wishes = node.said
    .map(({ message }) => message)
    .filter((message) => message.kind === 'sink-rotation')
    .map((message) => message.wishes.map(({ keep }) => keep))
  assert.deepEqual(wishes, [[100]])
})
