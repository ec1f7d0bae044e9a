import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Log } from '@cardea/sdk'
import { CHANGE_DEFAULTS, CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeSettings } from '../protocol/generation.ts'
import { Housekeeping } from './housekeeping.ts'
import type { GenerationStore } from './store/generation-store.ts'

interface Look {
  readonly generationsMax: number
  readonly inUse: readonly number[]
}

function settings(generationsMax: number): ChangeSettings {
  return { ...CHANGE_DEFAULTS, generationsMax }
}

/** A store that says how it was looked through; `draining` are the numbers in use. */
function housekeeping(t: TestContext, draining: Set<number>, fault: Error | null = null) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const looks: Look[] = []
  const warnings: string[] = []
  const store: Pick<GenerationStore, 'prune'> = {
    async prune({ generationsMax }, inUse) {
      looks.push({ generationsMax, inUse: [...inUse] })
      if (fault !== null) throw fault
    },
  }
  const log = { warn: (message: string) => void warnings.push(message) }
  const keeper = new Housekeeping({
    store: store as GenerationStore,
    log: log as Log,
    inUse: () => draining,
  })
  t.after(() => keeper.close())
  return { keeper, looks, warnings, pass: () => t.mock.timers.tick(CHANGE_LIMITS.pruneAfterMs) }
}

test('committed() looks once for many commits, by what holds when it looks', (t) => {
  const draining = new Set([1])
  const { keeper, looks, pass } = housekeeping(t, draining)
  keeper.committed(settings(10))
  keeper.committed(settings(20))
  draining.delete(1)
  draining.add(2)
  assert.deepEqual(looks, [])
  pass()
  assert.deepEqual(looks, [{ generationsMax: 20, inUse: [2] }])
  pass()
  assert.equal(looks.length, 1)
  keeper.committed(settings(30))
  pass()
  assert.equal(looks.length, 2)
})

test('committed() says what cannot be removed, and looks again after the next commit', async (t) => {
  const { keeper, looks, warnings, pass } = housekeeping(t, new Set(), new Error('the disk is read-only'))
  keeper.committed(settings(1))
  pass()
  await Promise.resolve()
  assert.deepEqual(warnings, ['Cannot remove what is not needed any more: the disk is read-only'])
  keeper.committed(settings(1))
  pass()
  assert.equal(looks.length, 2)
})

test('close() leaves the store alone', (t) => {
  const { keeper, looks, pass } = housekeeping(t, new Set())
  keeper.committed(settings(1))
  keeper.close()
  pass()
  assert.deepEqual(looks, [])
})
