import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWithin } from './formats.ts'

test('isWithin() takes the bound itself, compares by size and not by text, and says nothing of what has no size', () => {
  for (const [text, bound, format, isAtLeast, isAtMost] of [
    ['1s', '1000ms', 'duration', true, true],
    ['999ms', '1s', 'duration', false, true],
    ['2m', '90s', 'duration', true, false],
    ['1KiB', '1024B', 'bytes', true, true],
    ['1KB', '1KiB', 'bytes', false, true],
    ['soon', '1s', 'duration', true, true],
    ['5s', '1KiB', 'bytes', true, true],
    ['5s', '1s', undefined, true, true],
    ['b', 'a', 'hostname', true, true],
  ] as const) {
    const what = `${text} of ${bound}`
    assert.equal(isWithin(text, bound, format, 1), isAtLeast, what)
    assert.equal(isWithin(text, bound, format, -1), isAtMost, what)
  }
})
