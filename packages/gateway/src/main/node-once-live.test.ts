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

/** `host.once` of instances that are staged, go live, are carried, and are followed by others, in one worker. */

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
