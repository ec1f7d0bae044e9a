import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DURATION_MS_MAX, formatDuration, formatSize, parseDuration, parseSize } from './units.ts'

for (const text of [
  '',
  '5',
  '5 s',
  ' 5s',
  '-5s',
  '+5s',
  '5S',
  '5sec',
  '1m30s',
  '.5s',
  '5.s',
  '1e3s',
  '0.0001s',
  '25d',
  '5s\n',
  '٣s',
  '00x',
]) {
  test(`parseDuration() refuses ${JSON.stringify(text)}`, () => assert.equal(parseDuration(text), null))
}

for (const [text, ms] of [
  ['0', 0],
  ['0s', 0],
  ['1ms', 1],
  ['1.5s', 1_500],
  ['1.1s', 1_100],
  ['1m', 60_000],
  ['1h', 3_600_000],
  ['24d', 2_073_600_000],
] as const) {
  test(`parseDuration() reads "${text}" as ${ms} ms`, () => assert.equal(parseDuration(text), ms))
}

for (const text of [
  '',
  '5',
  '5 MB',
  '5mb',
  '5M',
  '5K',
  '-1B',
  '1.5B',
  '0.1KiB',
  '999999999999999GiB',
  '1KiBB',
]) {
  test(`parseSize() refuses ${JSON.stringify(text)}`, () => assert.equal(parseSize(text), null))
}

for (const [text, bytes] of [
  ['0', 0],
  ['1B', 1],
  ['1KB', 1_000],
  ['1KiB', 1_024],
  ['1.5MiB', 1_572_864],
  ['10MB', 10_000_000],
  ['2GiB', 2_147_483_648],
] as const) {
  test(`parseSize() reads "${text}" as ${bytes} bytes`, () => assert.equal(parseSize(text), bytes))
}

test('formatDuration() throws for what is not whole milliseconds', () => {
  assert.throws(() => formatDuration(0.5), RangeError)
})

test('formatDuration() and formatSize() write the shortest exact form', () => {
  assert.deepEqual([0, 1, 1_500, 60_000, 5_400_000].map(formatDuration), ['0', '1ms', '1500ms', '1m', '90m'])
  assert.deepEqual([0, 1, 1_000, 65_536, 1_048_576].map(formatSize), ['0', '1B', '1000B', '64KiB', '1MiB'])
})

test('parseDuration() and parseSize() read back what was written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: DURATION_MS_MAX }), (amount) => {
      assert.equal(parseDuration(formatDuration(amount)), amount)
      assert.equal(parseSize(formatSize(amount)), amount)
    }),
  )
})
