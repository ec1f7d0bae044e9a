import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseWrkOutput, wrkFaults } from './wrk.ts'

const ERRORS = { connect: 0, read: 0, write: 0, timeout: 0, status: 0 }
const RESULT = {
  requests: 1_000,
  bytes: 154_000,
  durationMicroseconds: 1_000_000,
  p50Microseconds: 822,
  p99Microseconds: 1_239,
  errors: ERRORS,
}

test('parseWrkOutput() throws on an output without a result, and says what there was', () => {
  assert.throws(() => parseWrkOutput('unable to connect to 127.0.0.1:1'), /unable to connect/)
})

test('parseWrkOutput() throws on a result that is not whole', () => {
  assert.throws(() => parseWrkOutput('result {"requests":1}'), /broken result/)
  assert.throws(() => parseWrkOutput(`result ${JSON.stringify({ ...RESULT, errors: {} })}`), /broken result/)
})

test('parseWrkOutput() finds the result among the text that wrk prints', () => {
  const text = `Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\nresult ${JSON.stringify(RESULT)}\n`
  assert.deepEqual(parseWrkOutput(text), RESULT)
})

test('wrkFaults() names socket errors and answers that are not 2xx or 3xx', () => {
  const result = { ...RESULT, errors: { ...ERRORS, read: 3, status: 2 } }
  assert.deepEqual(wrkFaults(result, 54), ['3 read errors', '2 answers ≥ 400'])
})

test('wrkFaults() finds silence and short answers invalid', () => {
  assert.deepEqual(wrkFaults({ ...RESULT, requests: 0 }, 54), ['no request was answered'])
  assert.deepEqual(wrkFaults(RESULT, 155), ['answers shorter than the upstream sent'])
})

test('wrkFaults() is empty for a clean run', () => {
  assert.deepEqual(wrkFaults(RESULT, 54), [])
})
