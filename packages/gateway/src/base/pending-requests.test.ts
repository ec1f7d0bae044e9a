import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PendingRequests } from './pending-requests.ts'

test('answer rejects at the timeout, and a late answer finds nobody', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const pending = new PendingRequests<string>()
  const request = pending.start('stage in worker 1', 50)
  const failed = assert.rejects(request.answer, { message: 'stage in worker 1: no answer within 50 ms' })
  t.mock.timers.tick(50)
  await failed
  assert.equal(pending.settle(request.id, 'late'), false)
})

test('rejectAll() ends every request that waits, once', async () => {
  const pending = new PendingRequests<string>()
  const first = pending.start('stage in worker 1', 1_000)
  const second = pending.start('commit in worker 1', 1_000)
  pending.rejectAll('the worker ended')
  await assert.rejects(first.answer, { message: 'stage in worker 1: the worker ended' })
  await assert.rejects(second.answer, { message: 'commit in worker 1: the worker ended' })
  assert.equal(pending.settle(first.id, 'late'), false)
})

test('settle() gives each request its own answer, whatever the order', async () => {
  const pending = new PendingRequests<string>()
  const first = pending.start('a', 1_000)
  const second = pending.start('b', 1_000)
  assert.notEqual(first.id, second.id)
  assert.equal(pending.settle(second.id, 'second'), true)
  assert.equal(pending.settle(first.id, 'first'), true)
  assert.deepEqual([await first.answer, await second.answer], ['first', 'second'])
})
