import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Log } from '@cardea/sdk'
import type { Candidate } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { logStanding } from './standing.ts'
import type { Pin } from './store/types.ts'

test('logStanding() says what is held back, and whether anything runs in its place', () => {
  const pin = { unit: '/srv/plugins/auth', rejected: 'x', since: 0, who: 'ada' }
  const pins: readonly Pin[] = [
    { ...pin, unit: 'config', name: 'config', runs: { kind: 'generation', number: 12 } },
    { ...pin, name: 'auth', runs: { kind: 'absent' } },
  ]
  const said: string[] = []
  const candidate = { overlay: { pins }, lifecycle: new PluginLifecycle() } as unknown as Candidate
  logStanding(candidate, null, { warn: (message: string) => said.push(message) } as unknown as Log)
  assert.deepEqual(said, [
    'The config runs as generation 12, not as it stands on disk: "cardea release config" or a change of its files ends that',
    'Plugin "auth" does not run, although it stands on disk: "cardea release auth" or a change of its files ends that',
  ])
})
