import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { planOf, withWorkers } from './test-workers.ts'

const plan = planOf(7)

test('numbers are in order, also when one was started anew', () => {
  const { workers } = withWorkers(3)
  workers.ended(1, 'it was killed')
  workers.spawned(1)
  assert.deepEqual(workers.numbers, [1, 2, 3])
})

test('haveReached() rejects when a worker ends before it is there', async () => {
  const { workers } = withWorkers(2)
  const listening = workers.haveReached('listening', 2)
  workers.reached(1, 'listening')
  workers.ended(2, 'SIGKILL')
  await assert.rejects(listening, {
    code: 'WORKER_START_FAILED',
    message: 'Cannot start worker 2: it ended (SIGKILL) before it was ready. The log has the cause',
  })
})

test('haveReached() rejects with the failure that a worker reports', async () => {
  const { workers } = withWorkers(1)
  const listening = workers.haveReached('listening', 1)
  const message = 'Cannot listen on 127.0.0.1:80: EACCES'
  workers.failed(1, { code: 'LISTEN_FAILED', message, plugin: null, stack: null })
  await assert.rejects(listening, { code: 'LISTEN_FAILED', message })
})

test('haveReached() rejects with a failure that came before anybody waited', async () => {
  const { workers } = withWorkers(2)
  workers.failed(1, { code: 'LISTEN_FAILED', message: 'taken', plugin: null, stack: null })
  await assert.rejects(workers.haveReached('listening', 2), { code: 'LISTEN_FAILED' })
})

test('haveReached() resolves with the last worker, and at once when all are there', async () => {
  const { workers } = withWorkers(2)
  const started = workers.haveReached('started', 2)
  workers.reached(2, 'listening')
  workers.reached(1, 'started')
  await started
  await workers.haveReached('started', 2)
})

test('stage() rejects with the error of the worker that cannot, plugin and stack kept', async () => {
  const { workers, idFor } = withWorkers(2)
  workers.started(1, 0)
  workers.started(2, 0)
  const staged = workers.stage(plan)
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await waitFor(() => idFor(2), 'the second worker is asked after the first')
  const failure = { code: 'PLUGIN_START_FAILED', message: 'Cannot start plugin "a"', plugin: 'a' } as const
  workers.answered(2, {
    kind: 'stage-failed',
    id: idFor(2),
    failure: { ...failure, stack: 'at plugin.ts:1' },
  })
  await assert.rejects(staged, (error: Error) => {
    assert.deepEqual({ ...error, message: error.message }, { ...failure, name: 'GatewayError' })
    assert.equal((error.cause as Error).stack, 'at plugin.ts:1')
    return true
  })
})

test('stage() also stages in workers that start meanwhile, once in each', async () => {
  const { workers, sent, idFor } = withWorkers(3)
  workers.started(2, 6)
  const staged = workers.stage(plan)
  workers.started(1, 6)
  workers.ended(3, 'SIGKILL')
  workers.spawned(3)
  workers.answered(2, { kind: 'staged', id: idFor(2) })
  await waitFor(() => idFor(1), 'the first worker is asked')
  workers.started(3, 6)
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await waitFor(() => idFor(3), 'the third worker is asked')
  workers.answered(3, { kind: 'staged', id: idFor(3) })
  await staged
  assert.deepEqual(
    sent.map(({ worker, message }) => [worker, message.kind]),
    [2, 1, 3].map((worker) => [worker, 'stage']),
  )
})

test('stage() rejects when a worker ends meanwhile', async () => {
  const { workers } = withWorkers(1)
  workers.started(1, 0)
  const staged = workers.stage(plan)
  workers.ended(1, 'exit code 1')
  await assert.rejects(staged, {
    code: 'WORKER_LOST',
    message: 'Cannot stage in worker 1: it ended (exit code 1)',
  })
})

test('commit() reaches every worker and resolves when all have acknowledged', async () => {
  const { workers, sent, idFor } = withWorkers(2)
  workers.started(1, 0)
  workers.started(2, 0)
  const staged = workers.stage(plan)
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await waitFor(() => idFor(2), 'the second worker is asked after the first')
  workers.answered(2, { kind: 'staged', id: idFor(2) })
  await staged
  const committed = workers.commit(plan)
  assert.deepEqual(
    sent.slice(2).map(({ worker, message }) => [worker, message.kind]),
    [
      [1, 'commit'],
      [2, 'commit'],
    ],
  )
  workers.answered(2, { kind: 'committed', id: idFor(2), at: 0 })
  workers.answered(1, { kind: 'committed', id: idFor(1), at: 0 })
  assert.deepEqual(await committed, { swappedAt: [0, 0], failed: [] })
})

test('haveRetired tells when every worker has retired or ended', () => {
  const { workers } = withWorkers(2)
  workers.started(1, 7)
  workers.started(2, 7)
  assert.equal(workers.haveRetired(7), false)
  workers.retired(1, 7)
  workers.retired(3, 7)
  assert.equal(workers.haveRetired(7), false)
  workers.ended(2, 'SIGKILL')
  assert.equal(workers.haveRetired(7), true)
  workers.spawned(2)
  workers.started(2, 7)
  assert.equal(workers.haveRetired(7), false)
})

test('an answer of a former worker settles nothing of its successor', async () => {
  const { workers, idFor } = withWorkers(1)
  workers.started(1, 0)
  const lost = assert.rejects(workers.stage(plan))
  const oldId = idFor(1)
  workers.ended(1, 'SIGKILL')
  await lost
  workers.spawned(1)
  workers.started(1, 0)
  const staged = workers.stage(plan)
  assert.notEqual(idFor(1), oldId)
  workers.answered(1, {
    kind: 'stage-failed',
    id: oldId,
    failure: { code: 'INTERNAL_ERROR', message: '', plugin: null, stack: null },
  })
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await staged
})

test('ended() of a worker that is no member any more makes nobody fail who waits for its successor', async () => {
  const { workers } = withWorkers(1)
  workers.retiring(1, 1001)
  workers.spawned(1)
  const listening = workers.haveReached('listening', 1)
  workers.ended(1001, 'exit code 0')
  workers.reached(1, 'listening')
  await listening
})

test('retiring() rejects what was asked of the worker', async () => {
  const { workers } = withWorkers(1)
  workers.reached(1, 'started')
  const staging = workers.stage(plan)
  workers.retiring(1, 1001)
  await assert.rejects(staging, { code: 'WORKER_LOST', message: /it is being replaced/ })
})

test('broadcast() reaches a worker that is being replaced, until it ends', () => {
  const { workers, sent } = withWorkers(1)
  const quarantine = { kind: 'quarantine', key: 'abc' } as const
  workers.retiring(1, 2)
  workers.broadcast(quarantine)
  workers.ended(2, 'exit code 0')
  workers.broadcast(quarantine)
  assert.deepEqual(
    sent.map(({ worker }) => worker),
    [2],
  )
})

test('trace() reaches workers that start later too, until it is over', () => {
  const { workers, sent } = withWorkers(1)
  workers.trace(true)
  workers.spawned(2)
  workers.started(2, 7)
  workers.trace(false)
  workers.spawned(3)
  workers.started(3, 7)
  assert.deepEqual(
    sent.map(({ worker, message }) => [worker, message]),
    [
      [1, { kind: 'tracing', on: true }],
      [2, { kind: 'tracing', on: true }],
      [1, { kind: 'tracing', on: false }],
      [2, { kind: 'tracing', on: false }],
    ],
  )
})

test('catchUp() waits for what a change stages in the same worker, and for its end', async () => {
  const { workers, sent, idFor } = withWorkers(1)
  const kinds = () => sent.map(({ message }) => message.kind)
  workers.started(1, 7)
  const older = planOf(8)
  const staged = workers.stage(planOf(9))
  const caughtUp = workers.catchUp(1, older)
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await staged
  assert.deepEqual(kinds(), ['stage'])
  workers.discard(9)
  await waitFor(() => kinds().length === 3, 'the older one to be staged')
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await waitFor(() => kinds().length === 4, 'the older one to be committed')
  workers.answered(1, { kind: 'committed', id: idFor(1), at: 1 })
  await caughtUp
  assert.deepEqual(kinds(), ['stage', 'discard', 'stage', 'commit'])
  assert.equal(workers.generationOf(1), 8)
})

test('stage() waits for a worker that catches up', async () => {
  const { workers, sent, idFor } = withWorkers(1)
  const kinds = () => sent.map(({ message }) => message.kind)
  workers.started(1, 7)
  const caughtUp = workers.catchUp(1, planOf(8))
  const staged = workers.stage(planOf(9))
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await waitFor(() => kinds().includes('commit'), 'the older one to be committed')
  workers.answered(1, { kind: 'committed', id: idFor(1), at: 1 })
  await caughtUp
  await waitFor(() => kinds().length === 3, 'the newer one to be staged')
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await staged
})

test('catchUp() does nothing any more when a change has brought the worker further', async () => {
  const { workers, sent, idFor } = withWorkers(1)
  workers.started(1, 7)
  const newest = planOf(9)
  const staged = workers.stage(newest)
  const caughtUp = workers.catchUp(1, planOf(8))
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await staged
  const committed = workers.commit(newest)
  await waitFor(() => sent.length === 2, 'the newest to be committed')
  workers.answered(1, { kind: 'committed', id: idFor(1), at: 1 })
  await Promise.all([committed, caughtUp])
  assert.deepEqual(
    sent.map(({ message }) => message.kind),
    ['stage', 'commit'],
  )
})

test('commit() tells why a worker does not: what it had staged did harm meanwhile', async () => {
  const { workers, idFor } = withWorkers(1)
  workers.started(1, 0)
  const staged = workers.stage(plan)
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  await staged
  const committed = workers.commit(plan)
  const failure = { code: 'PLUGIN_STALLED', message: 'It blocked', plugin: 'a', stack: null } as const
  workers.answered(1, { kind: 'stage-failed', id: idFor(1), failure })
  assert.deepEqual(await committed, { swappedAt: [], failed: [{ worker: 1, reason: 'It blocked' }] })
})

test('missedBy() tells of a commit from its begin: one that starts meanwhile with what was live before catches up', async () => {
  const { workers, sent, idFor } = withWorkers(2)
  const live = planOf(6)
  workers.started(2, 6)
  assert.deepEqual([workers.missedBy(2, live), workers.missedBy(2, null)], [null, null])
  const committed = workers.commit(plan)
  // It was started before the master knew of the plan, and says so after the others were asked.
  workers.started(1, 6)
  assert.equal(workers.missedBy(1, live), plan)
  const caughtUp = workers.catchUp(1, plan)
  for (const worker of [2, 1]) workers.answered(worker, { kind: 'staged', id: idFor(worker) })
  const isAsked = (worker: number): boolean =>
    sent.some((one) => one.worker === worker && one.message.kind === 'commit')
  await waitFor(() => isAsked(1) && isAsked(2), 'both to be asked to commit')
  for (const worker of [2, 1]) workers.answered(worker, { kind: 'committed', id: idFor(worker), at: worker })
  assert.deepEqual(await committed, { swappedAt: [2], failed: [] })
  await caughtUp
  assert.deepEqual([workers.generationOf(1), workers.generationOf(2)], [7, 7])
  assert.equal(workers.missedBy(1, live), null)
})

test('catchUp() is no failure of the successor when the worker ends meanwhile', async () => {
  const { workers, sent } = withWorkers(1)
  workers.started(1, 6)
  const caughtUp = workers.catchUp(1, plan)
  await waitFor(() => sent.length > 0, 'the worker to be asked')
  workers.ended(1, 'SIGKILL')
  workers.spawned(1)
  await caughtUp
})

test('catchUp() ends with the worker, be it replaced or dead, also while it waits for what a change has staged there', async () => {
  for (const leave of ['retiring', 'ended'] as const) {
    const { workers, idFor } = withWorkers(1)
    workers.started(1, 7)
    const staged = workers.stage(planOf(9))
    let isDone = false
    const caughtUp = workers.catchUp(1, planOf(8)).then(() => {
      isDone = true
    })
    workers.answered(1, { kind: 'staged', id: idFor(1) })
    await staged
    if (leave === 'retiring') workers.retiring(1, 1001)
    else workers.ended(1, 'SIGKILL')
    workers.spawned(1)
    workers.discard(9)
    await waitFor(() => isDone, `the end of it when the worker is ${leave}`)
    await caughtUp
  }
})
