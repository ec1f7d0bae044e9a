import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** Ours, not a plugin's: what comes after the chain throws. */
const mistaken = {
  connect: (): never => {
    throw new Error('a mistake of ours')
  },
}

const asynchronous: Record<string, Hooks> = {
  fulfilled: { handle: async () => true },
  rejected: { handle: () => Promise.reject(new Error('no')), plan: { onFailure: { kind: 'open' } } },
}

for (const [how, hooks] of Object.entries(asynchronous)) {
  test(`a mistake of ours after a hook was ${how} fails the exchange instead of leaving it to wait`, async (t) => {
    const { open, logs } = exchangeBench(t, { chain: [hooks], upstream: mistaken })
    const { response } = open()
    const { status } = await response.head
    assert.equal(status, 500)
    assert.equal(JSON.parse((await response.content).toString()).code, 'INTERNAL_ERROR')
    assert.ok(logs.some(({ fields, message }) => fields.code === 'INTERNAL_ERROR' || /mistake/.test(message)))
  })
}
