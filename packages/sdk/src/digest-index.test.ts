import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { digestIndex } from './digest-index.ts'

test('digestIndex() is a small integer that tells nearly all digests apart', () => {
  const digests = Array.from({ length: 10_000 }, (_, n) =>
    createHash('sha256').update(`${n}`).digest('base64url'),
  )
  const indices = digests.map(digestIndex)
  for (const index of indices) assert.ok(Number.isInteger(index) && index >= 0 && index < 2 ** 30)
  assert.ok(new Set(indices).size > 9_990)
})

test('digestIndex() goes by the start of a digest, and takes any text', () => {
  assert.equal(digestIndex('abcdef'), digestIndex('abcdeg'))
  assert.notEqual(digestIndex('abcde'), digestIndex('abcdf'))
  assert.equal(digestIndex(''), 0)
  assert.ok(digestIndex('\uffff'.repeat(9)) < 2 ** 30)
})
