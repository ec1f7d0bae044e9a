import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { stopBuildService } from './build.ts'
import { gather } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { NO_OVERLAY } from './recollect.ts'
import { sha256 } from './store/blobs.ts'
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
