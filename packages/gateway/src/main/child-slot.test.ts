import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { ChildSlot, childFlags } from './child-slot.ts'

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

test('childFlags() gives processes that run plugin code what keeps them small and interruptible, and a supervisor none of it', () => {
  const ofSupervisor = childFlags('supervisor.ts', [])
  for (const entry of ['worker.ts', 'trial.ts'] as const) {
    const flags = childFlags(entry, ofSupervisor)
    for (const flag of ['--no-compilation-cache', '--no-force-async-hooks-checks', ...ofSupervisor]) {
      assert.equal(flags.filter((other) => other === flag).length, 1, `${flag} of ${entry}`)
    }
  }
  assert.deepEqual(ofSupervisor, ['--disable-sigusr1', '--max-semi-space-size=4'])
})

test('childFlags() passes on what is set by hand, behind what is required, and never the inspector', () => {
  const flags = childFlags('worker.ts', ['--max-semi-space-size=8', '--inspect=0', '--inspect-brk'])
  assert.ok(flags.indexOf('--max-semi-space-size=8') > flags.indexOf('--max-semi-space-size=4'))
  assert.deepEqual(
    flags.filter((flag) => flag.startsWith('--inspect')),
    [],
  )
})
