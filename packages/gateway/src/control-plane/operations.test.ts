import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import type { ChangeReport, ConfigDiff, ControlCommand } from '../protocol/control.ts'
import { stopBuildService } from './build.ts'
import type { ChangeEngine } from './change-engine.ts'
import { gatewayRequest } from './change-queue.ts'
import { Operations } from './operations.ts'
import type { StatusBoard } from './status-board.ts'
import { GenerationStore } from './store/generation-store.ts'
import type { StoredThing } from './store/pruning.ts'
import { generationOf, pluginFor } from './store/test-support.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { engineOver, WILLING_WORKERS, workshopIn } from './test-workshop.ts'

after(stopBuildService)

const ASKER = { who: 'ada', signal: new AbortController().signal }

async function openStore(t: TestContext): Promise<GenerationStore> {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  return GenerationStore.open(join(dir.path, '.cardea'))
}

test('config diff shows the config of a generation of which a plugin version is not kept any more', async (t) => {
  const store = await openStore(t)
  const texts = ['routes: [] # one\n', 'routes: [] # two\n']
  for (const [index, text] of texts.entries()) {
    const { record, blobs } = generationOf(index + 1, [pluginFor('auth', `${index}.0.0`)], { text })
    await store.decide(record, blobs)
  }
  await store.prune({ generationsMax: 10, pluginVersionsMax: 0 }, () => new Set())
  await assert.rejects(store.find(1), { code: 'GENERATION_UNKNOWN' })

  const operations = new Operations({
    store,
    // Nothing is asked of them.
    engine: {} as ChangeEngine,
    board: {} as StatusBoard,
    configText: async () => 'routes: [] # disk\n',
  })
  const diff = (await operations.handle({ command: 'config-diff', generation: 1 }, ASKER)) as ConfigDiff
  assert.match(diff.text, /^-routes: \[\] # one$/m)
  assert.match(diff.text, /^\+routes: \[\] # disk$/m)
  await assert.rejects(operations.handle({ command: 'config-diff', generation: 9 }, ASKER), {
    code: 'GENERATION_UNKNOWN',
    message: /^Generation 9 is not kept, .*"cardea history"/,
  })
})

interface Behind {
  /** Prunes all that may go while the command waits, then lets its turn come. */
  pruned(inUse: ReadonlySet<StoredThing>): Promise<ChangeReport>
  readonly engine: ChangeEngine
}

/** The command is given while another change is being made, over generations 1 and 2 of a plugin; that change makes the third. */
async function behind(t: TestContext, command: ControlCommand): Promise<Behind> {
  const root = await folderOf(t, {
    'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }] },
    'plugins/auth/plugin.json': { name: 'auth', version: '1.0.0' },
  })
  const save = (value: string) =>
    writeFiles(root, { 'plugins/auth/plugin.ts': `export const PluginMain = () => '${value}'` })
  const workshop = await workshopIn(root)
  const { store } = workshop
  const staging = Promise.withResolvers<void>()
  const going = Promise.withResolvers<void>()
  const engine = engineOver(workshop, {
    workers: {
      ...WILLING_WORKERS,
      stage: async ({ number }: { readonly number: number }) => {
        if (number !== 3) return
        staging.resolve()
        await going.promise
      },
    },
  })
  for (const value of ['one', 'two']) {
    await save(value)
    assert.equal((await engine.request(gatewayRequest({ kind: 'start' }))).outcome, 'committed')
  }
  await save('three')
  const third = engine.request(gatewayRequest({ kind: 'release', unit: null }))
  await staging.promise
  const operations = new Operations({ store, engine, board: {} as StatusBoard, configText: async () => null })
  const answer = operations.handle(command, ASKER) as Promise<ChangeReport>
  return {
    engine,
    pruned: async (inUse) => {
      await store.prune({ generationsMax: 1, pluginVersionsMax: 0 }, () => inUse)
      going.resolve()
      assert.equal((await third).outcome, 'committed')
      return answer
    },
  }
}

const ROLLBACK = { command: 'rollback', generation: 1 } as const

test('a rollback that waits keeps the generation that it is to bring back', async (t) => {
  const { engine, pruned } = await behind(t, ROLLBACK)
  await waitFor(() => engine.targets.size > 0, 'the rollback to wait')
  const report = await pruned(engine.targets)
  assert.deepEqual([report.outcome, report.generation, report.heldBack], ['committed', 4, ['auth']])
  assert.deepEqual([...engine.targets], [])
})

test('a rollback of a plugin that waits keeps the version that it is to bring back', async (t) => {
  const { engine, pruned } = await behind(t, { command: 'plugin-rollback', plugin: 'auth', version: null })
  await waitFor(() => engine.targets.size > 0, 'the rollback to wait')
  const { outcome, generation, problems } = await pruned(engine.targets)
  assert.deepEqual([outcome, generation, problems], ['committed', 4, []])
  const [bundle] = engine.livePlan?.bundles ?? []
  assert.match(bundle?.code ?? '', /"one"/)
  assert.deepEqual([...engine.targets], [])
})

test('a rollback fails with what can be brought back where its generation is lost while it waits', async (t) => {
  const { engine, pruned } = await behind(t, ROLLBACK)
  await waitFor(() => engine.targets.size > 0, 'the rollback to wait')
  const { outcome, problems } = await pruned(new Set())
  assert.deepEqual([outcome, problems.map(({ code }) => code)], ['failed', ['GENERATION_UNKNOWN']])
  assert.match(
    problems[0]?.message ?? '',
    /^Generation 1 is not kept\. The nearest that can be brought back /,
  )
})

/** Over three generations of two plugins and a config, each of which differs in all of them. */
async function overThree(t: TestContext) {
  const root = await folderOf(t, {})
  const save = (value: string) =>
    writeFiles(root, {
      'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: value } }] },
      'plugins/auth/plugin.json': { name: 'auth', version: '1.0.0' },
      'plugins/auth/plugin.ts': `export const PluginMain = () => 'auth ${value}'`,
      'plugins/base/plugin.json': { name: 'base', version: '1.0.0' },
      'plugins/base/plugin.ts': `export const PluginMain = () => 'base ${value}'`,
    })
  const workshop = await workshopIn(root)
  const { store } = workshop
  const engine = engineOver(workshop)
  for (const value of ['one', 'two', 'three']) {
    await save(value)
    assert.equal((await engine.request(gatewayRequest({ kind: 'start' }))).outcome, 'committed')
  }
  const operations = new Operations({ store, engine, board: {} as StatusBoard, configText: async () => null })
  const give = (command: ControlCommand, who = 'ada') =>
    operations.handle(command, { ...ASKER, who }) as Promise<ChangeReport>
  const says = ({ outcome, generation, heldBack }: ChangeReport): string =>
    `${outcome} ${generation}: ${heldBack?.toSorted().join(', ')}`
  return { save, give, says, engine, store }
}

test('rollbacks to what serves already make one generation, however many of them are given', async (t) => {
  const { give, says, store, engine } = await overThree(t)
  const back = (generation: number, who?: string) => give({ command: 'rollback', generation }, who)
  const reports = await Promise.all([back(1), back(1, 'ben'), back(1)])
  const held = 'auth, base, config'
  // Each looks into the store first: which of them is done first is for the disk to say.
  const said = reports.map(says).sort()
  assert.deepEqual(said, [`committed 4: ${held}`, `unchanged 4: ${held}`, `unchanged 4: ${held}`])
  const { pins } = engine.overlay
  assert.equal(says(await back(1)), `unchanged 4: ${held}`)
  // By whatever number that content has.
  assert.equal(says(await back(4)), `unchanged 4: ${held}`)
  assert.deepEqual(engine.overlay.pins, pins)
  assert.deepEqual(store.numbers(), [1, 2, 3, 4])
  // Another one is another, and back is no way to it.
  assert.equal(says(await back(2)), `committed 5: ${held}`)
  assert.equal(says(await back(1)), `committed 6: ${held}`)
})

test('a rollback to what serves already holds back what was saved meanwhile', async (t) => {
  const { give, says, save, engine } = await overThree(t)
  const back = () => give({ command: 'rollback', generation: 1 })
  await back()
  const { pins } = engine.overlay
  await save('four')
  assert.equal(says(await back()), 'committed 5: auth, base, config')
  const rejectedBy = (all: typeof pins) => new Set(all.map(({ rejected }) => rejected))
  assert.deepEqual(rejectedBy(engine.overlay.pins).intersection(rejectedBy(pins)), new Set())
  // What stands there is let in by nothing but another save.
  assert.equal(
    says(await engine.request(gatewayRequest({ kind: 'files', files: [] }))).split(' ')[0],
    'unchanged',
  )
  await save('one')
  assert.equal(says(await back()), 'committed 6: ')
  assert.equal(says(await back()), 'unchanged 6: ')
})

test('a rollback of a plugin to what it runs as already makes no generation, and holds the files as before', async (t) => {
  const { give, says, save, store } = await overThree(t)
  const { contentHash = '' } = (await store.get(2))?.plugins.find(({ name }) => name === 'auth') ?? {}
  const back = () => give({ command: 'plugin-rollback', plugin: 'auth', version: contentHash })
  assert.equal(says(await back()), 'committed 4: auth')
  await give({ command: 'plugin-rollback', plugin: 'base', version: null })
  assert.equal(says(await back()), 'unchanged 5: auth, base')
  await save('four')
  assert.equal(says(await back()), 'committed 6: auth, base')
})

test('a plugin that a rollback holds back altogether is not said to be unknown', async (t) => {
  const pin = {
    unit: '/srv/plugins/auth',
    name: 'auth',
    rejected: 'x',
    runs: { kind: 'absent' },
    since: 0,
    who: 'ada',
  }
  const operations = new Operations({
    store: await openStore(t),
    engine: { overlay: { pins: [pin] } } as unknown as ChangeEngine,
    board: { pluginNames: () => [], versionsOf: async () => [] } as unknown as StatusBoard,
    configText: async () => null,
  })
  for (const command of ['plugin-info', 'plugin-enable', 'plugin-versions'] as const) {
    await assert.rejects(operations.handle({ command, plugin: 'auth' }, ASKER), {
      code: 'PLUGIN_NOT_FOUND',
      message: /^Plugin "auth" is held back by .*\. "cardea release auth" lets it in\.$/,
    })
  }
})
