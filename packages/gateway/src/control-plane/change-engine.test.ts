import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { CHANGE_LIMITS } from '../config/limits.ts'
import { stopBuildService } from './build.ts'
import { ChangeEngine } from './change-engine.ts'
import { gatewayRequest } from './change-queue.ts'
import type { Overlay, OverlayEdit } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { withoutQuarantine, withQuarantined } from './overlay-edits.ts'
import type { DiskPlugin } from './store/pins.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { engineOver, workshopIn } from './test-workshop.ts'

after(stopBuildService)

const CODE = "exports.PluginMain = () => ({ name: 'hello', handle: () => true })"
const HELLO = {
  'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }] },
  'plugins/hello/plugin.json': { name: 'hello', version: '1.0.0' },
  'plugins/hello/plugin.js': CODE,
}

test('requestAndWait() begins nothing for somebody who has left before', async () => {
  // Whatever it would touch is not there.
  const engine = new ChangeEngine({} as ConstructorParameters<typeof ChangeEngine>[0])
  const request = {
    cause: { kind: 'release', unit: null },
    who: 'ann',
    firstSignAt: 0,
    signal: AbortSignal.abort(),
  } as const
  await assert.rejects(engine.requestAndWait(request), { code: 'CONTROL_LOST' })
  assert.equal(engine.isChanging, false)
})

test('a change that is committed stays so, and the next one is made, whoever throws when they are told', async (t) => {
  const root = await folderOf(t, {
    'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }] },
  })
  const said: string[] = []
  const workshop = await workshopIn(root, said)
  const throws = (): never => {
    throw new Error('Deaf')
  }
  const engine = engineOver(workshop, { onReport: throws, onCommitted: throws })
  const report = await engine.request(gatewayRequest({ kind: 'start' }))
  assert.deepEqual([report.outcome, report.generation, engine.live], ['committed', 1, 1])
  assert.equal(said.filter((line) => line.endsWith('which stays as it is: Deaf')).length, 2)
  const next = await engine.request(gatewayRequest({ kind: 'recovery' }))
  assert.deepEqual([next.outcome, engine.isChanging], ['unchanged', false])
})

test('plugins that do not run are as the files say, also where a look at these changes nothing that runs', async (t) => {
  const root = await folderOf(t, HELLO)
  const idle = 'exports.PluginMain = () => null'
  const engine = engineOver(await workshopIn(root))
  const lookedAt = async (): Promise<readonly string[]> => {
    await engine.request(gatewayRequest({ kind: 'recovery' }))
    const own = engine.plugins.plugins.filter(({ folder }) => folder.startsWith(root))
    return own.map(({ name, version, state }) => `${name} ${version} ${state.kind}`)
  }
  assert.deepEqual(await lookedAt(), ['hello 1.0.0 active'])
  await writeFiles(root, {
    'plugins/off/plugin.json': { name: 'off', version: '1.0.0', enabled: false },
    'plugins/off/plugin.js': idle,
    'plugins/spare/plugin.json': { name: 'spare', version: '1.0.0', scope: 'route' },
    'plugins/spare/plugin.js': idle,
  })
  assert.deepEqual(await lookedAt(), ['hello 1.0.0 active', 'off 1.0.0 disabled', 'spare 1.0.0 built'])
  await writeFiles(root, {
    'plugins/off/plugin.json': { name: 'off', version: '2.0.0', enabled: false },
  })
  await rm(join(root, 'plugins/spare'), { recursive: true })
  assert.deepEqual(await lookedAt(), ['hello 1.0.0 active', 'off 2.0.0 disabled'])
  assert.equal(engine.live, 1)
})

test('plugins are what was known before, until a change knows all of its own', async (t) => {
  const root = await folderOf(t, HELLO)
  const workshop = await workshopIn(root)
  const shown: (readonly string[])[] = []
  const look = (): void => {
    const found = engine.plugins.plugins.filter(({ name }) => name === 'hello')
    shown.push(found.map(({ state }) => state.kind))
  }
  const engine = engineOver(workshop, {
    trials: { try: async () => look() },
    newLifecycle: () => {
      queueMicrotask(look)
      return new PluginLifecycle()
    },
  })
  await engine.request(gatewayRequest({ kind: 'start' }))
  look()
  assert.deepEqual(shown, [[], ['validated'], ['active']])
  await engine.request(gatewayRequest({ kind: 'recovery' }))
  await writeFile(join(root, 'plugins/hello/plugin.js'), 'exports.PluginMain = (')
  const { outcome } = await engine.request(gatewayRequest({ kind: 'recovery' }))
  look()
  assert.deepEqual([outcome, shown.slice(3)], ['failed', [['active'], ['active'], ['failed']]])
})

for (const base of ['disk', 'live'] as const) {
  test(`an edit of what ${base === 'live' ? 'serves' : 'stands on disk'} is told what files give that differ in a comment alone`, async (t) => {
    const root = await folderOf(t, HELLO)
    const workshop = await workshopIn(root)
    const engine = engineOver(workshop)
    await engine.request(gatewayRequest({ kind: 'start' }))
    await writeFile(join(root, 'plugins/hello/plugin.js'), `${CODE} // as before`)
    assert.equal((await engine.request(gatewayRequest({ kind: 'recovery' }))).outcome, 'unchanged')
    const [kept] = workshop.store.latest()?.plugins ?? []
    let standing: DiskPlugin | undefined
    const edit: OverlayEdit = (overlay, { plugins }) => {
      standing = plugins.find(({ name }) => name === 'hello')
      return overlay
    }
    await engine.request({ ...gatewayRequest({ kind: 'recovery' }), base, edit })
    assert.notEqual(standing?.fingerprint, kept?.fingerprint)
    assert.equal(standing?.contentHash, kept?.contentHash)
  })
}

test('the end of a quarantine is told, also of code that does not run', async (t) => {
  const root = await folderOf(t, HELLO)
  const engine = engineOver(await workshopIn(root))
  const edited = async (edit: (overlay: Overlay) => Overlay): Promise<readonly string[]> => {
    const request = { ...gatewayRequest({ kind: 'enable', plugin: 'hello' }), base: 'live', edit } as const
    const { outcome, changes } = await engine.request(request)
    assert.equal(outcome, 'committed')
    return changes
  }
  await engine.request(gatewayRequest({ kind: 'start' }))
  const other = { plugin: 'hello', codeHash: 'of other code', key: 'of other code', harm: 'stall' } as const
  await edited((overlay) => withQuarantined(overlay, other))
  assert.deepEqual(await edited((overlay) => withoutQuarantine(overlay, 'hello')), [
    'plugin hello: no code of it is quarantined any more',
  ])
})

test('what is held back is told where nothing else differs', async (t) => {
  const root = await folderOf(t, HELLO)
  const workshop = await workshopIn(root)
  const engine = engineOver(workshop)
  await engine.request(gatewayRequest({ kind: 'start' }))
  const { contentHash = '' } = workshop.store.latest()?.plugins[0] ?? {}
  const heldIn =
    (...folders: string[]): OverlayEdit =>
    (overlay) => {
      const hold = {
        name: 'hello',
        rejected: null,
        runs: { kind: 'plugin', contentHash },
        who: 'ada',
        since: 1,
      } as const
      return { ...overlay, pins: folders.map((folder) => ({ ...hold, unit: join(root, 'plugins', folder) })) }
    }
  const told = async (edit: OverlayEdit): Promise<readonly string[]> =>
    (await engine.request({ ...gatewayRequest({ kind: 'recovery' }), base: 'live', edit })).changes
  assert.deepEqual(await told(heldIn('was')), ['plugin hello is held back as it stands on disk'])
  const place = join(root, 'plugins/is')
  assert.deepEqual(await told(heldIn('is')), [`plugin hello is held back in ${place}, where it stands now`])
  assert.deepEqual(await told(heldIn()), ['plugin hello is not held back any more'])
})

test('a command that failed is not told of as what stands on disk: that is held as before', async (t) => {
  const root = await folderOf(t, HELLO)
  const engine = engineOver(await workshopIn(root))
  await engine.request(gatewayRequest({ kind: 'start' }))
  await writeFile(join(root, 'plugins/hello/plugin.js'), 'exports.PluginMain = (')
  const release = { ...gatewayRequest({ kind: 'release', unit: null }), edit: (overlay: Overlay) => overlay }
  assert.equal((await engine.request(release)).outcome, 'failed')
  assert.equal(engine.pending, null)
  assert.equal(engine.plugins.plugins.find(({ name }) => name === 'hello')?.state.kind, 'active')
  // A look at the files tells.
  const { outcome } = await engine.request(gatewayRequest({ kind: 'recovery' }))
  assert.deepEqual([outcome, engine.held], ['failed', []])
  assert.equal(engine.plugins.plugins.find(({ name }) => name === 'hello')?.state.kind, 'failed')
})

test('a save that hangs for long gives way to a command also where another save came before that', async (t) => {
  const root = await folderOf(t, HELLO)
  const overlay = (given: Overlay): Overlay => given
  let hangs = false
  const engine = engineOver(await workshopIn(root), {
    trials: {
      try: async (_: unknown, signal: AbortSignal) => {
        if (hangs) await new Promise((_, reject) => signal.addEventListener('abort', reject))
      },
    },
  })
  await engine.request(gatewayRequest({ kind: 'start' }))
  await writeFile(join(root, 'plugins/hello/plugin.js'), `${CODE}; exports.other = 1`)
  hangs = true
  const firstSignAt = performance.now() - CHANGE_LIMITS.supersedeWithinMs - 1
  const save = { cause: { kind: 'files', files: [] }, who: 'files', firstSignAt } as const
  void engine.request(save)
  void engine.request(save)
  const release = { ...gatewayRequest({ kind: 'release', unit: null }), base: 'live', edit: overlay } as const
  assert.equal((await engine.request(release)).outcome, 'unchanged')
  hangs = false
  await writeFile(join(root, 'plugins/hello/plugin.js'), CODE)
  await engine.request(save)
  await waitFor(() => !engine.isChanging, 'the end of all changes')
})

for (const end of ['is given up', 'fails'] as const) {
  test(`plugins are what they were before once a command ${end}`, async (t) => {
    const root = await folderOf(t, {
      'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }] },
      'plugins/hello/plugin.json': { name: 'hello', version: '1.0.0' },
      'plugins/hello/plugin.ts': "export const PluginMain = () => ({ name: 'hello', handle: () => true })",
    })
    const workshop = await workshopIn(root)
    const leaving = new AbortController()
    const triesOut = [
      async () => undefined,
      async () => {
        if (end === 'is given up') leaving.abort(new Error('Left'))
        throw new Error('Not started')
      },
    ]
    const engine = engineOver(workshop, { trials: { try: async () => triesOut.shift()?.() } })
    const states = () =>
      engine.plugins.plugins.filter(({ name }) => name === 'hello').map(({ state }) => state)
    await engine.request(gatewayRequest({ kind: 'start' }))
    const before = states()
    assert.deepEqual(before, [{ kind: 'active', generation: 1 }])
    const reload = {
      ...gatewayRequest({ kind: 'reload', plugin: 'hello' }),
      base: 'live',
      edit: ({ pins, controls }: Overlay) => ({
        pins,
        controls: { ...controls, incarnations: { hello: 1 } },
      }),
      signal: leaving.signal,
    } as const
    const outcome = await engine.requestAndWait(reload).then(
      (report) => report.outcome,
      ({ code }) => code,
    )
    assert.equal(outcome, end === 'fails' ? 'failed' : 'CONTROL_LOST')
    await waitFor(() => !engine.isChanging, 'the end of the change')
    assert.deepEqual([triesOut, states()], [[], before])
  })
}
