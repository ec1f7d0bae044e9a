import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { NodeServices, Opened } from '../plugin-host/services.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { SimulatedNode } from './test-node.ts'

/** What workers say of the rotation of files: the wishes of what is live in them, and nobody else's. */

const FILE = 'a.log'

/** An instance that asks for the file; live only when the test says so. */
interface User {
  readonly opened: Opened<NodeServices>
  readonly plan: InstancePlan
}

function nodeOf(t: TestContext, workers = 1) {
  const node = new SimulatedNode({ workers })
  t.after(() => node.close())
  const stage = (keep?: number, worker = 1): User => {
    const plan = instancePlan({ permissions: ['sink'] })
    const opened = node.client(worker).open(plan, { debug() {}, info() {}, warn() {}, error() {} })
    opened.services.sink(FILE, keep === undefined ? undefined : { keep })
    return { opened, plan }
  }
  /** What was said since the last call: by each message the numbers of files to be kept. */
  let from = 0
  const said = (): (number | null)[][] => {
    node.advance(10)
    const found = node.said.slice(from).map(({ message }) => message)
    from = node.said.length
    return found
      .filter((message) => message.kind === 'sink-rotation')
      .map(({ wishes }) => wishes.map(({ keep }) => keep).toSorted())
  }
  return { node, stage, said }
}

const goLive = ({ opened, plan }: User): void => opened.goLive?.(plan, null)

test('an instance has no say in rotation before its generation is live, nor when that is discarded', (t) => {
  const { stage, said } = nodeOf(t)
  const live = stage(100)
  assert.deepEqual(said(), [])
  goLive(live)
  assert.deepEqual(said(), [[100]])
  const rejected = stage(0)
  rejected.opened.release()
  assert.deepEqual(said(), [])
  // The next one carries what is live: nothing is new.
  live.opened.retire?.()
  goLive(live)
  assert.deepEqual(said(), [])
})

test('when one of two instances goes, what the other wants holds; when both have, nothing does', (t) => {
  const { stage, said } = nodeOf(t)
  const [one, other, silent] = [stage(1), stage(2), stage()]
  for (const user of [one, other, silent]) goLive(user)
  assert.deepEqual(said(), [[1, 2, null]])
  other.opened.release()
  silent.opened.release()
  assert.deepEqual(said(), [[1]])
  one.opened.release()
  assert.deepEqual(said(), [[]])
})

test('an instance whose generation has a successor has a say only where nobody follows it', (t) => {
  const { stage, said } = nodeOf(t)
  const [old, next] = [stage(1), stage(2)]
  goLive(old)
  assert.deepEqual(said(), [[1]])
  old.opened.retire?.()
  goLive(next)
  assert.deepEqual(said(), [[2]])
  next.opened.retire?.()
  next.opened.release()
  // It still writes what its last exchanges leave.
  assert.deepEqual(said(), [[1]])
  old.opened.release()
  assert.deepEqual(said(), [[]])
})

test('what updateConfig asks for holds when its instance goes live, and never when it does not', (t) => {
  const { stage, said } = nodeOf(t)
  const user = stage(100)
  goLive(user)
  said()
  const { opened } = user
  const update = (keep: number): InstancePlan => {
    const plan = instancePlan({ permissions: ['sink'] })
    opened.beginUpdate?.({ plan, wentLive: false, isGivenUp: false }, null)
    opened.services.sink(FILE, { keep })
    opened.endUpdate?.()
    return plan
  }
  const sink = opened.services.sink(FILE)
  update(0)
  opened.retire?.()
  goLive(user)
  assert.deepEqual(said(), [])
  assert.equal(sink.write('the file stays open'), true)
  const next = update(7)
  assert.deepEqual(said(), [])
  opened.retire?.()
  opened.goLive?.(next, null)
  assert.deepEqual(said(), [[7]])
  // A rollback carries the first one, as long as it lives.
  opened.retire?.()
  goLive(user)
  assert.deepEqual(said(), [[100]])
})

test('an instance that is live is heard at once, and stdout is never rotated', (t) => {
  const { stage, said } = nodeOf(t)
  const user = stage(1)
  goLive(user)
  said()
  user.opened.services.sink(FILE, { keep: 3 })
  user.opened.services.sink('-', { keep: 3 })
  assert.deepEqual(said(), [[3]])
})

test('a supervisor or a worker that is started anew comes to the same rules', (t) => {
  const { node, stage, said } = nodeOf(t, 2)
  const users = [stage(1, 1), stage(9, 1), stage(1, 2), stage(9, 2)]
  for (const user of users) goLive(user)
  stage(0, 1)
  assert.deepEqual(said(), [
    [1, 9],
    [1, 9],
  ])
  node.killSupervisor()
  node.advance(10)
  node.startSupervisor()
  assert.deepEqual(said(), [
    [1, 9],
    [1, 9],
  ])
  node.killWorker(2)
  node.spawnWorker(2)
  assert.deepEqual(said(), [])
  goLive(stage(9, 2))
  assert.deepEqual(said(), [[9]])
})
