import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durationMs, sizeBytes } from './units.ts'

test('durationMs() and sizeBytes() read what the formats "duration" and "bytes" let pass', () => {
  const durations = [
    ['0', 0],
    [0, 0],
    ['5ms', 5],
    ['1.5s', 1_500],
    ['1.1s', 1_100],
    ['10m', 600_000],
    ['24d', 2_073_600_000],
  ] as const
  for (const [text, ms] of durations) assert.equal(durationMs(text), ms, String(text))
  for (const [text, bytes] of [
    ['0', 0],
    ['1B', 1],
    ['10MB', 10_000_000],
    ['64KiB', 65_536],
    ['0.5GiB', 536_870_912],
  ] as const) {
    assert.equal(sizeBytes(text), bytes, text)
  }
})

test('durationMs() and sizeBytes() throw on all else', () => {
  for (const text of [
    '',
    '5',
    5,
    '5 s',
    's',
    '-5s',
    '5S',
    '1e3s',
    'constructor',
    '1constructor',
    `${'9'.repeat(20)}d`,
  ]) {
    assert.throws(() => durationMs(text), RangeError, String(text))
    assert.throws(() => sizeBytes(text), RangeError, String(text))
  }
})
