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
