import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { stopBuildService } from './build.ts'
import { ChangeFailed } from './change-result.ts'
import { type Candidate, type GatherOptions, gather, isHeldAsRead, restore } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { NO_OVERLAY } from './recollect.ts'
import { sha256 } from './store/blobs.ts'
import type { Fingerprints } from './store/fingerprint.ts'
import { CONFIG_UNIT } from './store/pins.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { commitIn, workshopIn } from './test-workshop.ts'

after(stopBuildService)

const options = () => ({ number: 2, overlay: NO_OVERLAY, lifecycle: new PluginLifecycle() })

test('gather() takes an empty config for one that is being written, where there was another one', async (t) => {
  const root = await folderOf(t, { 'cardea.yaml': 'workers: 1\n' })
  await commitIn(root)
  for (const text of ['', '\n', ' \r\n']) {
    await writeFiles(root, { 'cardea.yaml': text })
    await assert.rejects(gather(await workshopIn(root), options()), /The file is empty, and was not before/)
  }
  for (const text of ['{}', '# nothing any more\n', 'workers: 2\n']) {
    await writeFiles(root, { 'cardea.yaml': text })
    await gather(await workshopIn(root), options())
  }
})

test('gather() takes an empty config for all defaults at the first start, and while it stays so', async (t) => {
  const root = await folderOf(t, { 'cardea.yaml': '\n' })
  await gather(await workshopIn(root), options())
  await commitIn(root)
  await gather(await workshopIn(root), options())
})

test('gather() names what is wrong with the config and with what it sets for plugins together', async (t) => {
  const config =
    'limits: { hed_bytes: 1KiB }\nplugins: { x: { plugin: rate-limt }, own: { config: { a: 1 } } }\n'
  const root = await folderOf(t, {
    'cardea.yaml': config,
    'plugins/own/plugin.json': { name: 'own', version: '1.0.0', config_schema: { properties: { b: {} } } },
    'plugins/own/plugin.ts': `export const PluginMain = () => ({ name: 'own' })`,
  })
  const failed = await gather(await workshopIn(root), options()).then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  )
  assert.ok(failed instanceof ChangeFailed)
  assert.deepEqual(
    failed.problems.map(({ stage, code, line }) => [stage, code, line]),
    [
      ['config', 'CONFIG_INVALID', 1],
      ['validate', 'PLUGIN_NOT_FOUND', 2],
      ['validate', 'PLUGIN_CONFIG_INVALID', 2],
    ],
  )
})

test('gather() names what is wrong with a plugin and with what the config sets for others together', async (t) => {
  const root = await folderOf(t, {
    'plugins/own/plugin.json': { name: 'own', version: '1.0.0' },
    'plugins/own/plugin.ts': 'export const PluginMain = ( => 1',
  })
  for (const text of ['', 'limits: { hed_bytes: 1KiB }\n']) {
    const config = `plugins:\n  x: { plugin: rate-limt }\n  cors: { config: { origns: [] } }\n${text}`
    await writeFiles(root, { 'cardea.yaml': config })
    const failed = await gather(await workshopIn(root), options()).catch((thrown: unknown) => thrown)
    assert.ok(failed instanceof ChangeFailed)
    const ofConfig = text === '' ? [] : [['config', 'CONFIG_INVALID', 4]]
    assert.deepEqual(
      failed.problems.map(({ stage, code, line }) => [stage, code, line]),
      [
        ['validate', 'PLUGIN_NOT_FOUND', 2],
        ['validate', 'PLUGIN_CONFIG_INVALID', 3],
        ...ofConfig,
        ['build', 'PLUGIN_BUILD_FAILED', 1],
      ],
    )
  }
})

test('gather() serves the config of a pinned generation, and never the rejected file because that is lost', async (t) => {
  const root = await folderOf(t, { 'cardea.yaml': 'via: one\n' })
  await commitIn(root)
  const rejected = 'via: two\n'
  await writeFiles(root, { 'cardea.yaml': rejected })
  const gathered = (number: number) => {
    const runs = { kind: 'generation', number } as const
    const pin = { unit: CONFIG_UNIT, name: 'config', rejected: sha256(rejected), runs, since: 0, who: 'ada' }
    return async () =>
      gather(await workshopIn(root), { ...options(), overlay: { ...NO_OVERLAY, pins: [pin] } })
  }
  assert.equal((await gathered(1)()).plan.settings.viaName, 'one')
  await assert.rejects(gathered(7), { code: 'GENERATION_UNKNOWN', message: /"cardea release config"/ })
})

test('restore() shows what is wrong with a stored config by its own text, not by what stands in the file', async (t) => {
  t.after(() => delete process.env.CARDEA_TEST_VIA)
  process.env.CARDEA_TEST_VIA = 'one'
  const root = await folderOf(t, { 'cardea.yaml': 'workers: 1\nvia: ${CARDEA_TEST_VIA}\n' })
  await commitIn(root)
  delete process.env.CARDEA_TEST_VIA
  await writeFiles(root, { 'cardea.yaml': '# rejected\n# rejected\n' })
  const workshop = await workshopIn(root)
  const record = workshop.store.latest() ?? assert.fail('nothing was committed')
  const failed = await restore(workshop, record, new PluginLifecycle()).then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  )
  assert.ok(failed instanceof ChangeFailed)
  assert.deepEqual(
    failed.problems.map(({ line, frame }) => [line, frame]),
    [[2, '2 | via: ${CARDEA_TEST_VIA}\n  |      ^']],
  )
})

test('restore() and gather() refuse routes that only the router can tell are wrong: no worker looks for that', async (t) => {
  const config = 'routes:\n  - { name: a, path: /a, respond: { status: 200 } }\n'
  const root = await folderOf(t, { 'cardea.yaml': config })
  await commitIn(root)
  const workshop = {
    ...(await workshopIn(root)),
    findRouteProblems: () => [{ index: 0, message: 'Not so.' }],
  }
  const record = workshop.store.latest() ?? assert.fail('no generation')
  for (const made of [restore(workshop, record, new PluginLifecycle()), gather(workshop, options())]) {
    const failed = await made.catch((thrown: unknown) => thrown)
    assert.ok(failed instanceof ChangeFailed)
    assert.deepEqual(
      failed.problems.map(({ code, line, message }) => [code, line, message]),
      [['CONFIG_INVALID', 2, 'Not so.']],
    )
  }
})

test('isHeldAsRead() finds that a folder was renamed between the look at what is held back and the one at plugins', async (t) => {
  const root = await folderOf(t, {
    'cardea.yaml': { routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }] },
    'plugins/hello/plugin.json': { name: 'hello', version: '1.0.0' },
    'plugins/hello/plugin.js': "exports.PluginMain = () => ({ name: 'hello', handle: () => true })",
  })
  const [folder, renamed] = [join(root, 'plugins/hello'), join(root, 'plugins/renamed')]
  const workshop = await workshopIn(root)
  const rejected = workshop.fingerprints.ofFolder(folder)
  const runs = { kind: 'absent' } as const
  const pin = { unit: folder, name: 'hello', rejected, runs, since: 0, who: 'ada' }
  const held = (): GatherOptions => ({ ...options(), overlay: { ...NO_OVERLAY, pins: [pin] } })
  const renaming = {
    ofFolder(asked: string) {
      if (asked === folder) renameSync(folder, renamed)
      return workshop.fingerprints.ofFolder(asked)
    },
  } as Fingerprints
  const ran = ({ plan }: Candidate) => plan.instances.map(({ plugin }) => plugin)
  const torn = await gather({ ...workshop, fingerprints: renaming }, held())
  assert.deepEqual([ran(torn), await isHeldAsRead(workshop, held(), torn)], [['hello'], false])
  const whole = await gather(workshop, held())
  assert.deepEqual([ran(whole), await isHeldAsRead(workshop, held(), whole)], [[], true])
  assert.deepEqual(
    whole.overlay.pins.map(({ unit }) => unit),
    [renamed],
  )
})
