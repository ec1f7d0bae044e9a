import assert from 'node:assert/strict'
import { test } from 'node:test'
import { queryObjects } from 'node:v8'
import type { NodeClock } from '../../base/node-clock.ts'
import { recordingLog } from '../test-support.ts'
import { OnceClient } from './once-client.ts'

const CLOCK: NodeClock = { nowMs: () => 0, after: () => () => {}, atTurnEnd() {} }

test('OnceClient keeps nothing of a plugin that has no task any more', (t) => {
  // That counting objects is experimental.
  t.mock.method(process, 'emitWarning', () => {})
  const client = new OnceClient({ clock: CLOCK, send() {} })
  const { log } = recordingLog()
  const before = queryObjects(Map, { format: 'count' })
  for (let count = 0; count < 1_000; count++) client.add(`plugin-${count}`, 'task', () => {}, log)()
  const after = queryObjects(Map, { format: 'count' })
  assert.ok(after - before < 100, `${after - before} tables more`)
  client.hello()
})
