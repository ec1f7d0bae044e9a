import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import type { QuotaRequest } from '@cardea/sdk'
import { machineClock } from '../base/node-clock.ts'
import { QUOTA_LIMITS } from '../config/quota-limits.ts'
import type { SharedQuotaAsk, SharedQuotaNote } from '../plugin-host/node-services/shared-lease.ts'
import { SharedQuotas } from '../plugin-host/node-services/shared-quota.ts'
import { SimulatedClock } from './test-node.ts'

/** A worker's part of limits that several nodes share, without a Redis. */

const REQUEST: QuotaRequest = { key: 'k', rate: 10, burst: 100 }

function stage(onLoss: 'local' | 'allow' | 'refuse' = 'local') {
  const clock = new SimulatedClock()
  const sent: SharedQuotaAsk[] = []
  const answers: PromiseWithResolvers<SharedQuotaNote[]>[] = []
  const silences: number[] = []
  const quotas = new SharedQuotas({
    workers: 1,
    clock,
    ask(asks) {
      sent.push(...asks)
      const answer = Promise.withResolvers<SharedQuotaNote[]>()
      answers.push(answer)
      return answer.promise
    },
    onSilent: () => silences.push(clock.nowMs()),
  })
  quotas.configure(onLoss)
  return {
    clock,
    quotas,
    silences,
    /** What was asked since the last time, at the end of this turn. */
    asked(): SharedQuotaAsk[] {
      clock.advance(0)
      return sent.splice(0)
    },
    /** Answers what was asked first. */
    async grant(tokens: number, rest: Partial<SharedQuotaNote> = {}): Promise<void> {
      const nothing = { index: 0, endsInMs: null, left: 0, nextInMs: 0, resetInMs: 0 }
      answers.shift()?.resolve([{ plugin: 'p', key: 'k', tokens, ...nothing, ...rest }])
      await new Promise(setImmediate)
    },
    /** What was asked first has no answer. */
    async lose(): Promise<void> {
      answers.shift()?.reject(new Error('Redis has gone away'))
      await new Promise(setImmediate)
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
  await grant(3)
  await Promise.all(waiting.map((decision) => decision?.pending))
  assert.deepEqual(
    [ask(), ask(), ask(), ask()].map((decision) => decision?.allowed),
    [true, true, true, false],
  )
})

test('SharedQuotas does not ask again for what is used up before there may be some', async () => {
  const { ask, asked, grant, clock } = stage()
  ask()
  asked()
  await grant(0, { nextInMs: 400 })
  const refused = ask()
  assert.deepEqual([refused?.allowed, refused?.pending, refused?.retryAfterMs], [false, undefined, 400])
  assert.deepEqual(asked(), [])
  clock.advance(400)
  assert.notEqual(ask()?.pending, undefined)
  assert.equal(asked().length, 1)
})

test('SharedQuotas gives back what it has no use for', async () => {
  const { ask, asked, grant, clock } = stage()
  ask()
  asked()
  await grant(5, { index: 7 })
  assert.equal(ask()?.allowed, true)
  clock.advance(2_000)
  const back = asked().find(({ returned }) => returned > 0)
  assert.deepEqual([back?.returned, back?.index, back?.want], [4, 7, 0])
})

test('SharedQuotas lets tokens of a window end with it', async () => {
  const { ask, asked, grant, clock } = stage()
  ask({ window: 'fixed' })
  asked()
  await grant(5, { index: 1, endsInMs: 300 })
  assert.equal(ask({ window: 'fixed' })?.allowed, true)
  clock.advance(300)
  assert.equal(ask({ window: 'fixed' })?.allowed, false)
})

test('SharedQuotas takes from all or from none', async () => {
  const { quotas, ask, asked, grant } = stage()
  ask()
  asked()
  await grant(2)
  const both = quotas.take('p', [REQUEST, { ...REQUEST, key: 'other' }])
  assert.deepEqual(
    both?.map(({ allowed }) => allowed),
    [true, false],
  )
  assert.deepEqual([ask()?.allowed, ask()?.allowed, ask()?.allowed], [true, true, false])
})

test('SharedQuotas gives back what it cannot use because another limit refuses, however often that is asked for', async () => {
  const { quotas, ask, asked, grant, clock } = stage()
  ask()
  asked()
  await grant(50)
  let returned = 0
  for (let ms = 0; ms < 3_000; ms += 10) {
    quotas.take('p', [REQUEST, { key: 'used up', rate: 10, burst: 1, cost: 2 }])
    clock.advance(10)
    for (const one of asked()) returned += one.returned
  }
  assert.equal(returned, 50)
})

test('SharedQuotas answers every request while keys without number make room for each other', async () => {
  // So many that the table of one is small.
  const workers = QUOTA_LIMITS.keysMax / 10
  const clock = new SimulatedClock()
  const all: SharedQuotaAsk[] = []
  const flooded = new SharedQuotas({
    workers,
    clock,
    async ask(asks) {
      all.push(...asks)
      const rest = { index: 0, endsInMs: null, left: 50, nextInMs: 0, resetInMs: 0 }
      return asks.map(({ plugin, key, need }) => ({ plugin, key, tokens: need, ...rest }))
    },
    onSilent: () => assert.fail('Redis is taken for lost'),
  })
  flooded.configure('allow')
  const common = { key: 'route', rate: 10, burst: 1_000_000 }
  let admitted = 0
  for (let key = 0; key < 400; key += 1) {
    const requests = [common, { key: `client ${key}`, rate: 10, burst: 5 }]
    // Nothing is on its way when the next one comes.
    clock.advance(1)
    await new Promise(setImmediate)
    let decisions = flooded.take('p', requests)
    for (let tries = 0; tries < 5 && decisions?.some(({ pending }) => pending); tries += 1) {
      clock.advance(1)
      await new Promise(setImmediate)
      await Promise.all(decisions.map(({ pending }) => pending))
      decisions = flooded.take('p', requests)
    }
    if (decisions?.every(({ allowed }) => allowed)) admitted += 1
  }
  assert.equal(admitted, 400)
  // What the bucket of all lost is what was in a table that had to make room.
  const taken = all.filter(({ key }) => key === 'route').reduce((sum, { need }) => sum + need, 0)
  assert.ok(taken <= 420, `${taken} for 400 requests`)
})

test('SharedQuotas goes by on_loss when the state is away or says nothing, and tries again', async () => {
  for (const onLoss of ['local', 'allow', 'refuse'] as const) {
    const { ask, asked, lose, clock, silences } = stage(onLoss)
    const first = ask()
    asked()
    if (onLoss === 'local') clock.advance(300)
    else await lose()
    await first?.pending
    assert.equal(silences.length, onLoss === 'local' ? 1 : 0)
    const expected = { local: undefined, allow: true, refuse: false }[onLoss]
    assert.equal(ask()?.allowed, expected)
    clock.advance(1_000)
    assert.notEqual(ask()?.pending, undefined)
  }
})

test('SharedQuotas uses what comes late, and asks again at once when the state is back', async () => {
  const { ask, asked, grant, clock, quotas } = stage('refuse')
  ask()
  asked()
  clock.advance(300)
  assert.equal(ask()?.pending, undefined)
  await grant(2)
  quotas.back()
  assert.deepEqual(
    [ask(), ask(), ask()].map((decision) => decision?.allowed),
    [true, true, false],
  )
})

test('SharedQuotas knows what is used up also while the state is away', async () => {
  const { ask, asked, grant, lose, clock } = stage('local')
  ask()
  asked()
  await grant(0, { nextInMs: 5_000 })
  const loseAnother = async (): Promise<void> => {
    ask({ key: 'another' })
    asked()
    await lose()
  }
  await loseAnother()
  assert.equal(ask()?.allowed, false)
  assert.equal(ask({ key: 'other' }), null)
  clock.advance(4_999)
  await loseAnother()
  assert.equal(ask()?.allowed, false)
  clock.advance(1)
  assert.equal(ask(), null)
})

test('SharedQuotas gives all back to a state that it leaves, and takes nothing more from it', async () => {
  const { ask, asked, grant, quotas } = stage()
  ask()
  asked()
  await grant(5, { index: 3 })
  assert.equal(ask()?.allowed, true)
  ask({ key: 'other' })
  asked()
  quotas.leave()
  assert.deepEqual(
    asked().map(({ key, returned, index, need, want }) => ({ key, returned, index, need, want })),
    [{ key: 'k', returned: 4, index: 3, need: 0, want: 0 }],
  )
  assert.equal(ask()?.allowed, false)
  // What it was asked before.
  await grant(9)
  assert.equal(ask()?.allowed, false)
})

test('SharedQuotas takes no answer for missing that came while the process itself stood still', async (t) => {
  const silences: number[] = []
  const quotas = new SharedQuotas({
    workers: 1,
    clock: machineClock,
    // One step that the operating system takes meanwhile, as the way to Redis and back.
    async ask(asks) {
      await stat(import.meta.filename)
      const rest = { index: 0, endsInMs: null, left: 0, nextInMs: 0, resetInMs: 0 }
      return asks.map(({ plugin, key, need }) => ({ plugin, key, tokens: need, ...rest }))
    },
    onSilent: () => silences.push(1),
  })
  t.after(() => quotas.close())
  quotas.configure('local')
  const waiting = quotas.takeOne('p', REQUEST)
  await new Promise(setImmediate)
  const until = performance.now() + 2 * QUOTA_LIMITS.silentMs
  while (performance.now() < until);
  await waiting?.pending
  assert.equal(quotas.takeOne('p', REQUEST)?.allowed, true)
  assert.deepEqual(silences, [])
})

test('SharedQuotas refuses what is no request in words that say what it is', () => {
  const { ask } = stage()
  assert.throws(
    () => ask({ key: undefined as never }),
    /^TypeError: The key of a quota is a string, not undefined$/,
  )
  assert.throws(
    () => ask({ rate: '5' as never }),
    /cannot be filled at the text "5" tokens per second; use a number/,
  )
  assert.throws(() => ask({ burst: '5' as never }), /cannot hold the text "5" tokens; use a number/)
})
