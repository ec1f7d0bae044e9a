import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Stage } from './recovery/stage.ts'

/** A change that hangs does not keep what is saved next waiting. The deadline of its start would be far away. */

const timeout = 200_000

for (const place of ['trial', 'worker-1'] as const) {
  test(`a save takes the place of one that hangs at its start in ${place}`, { timeout }, async (t) => {
    const stage = await Stage.start(t)
    const said = stage.listen()
    await stage.save('start', [place])
    await stage.reached('start', 1)
    const hanging = stage.version
    await stage.save()
    await stage.agrees()
    await said(/A change that took long has given way to what was saved since/)
    assert.doesNotMatch(stage.gateway.stderr, /The change failed/)
    // And nothing of it is left that the next change could trip over.
    await stage.plugin.release(hanging, 'start')
    await stage.save()
    await stage.agrees()
    assert.deepEqual(stage.faults, [])
  })
}
