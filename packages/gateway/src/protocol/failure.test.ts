import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatewayError } from '../base/errors.ts'
import { errorOf, failureOf } from './failure.ts'

test('failureOf() calls what is not a GatewayError our own mistake, stack kept', () => {
  const error = new TypeError('x is not a function')
  const failure = failureOf(error)
  assert.deepEqual(
    [failure.code, failure.message, failure.stack],
    ['INTERNAL_ERROR', error.message, error.stack],
  )
})

test('failureOf() takes whatever was thrown', () => {
  for (const thrown of [undefined, null, 'no', 7, {}]) {
    assert.equal(failureOf(thrown).code, 'INTERNAL_ERROR')
  }
})

test('errorOf() gives back code, sentence, plugin and the stack of the cause', () => {
  const cause = new Error('no database')
  const error = new GatewayError('PLUGIN_START_FAILED', 'Cannot start plugin "a"', { cause, plugin: 'a' })
  const failure = structuredClone(failureOf(error))
  const copy = errorOf(failure)
  assert.deepEqual([copy.code, copy.message, copy.plugin], [error.code, error.message, 'a'])
  assert.equal((copy.cause as Error).stack, cause.stack)
  assert.deepEqual(failureOf(copy), failure)
})
