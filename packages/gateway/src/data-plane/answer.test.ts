import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERRORS, type ErrorCode } from '../base/errors.ts'
import { problemAnswer } from './answer.ts'

const codes = Object.keys(ERRORS) as ErrorCode[]

test('problemAnswer() says when to come again where that can help, and nowhere else', () => {
  const saying = codes.filter((code) => problemAnswer(code, null, 'id').fields.has('retry-after'))
  assert.deepEqual(saying.sort(), [
    'DRAIN_DEADLINE_PASSED',
    'GATEWAY_NOT_READY',
    'GATEWAY_OVERLOADED',
    'GENERATION_EXPIRED',
    'PLUGIN_BREAKER_OPEN',
    'UPSTREAM_QUEUE_FULL',
    'UPSTREAM_QUEUE_TIMEOUT',
  ])
})
