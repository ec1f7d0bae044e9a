import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noteSecretParameters, secretParametersOf } from './secret-parameters.ts'

test('secretParametersOf() gives what all plugins of the exchange have noted, each name once', () => {
  const ctx = { values: new Map() }
  assert.deepEqual(secretParametersOf(ctx), [])
  const names = Object.freeze(['k'])
  noteSecretParameters(ctx, names)
  // No exchange pays for what one plugin says again and again.
  assert.equal(secretParametersOf(ctx), names)
  noteSecretParameters(ctx, ['t', 'k'])
  noteSecretParameters(ctx, names)
  assert.deepEqual(secretParametersOf(ctx), ['k', 't'])
  assert.deepEqual(structuredClone([...ctx.values.values()]), [['k', 't']])
})

test('secretParametersOf() takes nothing else that stands in its place', () => {
  const ctx = { values: new Map() }
  noteSecretParameters(ctx, ['k'])
  for (const key of ctx.values.keys()) ctx.values.set(key, 'k')
  assert.deepEqual(secretParametersOf(ctx), [])
})
