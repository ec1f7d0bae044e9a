import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import { stopBuildService } from './build.ts'
import type { ChangeEngine } from './change-engine.ts'
import { gatewayRequest } from './change-queue.ts'
import type { FaultPolicy } from './fault-policy.ts'
import type { Workshop } from './gather.ts'
import { withSwitch } from './overlay-edits.ts'
import { StatusBoard } from './status-board.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { engineOver, workshopIn } from './test-workshop.ts'

after(stopBuildService)

interface Board {
  readonly engine: ChangeEngine
  readonly workshop: Awaited<ReturnType<typeof workshopIn>>
  readonly board: StatusBoard
  /** Saves the config with those entries of its route, and the plugin with those of its plugin.json. */
  save(plugins: object, manifest: object): Promise<void>
  /** Versions of the plugin that are said to be live. */
  live(): Promise<readonly string[]>
}

/** Over a gateway that serves nothing yet. */
async function boardOf(t: TestContext): Promise<Board> {
  const root = await folderOf(t, { 'plugins/auth/plugin.ts': `export const PluginMain = () => 'one'` })
  const workshop = await workshopIn(root)
  const engine = engineOver(workshop)
  const board = boardOver(engine, workshop)
  return {
    engine,
    workshop,
    board,
    save: async (plugins, manifest) => {
      const route = { name: 'all', path: '/*', respond: { status: 200, body: 'here' }, plugins }
      await writeFiles(root, {
        'cardea.yaml': { routes: [route] },
        'plugins/auth/plugin.json': { name: 'auth', version: '1.0.0', ...manifest },
      })
      const { outcome } = await engine.request(gatewayRequest({ kind: 'files', files: [] }))
      assert.notEqual(outcome, 'failed')
    },
    live: async () =>
      (await board.versionsOf('auth')).flatMap(({ version, isLive }) => (isLive ? [version] : [])),
  }
}

function boardOver(engine: ChangeEngine, { store }: Workshop): StatusBoard {
  const faults = { statusOf: ({ name }: { readonly name: string }) => ({ name }) } as unknown as FaultPolicy
  // Nothing is asked of the rest.
  return new StatusBoard({ engine, store, faults } as ConstructorParameters<typeof StatusBoard>[0])
}

async function switchTo(engine: ChangeEngine, isEnabled: boolean): Promise<void> {
  const { outcome } = await engine.request({
    ...gatewayRequest({ kind: isEnabled ? 'enable' : 'disable', plugin: 'auth' }),
    base: 'live',
    edit: (overlay) => withSwitch(overlay, 'auth', isEnabled),
  })
  assert.equal(outcome, 'committed')
}

test('StatusBoard.pluginInfo() tells of what runs nowhere as its files stand, and of what runs as it runs', async (t) => {
  const { engine, board, save } = await boardOf(t)
  const told = async () => {
    const { version, description, category, permissions } = await board.pluginInfo('auth')
    return { version, description, category, permissions }
  }
  const one = { description: 'One', category: 'transform', permissions: ['kv'] }
  const two = { description: 'Two', category: 'security', permissions: [] }
  await save({}, { ...one, scope: 'route' })
  assert.deepEqual(await told(), { version: '1.0.0', ...one })
  await save({}, { ...two, scope: 'route' })
  assert.deepEqual(await told(), { version: '1.0.0', ...two }, 'on no route')

  await save({}, one)
  const strict = { config_schema: { type: 'object', additionalProperties: false } }
  await assert.rejects(save({ auth: { config: { key: 1 } } }, { ...two, ...strict }))
  assert.equal((await board.pluginInfo('auth')).state.kind, 'failed')
  assert.deepEqual(await told(), { version: '1.0.0', ...one }, 'runs on')
  await save({}, one)

  await switchTo(engine, false)
  assert.deepEqual(await told(), { version: '1.0.0', ...one }, 'as it ran until then')
  await save({}, { ...two, description: 'Three' })
  assert.deepEqual(await told(), { version: '1.0.0', ...two, description: 'Three' }, 'switched off')
  await save({}, { ...two, description: 'Four' })
  assert.deepEqual(await told(), { version: '1.0.0', ...two, description: 'Four' }, 'saved again')
})

test('StatusBoard.versionsOf() says live of what runs only: not of what is switched off, or on no route', async (t) => {
  const { engine, save, live } = await boardOf(t)
  await save({}, {})
  assert.deepEqual(await live(), ['1.0.0'])

  for (const [isEnabled, wanted] of [
    [false, []],
    [true, ['1.0.0']],
  ] as const) {
    await switchTo(engine, isEnabled)
    assert.deepEqual(await live(), wanted, `${isEnabled}`)
  }
  await save({ auth: false }, {})
  assert.deepEqual(await live(), [], 'not wanted by the only route')
  await save({}, { enabled: false })
  assert.deepEqual(await live(), [], 'disabled in plugin.json')
  await save({}, { scope: 'route' })
  assert.deepEqual(await live(), [], 'named by no route')
  await save({ auth: { config: {} } }, { scope: 'route' })
  assert.deepEqual(await live(), ['1.0.0'])
})

test('StatusBoard.versionsOf() says live of nothing while nothing serves', async (t) => {
  const { engine, workshop, save, live } = await boardOf(t)
  await save({}, {})
  assert.deepEqual(await live(), ['1.0.0'])
  const next = engineOver(workshop)
  next.recall({ reference: engine.reference, former: null })
  const known = await boardOver(next, workshop).versionsOf('auth')
  assert.deepEqual(
    known.map(({ version, isLive }) => [version, isLive]),
    [['1.0.0', false]],
  )
})
