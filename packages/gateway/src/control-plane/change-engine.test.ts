import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChangeEngine } from './change-engine.ts'

test('requestAndWait() begins nothing for somebody who has left before', async () => {
  // Whatever it would touch is not there.
  const engine = new ChangeEngine({} as ConstructorParameters<typeof ChangeEngine>[0])
  const request = {
    cause: { kind: 'release', unit: null },
    who: 'ann',
    firstSignAt: 0,
    signal: AbortSignal.abort(),
  } as const
  await assert.rejects(engine.requestAndWait(request), { code: 'CONTROL_LOST' })
  assert.equal(engine.isChanging, false)
})
