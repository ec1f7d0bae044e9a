import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OnFailure } from '../../protocol/generation.ts'
import { exchangeBench } from '../test-exchange.ts'

const OPEN: OnFailure = { kind: 'open' }
const CLOSED: OnFailure = { kind: 'closed' }
const never = () => new Promise<never>(() => {})
const fail = () => {
  throw new Error('oops')
}

test('a hook of a carried instance has the time that the generation at hand gives it', async (t) => {
  const { open, clock } = exchangeBench(t, {
    chain: [{ handle: never, plan: { timeoutMs: 500 }, startedFrom: { timeoutMs: 60_000 } }],
  })
  const { response } = open()
  await clock.advance(600)
  assert.equal((await response.head).status, 503)
})

test('a failing hook of a carried instance is judged by the failure policy of the generation at hand', async (t) => {
  for (const hook of ['handle', 'onResponse'] as const) {
    const cases: readonly (readonly [now: OnFailure, before: OnFailure, expected: number])[] = [
      [OPEN, CLOSED, 200],
      [CLOSED, OPEN, 503],
    ]
    for (const [onFailure, before, expected] of cases) {
      const { send } = exchangeBench(t, {
        chain: [{ [hook]: fail, plan: { onFailure }, startedFrom: { onFailure: before } }],
      })
      assert.equal((await send()).status, expected, `${hook}, now ${onFailure.kind}`)
    }
  }
})

test('a transform of a carried instance has the time that the generation at hand gives it', async (t) => {
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        onResponse: (ctx) => ctx.response.transformBody(never),
        plan: { timeoutMs: 500 },
        startedFrom: { timeoutMs: 60_000 },
      },
    ],
    upstream: { body: 'x' },
  })
  const { finished } = open()
  await clock.advance(600)
  await finished
})

test('handle() of a security plugin is never passed over, whatever its failure policy says', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [{ handle: fail, plan: { category: 'security', onFailure: OPEN } }],
  })
  assert.equal((await send()).status, 503)
  assert.equal(plane.seen.length, 0)
})
