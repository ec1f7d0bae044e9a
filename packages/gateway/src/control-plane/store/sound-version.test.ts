import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { GenerationStore } from './generation-store.ts'
import type { StorablePlugin } from './stored-plugin.ts'
import { generationOf, pluginFor } from './test-support.ts'
import type { StoredGeneration } from './types.ts'

async function decide(
  store: GenerationStore,
  plugin: StorablePlugin,
  rest: Partial<StoredGeneration> = {},
): Promise<void> {
  const { record, blobs } = generationOf(store.nextNumber(), [plugin], rest)
  await store.decide(record, blobs)
}

/** Decides for a row of generations, each with one version of the plugin `auth`. */
async function decideVersions(
  store: GenerationStore,
  ...versions: readonly string[]
): Promise<StorablePlugin[]> {
  const plugins = versions.map((version) => pluginFor('auth', version))
  for (const plugin of plugins) await decide(store, plugin)
  return plugins
}

describe('GenerationStore.soundVersion()', () => {
  const NO_CODE: ReadonlySet<string> = new Set()
  const cause = (kind: 'probation' | 'reload') => ({ kind, plugin: 'auth', version: '1.0.0' }) as const

  test('is the version that ran last before the live one, of those that never failed', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two, three] = await decideVersions(store, '1.0.0', '2.0.0', '3.0.0')
    assert.ok(one && two && three)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
    assert.deepEqual(await store.soundVersion('auth', new Set([two.plugin.codeHash])), one.plugin)
    await decide(store, two, { cause: cause('probation') })
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
    await decide(store, one, { cause: cause('probation') })
    assert.equal(await store.soundVersion('auth', NO_CODE), null)
    assert.equal(await store.soundVersion('other', NO_CODE), null)
  })

  test('is one that was taken back once somebody has asked for it again', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
    assert.ok(one && two)
    await decide(store, one, { cause: cause('probation') })
    await decide(store, two, { cause: cause('reload') })
    await decide(store, one)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })
})
