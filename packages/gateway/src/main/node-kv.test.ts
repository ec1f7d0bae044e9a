import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Cloneable, KeyValueStore } from '@cardea/sdk'
import { KV_LIMITS } from '../config/limits.ts'
import { SimulatedNode } from './test-node.ts'

/** `host.kv` between workers and a supervisor that can die at any moment. */

function nodeOf(t: TestContext, workers = 2): SimulatedNode {
  const node = new SimulatedNode({ workers })
  t.after(() => node.close())
  return node
}

/** Lets time pass until the promise settles; what opens the store takes real turns besides. */
async function settled<T>(node: SimulatedNode, promise: Promise<T>): Promise<T> {
  let isDone = false
  const mark = (): void => {
    isDone = true
  }
  promise.then(mark, mark)
  for (let turns = 0; !isDone && turns < 1_000; turns++) {
    await turn()
    node.advance(1)
  }
  assert.ok(isDone, 'it never settled')
  return promise
}

const stores = (node: SimulatedNode): [KeyValueStore, KeyValueStore] => [
  node.services(1, 'p').kv,
  node.services(2, 'p').kv,
]

test('host.kv gives one worker what another has set, every cloneable kind', async (t) => {
  const node = nodeOf(t)
  const [first, second] = stores(node)
  const values: readonly Cloneable[] = [
    'text',
    0,
    null,
    false,
    [1, [2]],
    { deep: { list: [] } },
    new Date(5),
    new Uint8Array([0, 255]),
    10n,
  ]
  for (const value of values) {
    await settled(node, first.set('key', value))
    assert.deepEqual(await settled(node, second.get('key')), value)
  }
  await settled(node, second.delete('key'))
  assert.equal(await settled(node, first.get('key')), undefined)
  await settled(node, first.set('undefined', undefined as never))
  assert.deepEqual(await settled(node, second.list()), ['undefined'])
})

test('host.kv has an answer for every request when the supervisor dies at any moment of it', async (t) => {
  // Two messages of 1 ms each, and the moments between: killed and started anew after each.
  for (let killedAfterMs = 0; killedAfterMs <= 4; killedAfterMs++) {
    const node = nodeOf(t)
    const [first] = stores(node)
    await settled(node, first.get('warm'))
    const set = first.set('key', killedAfterMs)
    node.advance(killedAfterMs)
    node.killSupervisor()
    node.advance(5)
    node.startSupervisor()
    await settled(node, set)
    // The test's store is in memory and dies with its supervisor: only that there is an answer counts here.
    await settled(node, first.list())
  }
})

test('host.kv rejects what waits longer than its time, and forgets the late answer', async (t) => {
  const node = nodeOf(t)
  const [first] = stores(node)
  node.killSupervisor()
  const late = first.get('key')
  let failure: unknown
  late.catch((error: unknown) => {
    failure = error
  })
  node.advance(KV_LIMITS.timeoutMs - 1)
  await turn()
  assert.equal(failure, undefined)
  node.advance(1)
  await assert.rejects(late, { code: 'KV_UNAVAILABLE', message: /no answer within 5,000 ms/ })
  node.startSupervisor()
  await settled(node, first.set('key', 1))
})

test('host.kv bounds what waits while there is no supervisor, in number and in bytes', async (t) => {
  const node = nodeOf(t)
  const [first] = stores(node)
  node.killSupervisor()
  const value = 'x'.repeat(KV_LIMITS.valueBytesMax - 100)
  const waiting: Promise<unknown>[] = []
  let refused = 0
  for (let index = 0; index < KV_LIMITS.pendingBytesMax / KV_LIMITS.valueBytesMax + 10; index++) {
    waiting.push(first.set('key', value).catch(() => void refused++))
  }
  await turn()
  assert.ok(refused > 0 && refused < 11, `${refused} refused`)
  for (let index = 0; index < KV_LIMITS.pendingMax; index++) {
    waiting.push(first.get('none').catch(() => void refused++))
  }
  await turn()
  assert.ok(refused >= waiting.length - KV_LIMITS.pendingMax, `${refused} refused`)
  const before = refused
  node.startSupervisor()
  await settled(node, Promise.all(waiting))
  assert.equal(refused, before, 'what waited was answered')
  await settled(node, first.set('key', value))
})

test('host.kv refuses keys, values, limits and times that are none, before anything is sent', async (t) => {
  const node = nodeOf(t)
  const [store] = stores(node)
  const said = node.said.length
  await assert.rejects(store.get(''), TypeError)
  await assert.rejects(store.get(5 as never), { message: 'A key is a string, not number' })
  await assert.rejects(store.get('\ud800'), /lone surrogate/)
  await assert.rejects(store.set('é'.repeat(257), 1), { code: 'KV_LIMIT_EXCEEDED' })
  await assert.rejects(store.set('key', 'x'.repeat(KV_LIMITS.valueBytesMax)), { code: 'KV_LIMIT_EXCEEDED' })
  await assert.rejects(store.set('key', (() => 1) as never), { name: 'DataCloneError' })
  for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    await assert.rejects(store.set('key', 1, { ttlMs }), RangeError)
  }
  for (const limit of [-1, 1.5, Number.NaN, KV_LIMITS.listKeysMax + 1]) {
    await assert.rejects(store.list('', limit), RangeError)
  }
  assert.equal(node.said.length, said)
})

test('host.kv of an instance that has stopped rejects', async (t) => {
  const node = nodeOf(t)
  const opened = node.open(1, 'p')
  await opened.release()
  await assert.rejects(opened.services.kv.get('key'), {
    code: 'KV_UNAVAILABLE',
    message: /the instance has stopped/,
  })
})
