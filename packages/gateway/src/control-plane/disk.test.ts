import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readDisk } from './disk.ts'
import { Fingerprints } from './store/fingerprint.ts'
import { pinsForRollback } from './store/pins.ts'
import { generationOf } from './store/test-support.ts'

test('a rollback holds back no built-in that the config does not name: the next config could not name it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cardea-disk-'))
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
  const file = join(folder, 'cardea.yaml')
  await writeFile(file, 'routes: []\n')
  await mkdir(join(folder, 'plugins/extra'), { recursive: true })
  await writeFile(join(folder, 'plugins/extra/plugin.json'), '{ "name": "extra", "version": "1.0.0" }')
  const disk = await readDisk({ kind: 'file', file }, new Fingerprints())
  const found = disk.plugins.map(({ name, isIdle }) => `${name}${isIdle ? ' (idle)' : ''}`)
  assert.ok(found.includes('cors (idle)') && found.includes('extra'), found.join())
  const pins = pinsForRollback(generationOf(1).record, disk, null, { who: 'ada', since: 5 })
  assert.deepEqual(
    pins.map(({ name }) => name).filter((name) => name !== 'config'),
    ['extra'],
  )
})
