import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { stopBuildService } from './build.ts'
import { gather } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { NO_OVERLAY } from './recollect.ts'
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
