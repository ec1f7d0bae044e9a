import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { WorkerCensus } from '../protocol/supervisor-worker.ts'
import { planOf, withWorkers } from './test-workers.ts'

/** Workers that do not answer, or not in time. */

const plan = planOf(7)

/** Both have started, the first has staged, and the second is asked whether it is there. */
async function withSilence(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const given = withWorkers(2)
  const { workers, idFor } = given
  workers.started(1, 6)
  workers.started(2, 6)
  const staged = workers.stage(plan)
  staged.catch(() => {})
  workers.answered(1, { kind: 'staged', id: idFor(1) })
  const isAsked = (kind: string) =>
    given.sent.some(({ worker, message }) => worker === 2 && message.kind === kind)
  const asked = async (kind: string): Promise<void> => {
    for (let turn = 0; turn < 50 && !isAsked(kind); turn++) await null
    assert.ok(isAsked(kind))
  }
  await asked('stage')
  t.mock.timers.tick(PROCESS_LIMITS.stageCheckMs)
  await asked('census')
  return { ...given, staged }
}

test('stage() rejects with the worker that answers nothing any more, which may be tried again without it', async (t) => {
  const { staged } = await withSilence(t)
  t.mock.timers.tick(PROCESS_LIMITS.answerTimeoutMs)
  await assert.rejects(staged, { code: 'WORKER_LOST', worker: 2, message: /does not answer any more/ })
})

/** The first of two workers is asked for its states, says nothing, and is asked whether it is there. */
async function withSilentStates(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const given = withWorkers(2)
  for (const worker of [1, 2]) given.workers.reached(worker, 'listening')
  const states = given.workers.states(['a'])
  states.catch(() => {})
  t.mock.timers.tick(PROCESS_LIMITS.answerTimeoutMs)
  for (let turn = 0; turn < 50 && given.sent.at(-1)?.message.kind !== 'census'; turn++) await null
  return { ...given, states }
}

test('states() rejects with the worker that answers nothing any more', async (t) => {
  const { states } = await withSilentStates(t)
  t.mock.timers.tick(PROCESS_LIMITS.answerTimeoutMs)
  await assert.rejects(states, { code: 'WORKER_LOST', worker: 1, message: /does not answer any more/ })
})

test('states() blames nobody who answers again, or has ended: it may be tried again', async (t) => {
  const { states, workers, idFor } = await withSilentStates(t)
  workers.answered(1, { kind: 'census', id: idFor(1), census: {} as unknown as WorkerCensus })
  const isNobodys = (thrown: Error) =>
    !('worker' in thrown) && 'code' in thrown && thrown.code === 'WORKER_LOST'
  await assert.rejects(states, isNobodys)
  const ended = workers.states(['a'])
  workers.ended(1, 'SIGKILL')
  await assert.rejects(ended, isNobodys)
})

test('stage() spares a worker that takes too long and still answers; discard() reaches it', async (t) => {
  const { workers, sent, staged, idFor } = await withSilence(t)
  const census = { generations: [] } as unknown as WorkerCensus
  for (let ms = PROCESS_LIMITS.stageCheckMs; ms < PROCESS_LIMITS.stageTimeoutMs; ) {
    workers.answered(2, { kind: 'census', id: idFor(2), census })
    await setImmediate()
    t.mock.timers.tick(PROCESS_LIMITS.stageCheckMs)
    ms += PROCESS_LIMITS.stageCheckMs
    await setImmediate()
  }
  await assert.rejects(staged, { name: 'Error', message: /no answer within/ })
  workers.discard(plan.number)
  const discards = sent.filter(({ message }) => message.kind === 'discard')
  assert.deepEqual(
    discards,
    [1, 2].map((worker) => ({ worker, message: { kind: 'discard', generation: 7 } })),
  )
})
