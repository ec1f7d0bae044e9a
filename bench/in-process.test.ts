import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codecOperations } from './in-process/codec.ts'
import { bodyOperations, exchangeOperations } from './in-process/exchange.ts'
import { routingOperations } from './in-process/routing.ts'
import { timeOperations } from './in-process/timing.ts'
import { reportInProcess } from './in-process.ts'

test('timeOperations() refuses an operation that does nothing', async () => {
  await assert.rejects(timeOperations([{ name: 'idle', run: () => 0 }], 3), /idle did nothing/)
  await assert.rejects(timeOperations([{ name: 'idle', run: async () => 0 }], 3), /idle did nothing/)
})

test('timeOperations() runs every operation as often as told, warm-up included', async () => {
  let runs = 0
  for (const run of [() => ++runs, async () => ++runs]) {
    runs = 0
    const [timing] = await timeOperations([{ name: 'count', run }], 10)
    assert.equal(runs, 10 * (1 + 5))
    assert.ok(timing !== undefined && timing.nanoseconds.min > 0)
  }
})

test('codecOperations() and routingOperations() all do their work', () => {
  for (const { name, run } of [...codecOperations(), ...routingOperations()]) assert.ok(run() > 0, name)
})

test('exchangeOperations() write more for each plugin that sets a field', async () => {
  const [empty = 0, one = 0, five = 0] = (await exchangeOperations()).map(({ run }) => run())
  assert.ok(empty > 0 && one > empty && five > one)
})

test('bodyOperations() write the answer to its end', async () => {
  const [transformed = 0, streamed = 0] = await Promise.all(bodyOperations().map(({ run }) => run()))
  assert.ok(transformed > 0 && streamed === transformed)
})

test('reportInProcess() gives a row per operation', () => {
  const timing = { name: 'read', nanoseconds: { median: 12.4, min: 11.6, max: 20 }, allocatedBytes: 576 }
  const [, , row] = reportInProcess([timing]).split('\n')
  assert.equal(row?.replaceAll(/ +/g, ' '), '| read | 12 (12–20) | 576 |')
})
