import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CHANGE_DEFAULTS, CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeSettings } from '../protocol/generation.ts'
import { Housekeeping } from './housekeeping.ts'
import type { StoredThing } from './store/pruning.ts'

function settings(generationsMax: number): ChangeSettings {
  return { ...CHANGE_DEFAULTS, generationsMax }
}

/** With a store that says how it was looked through: by which limit, and what was in use. */
function housekeeping(t: TestContext, fault: Error | null = null) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const looks: [generationsMax: number, inUse: readonly StoredThing[]][] = []
  const warnings: string[] = []
  const draining = { numbers: new Set<number>() }
  const engine = { isChanging: false, targets: new Set<StoredThing>() }
  const keeper = new Housekeeping({
    store: {
      async prune({ generationsMax }, inUse) {
        looks.push([generationsMax, [...inUse()]])
        if (fault !== null) throw fault
      },
    },
    log: { warn: (message) => void warnings.push(message) },
    draining,
    engine,
  })
  t.after(() => keeper.close())
  return {
    keeper,
    draining,
    engine,
    warnings,
    /** Those since the last time. */
    looks: () => looks.splice(0),
    rest: () => t.mock.timers.tick(CHANGE_LIMITS.pruneRestMs),
  }
}

test('committed() looks at once, and then once for many commits, by what holds when it looks', (t) => {
  const { keeper, draining, looks, rest } = housekeeping(t)
  draining.numbers.add(1)
  keeper.committed(settings(10))
  assert.deepEqual(looks(), [[10, [1]]])
  keeper.committed(settings(20))
  keeper.committed(settings(30))
  draining.numbers.delete(1)
  draining.numbers.add(2)
  assert.deepEqual(looks(), [])
  rest()
  assert.deepEqual(looks(), [[30, [2]]])
  rest()
  assert.deepEqual(looks(), [])
  keeper.committed(settings(40))
  assert.deepEqual(looks(), [[40, [2]]])
})

test('committed() takes nothing away from a change that is under way: its commit looks', (t) => {
  const { keeper, engine, looks, rest } = housekeeping(t)
  keeper.committed(settings(1))
  keeper.committed(settings(2))
  looks()
  engine.isChanging = true
  rest()
  rest()
  assert.deepEqual(looks(), [])
  keeper.committed(settings(3))
  assert.deepEqual(looks(), [[3, []]])
})

test('committed() leaves whole what a change is to bring back that waits behind it', (t) => {
  const { keeper, draining, engine, looks } = housekeeping(t)
  draining.numbers.add(1)
  engine.targets.add(3)
  engine.targets.add('hash')
  keeper.committed(settings(10))
  assert.deepEqual(looks(), [[10, [1, 3, 'hash']]])
})

test('committed() says what cannot be removed, and looks again after the next commit', async (t) => {
  const { keeper, warnings, looks, rest } = housekeeping(t, new Error('the disk is read-only'))
  keeper.committed(settings(1))
  await Promise.resolve()
  assert.deepEqual(warnings, ['Cannot remove what is not needed any more: the disk is read-only'])
  rest()
  keeper.committed(settings(1))
  assert.equal(looks().length, 2)
})

test('close() leaves the store alone, whatever is committed yet', (t) => {
  const { keeper, looks, rest } = housekeeping(t)
  keeper.committed(settings(1))
  keeper.committed(settings(1))
  looks()
  keeper.close()
  rest()
  keeper.committed(settings(1))
  assert.deepEqual(looks(), [])
})
