import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuAdded, cpuRatio, faultsOf, findRow, isValid, spreadOf } from './results.ts'
import { percentile, rotate, spread } from './statistics.ts'
import { rowOf, sampleOf } from './test-rows.ts'

test('spread() throws on nothing', () => {
  assert.throws(() => spread([]), /no values/)
})

test('spread() takes the middle, or the middle of the two in the middle', () => {
  assert.deepEqual(spread([9, 1, 5]), { median: 5, min: 1, max: 9 })
  assert.deepEqual(spread([10, 2, 4, 1]), { median: 3, min: 1, max: 10 })
})

test('rotate() puts another item first in every round', () => {
  assert.deepEqual(rotate(['a', 'b', 'c'], 0), ['a', 'b', 'c'])
  assert.deepEqual(rotate(['a', 'b', 'c'], 4), ['b', 'c', 'a'])
  assert.deepEqual(rotate([], 3), [])
})

test('cpuRatio() is null when either row is invalid, missing or has no common round', () => {
  const good = rowOf('cardea', [20])
  assert.equal(cpuRatio(good, undefined), null)
  assert.equal(cpuRatio(good, rowOf('nginx', [])), null)
  assert.equal(cpuRatio(good, rowOf('nginx', [20], { problem: 'It ended.' })), null)
  assert.equal(
    cpuRatio(good, rowOf('nginx', [], { samples: [sampleOf({ faults: ['3 read errors'] })] })),
    null,
  )
  assert.equal(cpuRatio(good, rowOf('nginx', [], { samples: [sampleOf({ round: 1 })] })), null)
})

test('cpuRatio() compares round by round, so that a slow round of the machine cancels out', () => {
  const ratio = cpuRatio(rowOf('cardea', [30, 300, 33]), rowOf('nginx', [20, 200, 20]))
  assert.deepEqual(ratio, { median: 1.5, min: 1.5, max: 1.65 })
})

test('cpuAdded() is what a row takes above another in the same round', () => {
  assert.deepEqual(cpuAdded(rowOf('cardea', [30, 303, 31]), rowOf('cardea', [29, 301, 31])), {
    median: 1,
    min: 0,
    max: 2,
  })
  assert.equal(cpuAdded(rowOf('cardea', [30]), undefined), null)
})

test('faultsOf() names each fault once, the problem first', () => {
  const samples = [sampleOf({ faults: ['3 read errors'] }), sampleOf({ faults: ['3 read errors'] })]
  const row = rowOf('nginx', [], { samples, problem: 'It ended.' })
  assert.deepEqual(faultsOf(row), ['It ended.', '3 read errors'])
  assert.equal(isValid(row), false)
})

test('spreadOf() is null for a row without samples', () => {
  assert.equal(spreadOf(rowOf('nginx', []), 'p50Microseconds'), null)
  assert.equal(spreadOf(rowOf('nginx', [1, 2, 6]), 'cpuMicrosecondsPerRequest')?.median, 2)
})

test('spreadOf() leaves out samples that lack a measure, and is null where all do', () => {
  const samples = [4_000, null, 2_000].map((p99Microseconds) => sampleOf({ p99Microseconds }))
  assert.equal(spreadOf(rowOf('cardea', [], { samples }), 'p99Microseconds')?.median, 3_000)
  const without = rowOf('cardea', [], { samples: [sampleOf({ p99Microseconds: null })] })
  assert.equal(spreadOf(without, 'p99Microseconds'), null)
})

test('findRow() tells variants apart when asked', () => {
  const rows = [rowOf('cardea', [1]), rowOf('cardea', [2], { variant: 'plugins' })]
  assert.equal(findRow(rows, 'small', 'cardea', 'plugins'), rows[1])
  assert.equal(findRow(rows, 'small', 'cardea'), rows[0])
  assert.equal(findRow(rows, '64k', 'cardea'), undefined)
})

test('percentile() takes the value that so many are at or below, and nothing of an empty list', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((share) => percentile(hundred, share)),
    [1, 50, 99, 100],
  )
  assert.equal(percentile([7], 0.99), 7)
  assert.throws(() => percentile([], 0.5), /no values/)
})
