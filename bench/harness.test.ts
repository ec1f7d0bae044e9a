import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeHarness, reportHarness } from './harness.ts'

test('judgeHarness() looks at the median of all runs but the first, which has to be below the bar', () => {
  const outcomeOf = (...further: number[]) => judgeHarness({ first: 9, further })[0]?.outcome
  assert.equal(outcomeOf(1.9, 5, 1.8), 'met')
  assert.equal(outcomeOf(2, 2, 1), 'missed')
})

test('reportHarness() shows the first run beside the others', () => {
  const [, , row] = reportHarness({ first: 3, further: [1, 1.25, 2] }).split('\n')
  assert.equal(row?.replaceAll(/ +/g, ' '), '| 100 tests | 3.00 | 1.25 | 1.00 | 2.00 |')
})
