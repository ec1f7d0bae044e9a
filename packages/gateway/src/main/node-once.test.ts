import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ONCE_LIMITS } from '../config/limits.ts'
import { SimulatedNode } from './test-node.ts'

/** `host.once` between workers and a supervisor that can die at any moment. */

/** Where a task runs now, and where it has run. */
class Runs {
  readonly now: string[] = []
  readonly started: string[] = []
  most = 0

  /** A task that runs until it is told to end, and ends at once then. */
  task(name: string): (signal: AbortSignal) => Promise<void> {
    return (signal) => {
      this.now.push(name)
      this.started.push(name)
      this.most = Math.max(this.most, this.now.length)
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          this.ended(name)
          reject(signal.reason)
        })
      })
    }
  }

  ended(name: string): void {
    const index = this.now.indexOf(name)
    if (index >= 0) this.now.splice(index, 1)
  }
}

function nodeOf(t: TestContext, workers: number): SimulatedNode {
  const node = new SimulatedNode({ workers })
  t.after(() => node.close())
  return node
}

/** Milliseconds one by one: what a task does in a promise happens in its turn. */
async function pass(node: SimulatedNode, durationMs: number): Promise<void> {
  for (let ms = 0; ms < durationMs; ms++) {
    node.advance(1)
    await turn()
  }
}

test('host.once runs a task in one worker, and in the next when that one dies', async (t) => {
  const node = nodeOf(t, 3)
  const runs = new Runs()
  for (const worker of [1, 2, 3]) node.services(worker).once('task', runs.task(`worker ${worker}`))
  await pass(node, 5)
  assert.deepEqual(runs.now, ['worker 1'])
  node.killWorker(1)
  runs.ended('worker 1')
  await pass(node, 5)
  assert.deepEqual(runs.now, ['worker 2'])
  node.killWorker(2)
  runs.ended('worker 2')
  await pass(node, 5)
  assert.deepEqual(runs.now, ['worker 3'])
  assert.equal(runs.most, 1)
})

test('host.once goes on where it runs when the supervisor dies, and starts nowhere else', async (t) => {
  for (let killedAfterMs = 0; killedAfterMs <= 6; killedAfterMs++) {
    const node = nodeOf(t, 2)
    const runs = new Runs()
    node.services(1).once('task', runs.task('worker 1'))
    node.services(2).once('task', runs.task('worker 2'))
    await pass(node, killedAfterMs)
    node.killSupervisor()
    await pass(node, 20)
    assert.ok(runs.now.length <= 1)
    node.startSupervisor()
    await pass(node, 20)
    assert.equal(runs.now.length, 1, `killed after ${killedAfterMs} ms`)
    assert.equal(runs.most, 1, `killed after ${killedAfterMs} ms`)
    assert.equal(runs.started.length, 1, `killed after ${killedAfterMs} ms`)
  }
})

test('host.once waits for what all workers say before a new supervisor gives a task away', async (t) => {
  const node = nodeOf(t, 2)
  const runs = new Runs()
  node.services(1).once('task', runs.task('worker 1'))
  await pass(node, 5)
  node.services(2).once('task', runs.task('worker 2'))
  await pass(node, 5)
  node.killSupervisor()
  // What the holder says arrives long after what the other says.
  node.delayMs = (worker) => (worker === 1 ? 50 : 1)
  node.startSupervisor()
  await pass(node, 150)
  assert.deepEqual(runs.started, ['worker 1'])
})

test('host.once hands a task from an instance to the next in the same worker, one at a time', async (t) => {
  const node = nodeOf(t, 2)
  const runs = new Runs()
  const old = node.open(1)
  old.services.once('task', runs.task('old'))
  node.services(2).once('task', runs.task('elsewhere'))
  await pass(node, 5)
  const next = node.open(1)
  next.services.once('task', runs.task('new'))
  await pass(node, 5)
  assert.deepEqual(runs.now, ['old'])
  await old.release()
  await pass(node, 5)
  assert.deepEqual(runs.now, ['new'], 'the worker keeps it')
  await next.release()
  await pass(node, 5)
  assert.deepEqual(runs.now, ['elsewhere'])
  assert.equal(runs.most, 1)
})

test('host.once never runs a task twice when instances come and go faster than messages travel', async (t) => {
  for (let stepMs = 0; stepMs <= 20; stepMs++) {
    const node = nodeOf(t, 2)
    node.delayMs = (worker) => (worker === 1 ? 10 : 1)
    const runs = new Runs()
    const first = node.open(1)
    first.services.once('task', runs.task('first'))
    await pass(node, 10)
    // The grant is on its way when the other worker waits for its turn.
    node.services(2).once('task', runs.task('elsewhere'))
    await pass(node, stepMs)
    await first.release()
    node.services(1).once('task', runs.task('second'))
    await pass(node, 60)
    assert.equal(runs.most, 1, `released ${stepMs} ms after the grant was sent: ${runs.started.join(', ')}`)
    assert.equal(runs.now.length, 1, `released ${stepMs} ms after the grant was sent`)
  }
})

test('host.once tries a task again that fails, with a pause that doubles, and never one that has ended', async (t) => {
  const node = nodeOf(t, 1)
  const startedAt: number[] = []
  node.services(1).once('failing', () => {
    startedAt.push(node.clock.nowMs())
    throw new Error('not today')
  })
  let ended = 0
  node.services(1).once('short', () => {
    ended += 1
  })
  await pass(node, 8_000)
  const pauses = startedAt.slice(1).map((at, index) => at - (startedAt[index] ?? 0))
  assert.deepEqual(
    pauses.slice(0, 3).map((pause) => Math.round(pause / 1_000)),
    [1, 1, 2],
  )
  assert.equal(ended, 1)
  assert.ok(node.logged.some((line) => line.includes('The task "failing" failed: not today')))
})

test('host.once lets a task that does not end have its time, says so, and goes on elsewhere', async (t) => {
  const node = nodeOf(t, 2)
  const runs = new Runs()
  const stubborn = node.open(1)
  stubborn.services.once('task', () => new Promise(() => runs.started.push('stubborn')))
  node.services(2).once('task', runs.task('elsewhere'))
  await pass(node, 5)
  await stubborn.release()
  await pass(node, ONCE_LIMITS.abortGraceMs - 1)
  assert.deepEqual(runs.started, ['stubborn'])
  await pass(node, 10)
  assert.deepEqual(runs.now, ['elsewhere'])
  assert.ok(node.logged.some((line) => line.includes('"task" goes on after its signal aborted')))
})

test('host.once moves with a worker that is replaced, and to another when that one ends', async (t) => {
  const node = nodeOf(t, 2)
  const runs = new Runs()
  node.services(1).once('task', runs.task('retiring'))
  node.services(2).once('task', runs.task('other'))
  await pass(node, 5)
  node.keeper.workerRetiring(1, -1)
  await pass(node, 5)
  assert.deepEqual(runs.now, ['retiring'])
  node.keeper.workerEnded(-1)
  runs.ended('retiring')
  await pass(node, 5)
  assert.deepEqual(runs.now, ['other'])
})

test('host.once refuses what is no name or no task', (t) => {
  const services = nodeOf(t, 1).services(1)
  const refused: readonly [unknown, unknown][] = [
    ['', () => {}],
    [5, () => {}],
    ['x'.repeat(ONCE_LIMITS.nameUnitsMax + 1), () => {}],
    ['task', 'no function'],
    ['task', undefined],
  ]
  for (const [name, task] of refused) {
    assert.throws(() => services.once(name as string, task as () => void), TypeError)
  }
})
