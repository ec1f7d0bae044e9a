import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import type { ConfigDiff } from '../protocol/control.ts'
import type { ChangeEngine } from './change-engine.ts'
import { Operations } from './operations.ts'
import type { StatusBoard } from './status-board.ts'
import { GenerationStore } from './store/generation-store.ts'
import { generationOf, pluginFor } from './store/test-support.ts'

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
  await store.prune({ generationsMax: 10, pluginVersionsMax: 0 }, new Set())
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
