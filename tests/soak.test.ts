import assert from 'node:assert/strict'
import { test } from 'node:test'
import { soak } from './soak/soak.ts'

/** The short form of `npm run soak`; what takes hundreds of swaps to show, memory above all, is left to that. */
test('a gateway that is changed again and again under load fails no request, cuts no stream, mixes no exchange', async (t) => {
  const result = await soak(t, {
    codeSwaps: 14,
    configSwaps: 6,
    clients: 8,
    webSockets: 20,
    streams: 10,
    workers: 2,
    readsMemoryAfter: (swaps) => swaps % 10 === 0,
  })
  const { swaps, answered, streamMessages, complaints } = result
  assert.deepEqual(complaints, [])
  const { failed, mixed, cutStreams, workersLost } = result
  assert.deepEqual(
    { failed, mixed, cutStreams, workersLost },
    { failed: 0, mixed: 0, cutStreams: 0, workersLost: 0 },
  )
  assert.equal(result.changeMs.length, swaps)
  assert.ok(answered >= swaps && streamMessages >= 30, `${answered} answers, ${streamMessages} messages`)
  assert.deepEqual(
    result.memory.map((reading) => [reading.swaps, reading.workers.length]),
    [
      [10, 2],
      [20, 2],
    ],
  )
})
