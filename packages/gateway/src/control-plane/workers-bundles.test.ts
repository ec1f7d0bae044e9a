import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import type { BundlePlan, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import { PlanPacker, unpackPlan } from '../protocol/packed-plan.ts'
import type { SupervisorToWorker, WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import { Workers } from './workers.ts'

/** What of the plugins' code goes to a worker with each change. */

const [A, B, C] = ['a', 'b', 'c'].map(bundle) as [BundlePlan, BundlePlan, BundlePlan]

function bundle(codeHash: string): BundlePlan {
  return {
    codeHash,
    code: `code of ${codeHash}`,
    sourceMap: `map of ${codeHash}`,
    entryFile: `/${codeHash}.ts`,
  }
}

function planOf(number: number, bundles: readonly BundlePlan[], quarantined: readonly string[] = []) {
  const instances = bundles.map(
    ({ codeHash }) => ({ codeHash, quarantined: quarantined.includes(codeHash) }) as InstancePlan,
  )
  return { number, upstreams: [], routes: [], instances, bundles } as unknown as GenerationPlan
}

type Answer = (message: SupervisorToWorker & { readonly id: number }) => WorkerToSupervisor['kind']

const willing: Answer = ({ kind }) => (kind === 'stage' ? 'staged' : 'committed')

/** A worker that serves nothing and answers each request with the kind that `answer` returns; null: never. */
function worker(answer: Answer = willing) {
  const sent: SupervisorToWorker[] = []
  const workers = new Workers((_, message) => {
    sent.push(message)
    if (!('id' in message)) return
    const kind = answer(message)
    workers.answered(1, { kind, id: message.id, at: 0 } as Parameters<Workers['answered']>[1])
  }, new PlanPacker())
  workers.spawned(1)
  workers.started(1, 0)
  const serve = async (plan: GenerationPlan): Promise<void> => {
    await workers.stage(plan)
    await workers.commit(plan)
  }
  /** The bundles of each `stage`: with their text, or their hash alone. */
  const staged = () =>
    sent.flatMap((message) =>
      message.kind === 'stage'
        ? [
            unpackPlan(message.plan).bundles.map((one) =>
              one.code === null ? `${one.codeHash} by name` : one.codeHash,
            ),
          ]
        : [],
    )
  return { workers, sent, serve, staged }
}

test('stage() leaves out the code that a worker runs, and sends what is new', async () => {
  const { serve, staged } = worker()
  await serve(planOf(1, [A, B]))
  await serve(planOf(2, [A, C]))
  await serve(planOf(3, [C, A, B]))
  assert.deepEqual(staged(), [
    ['a', 'b'],
    ['a by name', 'c'],
    ['c by name', 'a by name', 'b'],
  ])
})

test('stage() sends code again that comes from another file, or from other lines of it', async () => {
  const { serve, staged } = worker()
  await serve(planOf(1, [A, B, C]))
  await serve(planOf(2, [{ ...A, entryFile: '/moved.ts' }, { ...B, sourceMap: 'another map' }, { ...C }]))
  assert.deepEqual(staged()[1], ['a', 'b', 'c by name'])
})

test('stage() sends what is in quarantine where the worker is: it may never have been started there', async () => {
  const { serve, staged } = worker()
  await serve(planOf(1, [A, B], ['a']))
  await serve(planOf(2, [A, B]))
  await serve(planOf(3, [A, B]))
  assert.deepEqual(staged().slice(1), [
    ['a', 'b by name'],
    ['a by name', 'b by name'],
  ])
})

test('stage() counts only what was committed: what was discarded is gone from the worker', async () => {
  const { workers, serve, staged } = worker()
  await serve(planOf(1, [A]))
  await workers.stage(planOf(2, [A, B]))
  workers.discard(2)
  await serve(planOf(2, [A, B]))
  assert.deepEqual(staged().slice(1), [
    ['a by name', 'b'],
    ['a by name', 'b'],
  ])
})

test('stage() sends all to a worker whose predecessor had it', async () => {
  const { workers, serve, staged } = worker()
  await serve(planOf(1, [A]))
  workers.ended(1, 'SIGKILL')
  workers.spawned(1)
  // As the master started it.
  workers.started(1, 1)
  await serve(planOf(2, [A]))
  workers.retiring(1, 2)
  workers.spawned(1)
  workers.started(1, 2)
  await serve(planOf(3, [A]))
  await serve(planOf(4, [A]))
  assert.deepEqual(staged(), [['a'], ['a'], ['a'], ['a by name']])
})

test('stage() sends all when only a predecessor of this supervisor knew what the worker has', async () => {
  const { workers, serve, staged } = worker()
  workers.started(1, 1)
  // It takes over: what serves is committed again.
  await workers.commit(planOf(1, [A]))
  await serve(planOf(2, [A]))
  assert.deepEqual(staged(), [['a']])
})

test('stage() goes on leaving out what is served when a commit is repeated', async () => {
  const { workers, serve, staged } = worker()
  await serve(planOf(1, [A]))
  await workers.commit(planOf(1, [A]))
  await serve(planOf(2, [A]))
  assert.deepEqual(staged(), [['a'], ['a by name']])
})

test('stage() and commit() send the whole plan to a worker that says it has not all of it', async () => {
  let isForgetful = false
  const { workers, serve, staged } = worker((message) => {
    const isSlim =
      message.kind === 'stage' && unpackPlan(message.plan).bundles.some(({ code }) => code === null)
    return isForgetful && isSlim ? 'bundles-missing' : willing(message)
  })
  await serve(planOf(1, [A]))
  isForgetful = true
  await workers.stage(planOf(2, [A]))
  assert.deepEqual(await workers.commit(planOf(3, [A])), { swappedAt: [0], failed: [] })
  await workers.catchUp(1, planOf(4, [A]))
  assert.equal(workers.generationOf(1), 4)
  const twice = [['a by name'], ['a']]
  assert.deepEqual(staged(), [['a'], ...twice, ...twice, ...twice])
})

test('stage() that was given up sends no whole plan any more', async () => {
  const { workers, serve, staged } = worker((message) => {
    if (message.kind !== 'stage' || unpackPlan(message.plan).number === 1) return willing(message)
    workers.discardUnfinished(2)
    return 'bundles-missing'
  })
  await serve(planOf(1, [A]))
  await assert.rejects(workers.stage(planOf(2, [A])), /Generation 2 is given up/)
  assert.deepEqual(staged(), [['a'], ['a by name']])
})

test('stage() of a number that was given up before is not given up', async () => {
  const { workers, serve, staged } = worker((message) =>
    message.kind === 'stage' && unpackPlan(message.plan).bundles.some(({ code }) => code === null)
      ? 'bundles-missing'
      : willing(message),
  )
  await serve(planOf(1, [A]))
  workers.discardUnfinished(2)
  await serve(planOf(2, [A]))
  assert.deepEqual(staged(), [['a'], ['a by name'], ['a']])
})

test('stage() rejects when the worker ends between the two', async () => {
  const { workers, serve } = worker((message) => {
    if (message.kind !== 'stage' || unpackPlan(message.plan).number === 1) return willing(message)
    queueMicrotask(() => workers.ended(1, 'SIGKILL'))
    return 'bundles-missing'
  })
  await serve(planOf(1, [A]))
  await assert.rejects(workers.stage(planOf(2, [A])), { code: 'WORKER_LOST' })
  await waitFor(() => workers.numbers.length === 0, 'the worker to be gone')
})

test('commit() and discard() forget what was packed: the code and secrets of a plan', async (t) => {
  const packer = new PlanPacker()
  const forget = t.mock.method(packer, 'forget')
  const workers = new Workers(() => {}, packer)
  await workers.commit(planOf(1, [A]))
  assert.equal(forget.mock.callCount(), 1)
  workers.discard(2)
  assert.equal(forget.mock.callCount(), 2)
})
