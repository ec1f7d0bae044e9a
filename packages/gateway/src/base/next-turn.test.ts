import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextTurn } from './next-turn.ts'

test('nextTurn() resolves in a later turn, and leaves no timer behind', async () => {
  let hasTurned = false
  setImmediate(() => {
    hasTurned = true
  })
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  await nextTurn()
  assert.ok(hasTurned)
  assert.equal(timers(), before)
})

test('nextTurn() resolves also where what waits for the end of the turn is forgotten', async (t) => {
  t.mock.method(globalThis, 'setImmediate', () => {})
  await nextTurn()
})
