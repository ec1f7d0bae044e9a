import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff } from './backoff.ts'

const options = { firstDelayMs: 100, delayMaxMs: 1_000, healthyMs: 5_000 }

test('nextDelayMs() doubles up to the maximum while lives are short', () => {
  const backoff = new Backoff(options)
  const delays = Array.from({ length: 7 }, () => backoff.nextDelayMs(10))
  assert.deepEqual(delays, [0, 100, 200, 400, 800, 1_000, 1_000])
})

test('nextDelayMs() stays at the maximum after thousands of short lives', () => {
  const backoff = new Backoff(options)
  for (let life = 0; life < 5_000; life += 1) backoff.nextDelayMs(0)
  assert.equal(backoff.nextDelayMs(0), 1_000)
})

test('nextDelayMs() is 0 again after a healthy life', () => {
  const backoff = new Backoff(options)
  backoff.nextDelayMs(10)
  backoff.nextDelayMs(10)
  assert.equal(backoff.nextDelayMs(5_000), 0)
  assert.equal(backoff.nextDelayMs(10), 100)
})
