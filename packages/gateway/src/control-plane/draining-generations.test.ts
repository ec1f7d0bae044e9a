import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlanPacker } from '../protocol/packed-plan.ts'
import type { SupervisorToWorker } from '../protocol/supervisor-worker.ts'
import { DrainingGenerations } from './draining-generations.ts'
import { Workers } from './workers.ts'

function withWorker(generation: number) {
  const sent: SupervisorToWorker[] = []
  const workers = new Workers((_, message) => void sent.push(message), new PlanPacker())
  workers.spawned(1)
  workers.started(1, generation)
  const draining = new DrainingGenerations(workers, () => [1, 2, 3])
  return { workers, sent, numbers: () => [...draining.numbers] }
}

test('numbers are those of all generations that run somewhere, until they have retired there', () => {
  const { workers, numbers } = withWorker(2)
  assert.deepEqual(numbers(), [2])
  workers.started(1, 3)
  assert.deepEqual(numbers(), [2, 3])
  workers.retired(1, 2)
  assert.deepEqual(numbers(), [3])
})

test('numbers are also those of generations that were replaced under the supervisor before', async () => {
  const { workers, sent, numbers } = withWorker(3)
  const recounted = workers.recount()
  const [question] = sent
  assert.ok(question?.kind === 'census')
  const counters = { pid: 1, rssBytes: 0, heapBytes: 0, connections: 0, exchanges: 1, requestsTotal: 1 }
  const generations = [1, 3].map((number) => ({ number, exchanges: 1, oldest: [] }))
  workers.answered(1, { kind: 'census', id: question.id, census: { ...counters, generations } })
  await recounted
  assert.deepEqual(numbers(), [1, 3])
  workers.ended(1, 'SIGKILL')
  assert.deepEqual(numbers(), [])
})
