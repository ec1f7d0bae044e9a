import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from './wait-for.ts'

test('waitFor() rejects past its deadline and says what it waited for', async () => {
  await assert.rejects(
    waitFor(() => false, 'the moon', 20),
    { message: 'Waited 20 ms for the moon' },
  )
})

test('waitFor() rejects with the last error of a condition that throws', async () => {
  const cause = new Error('no moon yet')
  await assert.rejects(
    waitFor(
      () => {
        throw cause
      },
      'the moon',
      20,
    ),
    { message: 'Waited 20 ms for the moon: no moon yet', cause },
  )
})

test('waitFor() resolves with the first truthy value, errors before it forgiven', async () => {
  const answers: (() => string | null)[] = [
    () => {
      throw new Error('not yet')
    },
    () => null,
    () => 'full',
  ]
  assert.equal(await waitFor(async () => answers.shift()?.(), 'the moon'), 'full')
  assert.equal(answers.length, 0)
})
