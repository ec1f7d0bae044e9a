import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChangeCause } from '../protocol/control.ts'
import { noticesOf } from './change-account.ts'
import type { Candidate } from './gather.ts'

test('noticesOf() says that a plugin stays off that was rolled back, also where that was approved', () => {
  const candidate = (disabled: readonly string[]) =>
    ({ plan: { settings: { workers: 1 } }, overlay: { controls: { disabled } } }) as unknown as Candidate
  const rollback = { kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' } as const
  const ground = { workerCount: 1, isServing: true }
  for (const cause of [rollback, { kind: 'approve', of: rollback }] satisfies ChangeCause[]) {
    assert.match(
      noticesOf(candidate(['auth']), cause, ground).join(),
      /^plugin auth is switched off .*enable auth" ends/,
    )
    assert.deepEqual(noticesOf(candidate(['other']), cause, ground), [])
  }
})
