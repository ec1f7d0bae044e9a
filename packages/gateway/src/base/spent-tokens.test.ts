import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SpentTokens, windowMsOf } from './spent-tokens.ts'

test('windowMsOf() is whole although the rate is a fraction', () => {
  assert.equal(windowMsOf(100 / 60, 100), 60_000)
  assert.equal(windowMsOf(7 / 3.6, 7), 3_600)
  assert.equal(windowMsOf(1e9, 1), 1)
})

test('recycle() gives all of a fixed window back at its end, wherever in it that was used', () => {
  const spent = new SpentTokens('fixed', 1_000, 5_400)
  spent.spend(3)
  assert.equal(spent.recycle(5_999), 0)
  spent.spend(2)
  assert.equal(spent.untilMs(1, 5_999), 1)
  assert.equal(spent.recycle(6_000), 5)
  assert.equal(spent.total, 0)
  assert.equal(spent.recycle(7_000), 0)
})

test('recycle() gives what was used of a sliding window back evenly in the one after it', () => {
  const spent = new SpentTokens('sliding', 1_000, 5_000)
  spent.spend(10)
  assert.equal(spent.recycle(5_999), 0)
  assert.equal(spent.untilMs(5, 5_500), 1_000)
  assert.equal(spent.recycle(6_000), 0)
  assert.equal(spent.recycle(6_500), 5)
  spent.spend(4)
  assert.equal(spent.total, 9)
  assert.equal(spent.untilMs(2.5, 6_500), 250)
  assert.equal(spent.untilMs(7, 6_500), 1_000)
  assert.equal(spent.recycle(7_000), 5)
  assert.equal(spent.recycle(7_250), 1)
  assert.equal(spent.recycle(9_900), 3)
  assert.equal(spent.total, 0)
})

test('recycle() gives everything back after more than a window without a look', () => {
  const spent = new SpentTokens('sliding', 1_000, 0)
  spent.spend(10)
  assert.equal(spent.recycle(2_000), 10)
})
