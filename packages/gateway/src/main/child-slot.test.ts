import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { ChildSlot } from './child-slot.ts'

test('spawn() that the system refuses is tried again, as after a death: the master lives on', async (t) => {
  const reasons: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const slot = new ChildSlot({
    name: 'a worker',
    entry: 'worker.ts',
    log: () => log,
    onSpawn() {},
    onMessage() {},
    onEnd: (reason) => void reasons.push(reason),
  })
  // Longer than an argument or a variable may be: no process can be started then.
  process.env.CARDEA_TEST_HUGE = 'x'.repeat(1_000_000)
  t.after(() => delete process.env.CARDEA_TEST_HUGE)
  slot.spawn()
  assert.equal(slot.pid, null)
  await waitFor(() => reasons.length >= 2, 'the second try')
  assert.match(reasons[0] ?? '', /E2BIG/)
  await slot.stop()
})
