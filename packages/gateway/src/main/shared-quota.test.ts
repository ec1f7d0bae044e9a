import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QuotaRequest } from '@cardea/sdk'
import { SharedQuotas } from '../plugin-host/node-services/shared-quota.ts'
import type { NodeRequest, SharedQuotaAsk, SharedQuotaNote } from '../protocol/node-services.ts'
import { SimulatedClock } from './test-node.ts'

/** A worker's part of limits that several nodes share, without a supervisor and a Redis. */

const REQUEST: QuotaRequest = { key: 'k', rate: 10, burst: 100 }

function stage(onLoss: 'local' | 'allow' | 'refuse' = 'local') {
  const clock = new SimulatedClock()
  const sent: SharedQuotaAsk[] = []
  const quotas = new SharedQuotas({
    workers: 1,
    clock,
    send(request: NodeRequest) {
      if (request.kind === 'shared-quota') sent.push(...request.asks)
    },
  })
  quotas.configure(onLoss)
  return {
    clock,
    quotas,
    /** What was asked since the last time, at the end of this turn. */
    asked(): SharedQuotaAsk[] {
      clock.advance(0)
      return sent.splice(0)
    },
    grant(tokens: number, rest: Partial<SharedQuotaNote> = {}): void {
      const nothing = { index: 0, endsInMs: null, left: 0, nextInMs: 0, resetInMs: 0 }
      quotas.receive([{ plugin: 'p', key: 'k', tokens, ...nothing, ...rest }])
    },
    ask: (request: Partial<QuotaRequest> = {}) => quotas.takeOne('p', { ...REQUEST, ...request }),
  }
}

test('SharedQuotas has nothing without a grant, and asks once for all that wait', async () => {
  const { ask, asked, grant } = stage()
  const waiting = [ask(), ask(), ask()]
  assert.ok(waiting.every((decision) => decision?.allowed === false && decision.pending !== undefined))
  const asks = asked()
  assert.equal(asks.length, 1)
  assert.equal(asks[0]?.need, 3)
  grant(3)
  await Promise.all(waiting.map((decision) => decision?.pending))
  assert.deepEqual(
    [ask(), ask(), ask(), ask()].map((decision) => decision?.allowed),
    [true, true, true, false],
  )
})

test('SharedQuotas does not ask again for what is used up before there may be some', () => {
  const { ask, asked, grant, clock } = stage()
  ask()
  asked()
  grant(0, { nextInMs: 400 })
  const refused = ask()
  assert.deepEqual([refused?.allowed, refused?.pending, refused?.retryAfterMs], [false, undefined, 400])
  assert.deepEqual(asked(), [])
  clock.advance(400)
  assert.notEqual(ask()?.pending, undefined)
  assert.equal(asked().length, 1)
})

test('SharedQuotas gives back what it has no use for', () => {
  const { ask, asked, grant, clock } = stage()
  ask()
  asked()
  grant(5, { index: 7 })
  assert.equal(ask()?.allowed, true)
  clock.advance(2_000)
  const back = asked().find(({ returned }) => returned > 0)
  assert.deepEqual([back?.returned, back?.index, back?.want], [4, 7, 0])
})

test('SharedQuotas lets tokens of a window end with it', () => {
  const { ask, asked, grant, clock } = stage()
  ask({ window: 'fixed' })
  asked()
  grant(5, { index: 1, endsInMs: 300 })
  assert.equal(ask({ window: 'fixed' })?.allowed, true)
  clock.advance(300)
  assert.equal(ask({ window: 'fixed' })?.allowed, false)
})

test('SharedQuotas takes from all or from none', () => {
  const { quotas, ask, asked, grant } = stage()
  ask()
  asked()
  grant(2)
  const both = quotas.take('p', [REQUEST, { ...REQUEST, key: 'other' }])
  assert.deepEqual(
    both?.map(({ allowed }) => allowed),
    [true, false],
  )
  assert.deepEqual([ask()?.allowed, ask()?.allowed, ask()?.allowed], [true, true, false])
})

test('SharedQuotas goes by on_loss when the state is away or says nothing, and tries again', async () => {
  for (const onLoss of ['local', 'allow', 'refuse'] as const) {
    const { ask, asked, quotas, clock } = stage(onLoss)
    const first = ask()
    asked()
    if (onLoss === 'local') clock.advance(300)
    else quotas.away()
    await first?.pending
    const expected = { local: undefined, allow: true, refuse: false }[onLoss]
    assert.equal(ask()?.allowed, expected)
    clock.advance(1_000)
    assert.notEqual(ask()?.pending, undefined)
  }
})

test('SharedQuotas knows what is used up also while the state is away', () => {
  const { ask, asked, grant, quotas, clock } = stage('local')
  ask()
  asked()
  grant(0, { nextInMs: 5_000 })
  quotas.away()
  assert.equal(ask()?.allowed, false)
  assert.equal(ask({ key: 'other' }), null)
  clock.advance(4_999)
  quotas.away()
  assert.equal(ask()?.allowed, false)
  clock.advance(1)
  assert.equal(ask(), null)
})

test('SharedQuotas asks a new supervisor what the one before did not answer', () => {
  const { ask, asked, quotas } = stage()
  ask()
  assert.equal(asked().length, 1)
  quotas.hello()
  assert.equal(asked().length, 1)
})
