import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FinishRecord } from '@cardea/sdk'
import type { OnFailure } from '../../protocol/generation.ts'
import { type ExchangeBench, type ExchangeSetup, exchangeBench, type Hooks } from '../test-exchange.ts'

const OPEN: OnFailure = { kind: 'open' }
const FALLBACK: OnFailure = { kind: 'fallback', status: 299, headers: {}, body: 'instead' }
const FAULTS = { breakerCallsMin: 4, breakerRatio: 0.5, breakerWindowMs: 10_000, breakerOpenMs: 1_000 }
const TIMEOUT_MS = 500
/** Deadlines are looked at ten times a second. */
const SWEEP_MS = 100

const never = () => new Promise<never>(() => {})

/** A plugin whose `handle` does what `hooks.handle` says at the time; counts its calls. */
function plugin(plan: Hooks['plan'] = {}) {
  const state = { mode: 'hang' as 'hang' | 'pass' | 'throw' | 'answer', calls: 0, ran: [] as string[] }
  const hooks: Hooks = {
    handle(ctx) {
      state.calls++
      if (state.mode === 'throw') throw new Error('oops')
      if (state.mode === 'answer') return ctx.response.send('own')
      return state.mode === 'hang' ? never() : true
    },
    onResponse: () => void state.ran.push('onResponse'),
    onError: () => void state.ran.push('onError'),
    onFinish: () => void state.ran.push('onFinish'),
    plan: { timeoutMs: TIMEOUT_MS, ...plan },
  }
  return { state, hooks }
}

function bench(t: Parameters<typeof exchangeBench>[0], hooks: Hooks, setup: ExchangeSetup = {}) {
  return exchangeBench(t, { faults: FAULTS, upstream: { body: 'up' }, ...setup, chain: [hooks] })
}

/** Sends so many requests at once and lets them time out. */
async function hang({ open, clock }: ExchangeBench, count: number): Promise<number[]> {
  const clients = Array.from({ length: count }, () => open())
  await clock.advance(TIMEOUT_MS + SWEEP_MS)
  return await Promise.all(clients.map(async ({ response }) => (await response.head).status))
}

function states({ plane }: ExchangeBench): string[] {
  return plane.faults.flatMap((event) => (event.kind === 'breaker' ? [event.state] : []))
}

async function codeOf({ send }: ExchangeBench): Promise<string> {
  const { status, text } = await send()
  return status === 503 ? JSON.parse(text).code : `${status} ${text}`
}

test('the breaker opens on timeouts: closed answers 503 PLUGIN_BREAKER_OPEN without a call', async (t) => {
  const { state, hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 4)
  state.ran = []
  assert.deepEqual(own.plane.faults.slice(0, 1), [
    { kind: 'breaker', key: 'a', instance: 'a', plugin: 'a', state: 'open', calls: 4, faults: 4 },
  ])
  assert.equal(await codeOf(own), 'PLUGIN_BREAKER_OPEN')
  assert.equal(state.calls, 4)
  assert.deepEqual(state.ran, [], 'no other hook of the exchange is called either')
  assert.equal(own.plane.seen.length, 0)
})

test('the open breaker of a plugin under open lets exchanges pass, under fallback answers that', async (t) => {
  for (const [onFailure, expected] of [
    [OPEN, '200 up'],
    [FALLBACK, '299 instead'],
  ] as const) {
    const { state, hooks } = plugin({ onFailure })
    const own = bench(t, hooks)
    await hang(own, 4)
    state.ran = []
    assert.equal(await codeOf(own), expected)
    assert.deepEqual([state.calls, state.ran], [4, []])
  }
})

test('the open breaker of a security plugin never lets an exchange pass, whatever its failure policy', async (t) => {
  const { hooks } = plugin({ category: 'security', onFailure: OPEN })
  const own = bench(t, hooks)
  assert.deepEqual(await hang(own, 4), [503, 503, 503, 503])
  assert.equal(await codeOf(own), 'PLUGIN_BREAKER_OPEN')
  assert.equal(own.plane.seen.length, 0)
})

test('exceptions never open the breaker: one crafted request could provoke them', async (t) => {
  const { state, hooks } = plugin()
  state.mode = 'throw'
  const own = bench(t, hooks)
  for (let i = 0; i < 40; i++) assert.equal(await codeOf(own), 'HOOK_THREW')
  assert.equal(state.calls, 40)
  assert.deepEqual(states(own), [])
})

test('a plugin cannot make a timeout of what it throws', async (t) => {
  const thrown = Object.assign(new Error('oops'), { code: 'HOOK_TIMEOUT' })
  const own = bench(t, { handle: () => Promise.reject(thrown) })
  for (let i = 0; i < 40; i++) assert.equal(await codeOf(own), 'HOOK_THREW')
  assert.deepEqual(states(own), [])
})

test('too few calls, or too small a share of timeouts, leave the breaker closed', async (t) => {
  const { state, hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 3)
  assert.deepEqual(states(own), [])
  const other = bench(t, hooks)
  state.mode = 'pass'
  for (let i = 0; i < 10; i++) await other.send()
  state.mode = 'hang'
  await hang(other, 9)
  assert.deepEqual(states(other), [])
  await hang(other, 1)
  assert.deepEqual(states(other), ['open'], 'half of all, a single window')
})

test('timeouts of a window ago are forgotten', async (t) => {
  const { hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 3)
  await own.clock.advance(FAULTS.breakerWindowMs)
  await hang(own, 3)
  assert.deepEqual(states(own), [])
})

test('timeouts of onResponse(), onError(), onFinish() and transforms open the breaker too', async (t) => {
  const hanging: readonly Hooks[] = [
    { onResponse: never },
    { onFinish: never },
    { onResponse: (ctx) => ctx.response.transformBody(never) },
    {
      handle(ctx) {
        ctx.response.transformBody(never)
        return true
      },
    },
  ]
  for (const hooks of hanging) {
    const own = bench(t, { ...hooks, plan: { timeoutMs: TIMEOUT_MS } })
    for (let i = 0; i < 4; i++) own.open()
    await own.clock.advance(TIMEOUT_MS + SWEEP_MS)
    assert.deepEqual(states(own), ['open'], JSON.stringify(Object.keys(hooks)))
  }
  const refused = bench(
    t,
    { onError: never, plan: { timeoutMs: TIMEOUT_MS } },
    { upstream: { connect: () => 'refuse' } },
  )
  for (let i = 0; i < 4; i++) refused.open()
  await refused.clock.advance(TIMEOUT_MS + SWEEP_MS)
  assert.deepEqual(states(refused), ['open'])
})

test('an exchange that was past handle() when the breaker opened goes on', async (t) => {
  const { state, hooks } = plugin()
  const upstream = { answer: () => ({ body: ['u', { pauseMs: 2_000 }, 'p'] }) } as const
  const own = bench(t, hooks, { upstream })
  state.mode = 'pass'
  const early = own.open()
  state.mode = 'hang'
  await hang(own, 4)
  state.ran = []
  assert.deepEqual(states(own), ['open'])
  await own.clock.advance(2_000)
  await early.finished
  assert.equal((await early.response.content).toString(), 'up')
  assert.deepEqual(state.ran, ['onFinish'])
})

test('a record says of a barred plugin what its failure policy made of it', async (t) => {
  for (const [onFailure, outcome] of [
    [OPEN, 'skipped'],
    [{ kind: 'closed' }, 'failed'],
  ] as const) {
    const { hooks } = plugin({ onFailure })
    const records: FinishRecord[] = []
    const own = exchangeBench(t, {
      faults: FAULTS,
      chain: [{ onFinish: (_, record) => void records.push(record) }, hooks],
    })
    await hang(own, 4)
    await own.send()
    assert.deepEqual(records.at(-1)?.plugins[1], { name: 'b', handle: 0, onResponse: 0, outcome })
  }
})

test('after its wait the breaker is half open, and a probe that ends in time closes it', async (t) => {
  const { state, hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 4)
  await own.clock.advance(FAULTS.breakerOpenMs)
  assert.deepEqual(states(own), ['open', 'half-open'])
  state.mode = 'pass'
  assert.equal(await codeOf(own), '200 up')
  assert.deepEqual(states(own), ['open', 'half-open', 'closed'])
  assert.equal(await codeOf(own), '200 up')
  assert.equal(state.calls, 6)
})

test('a hanging probe keeps all others out, and opens the breaker for twice as long', async (t) => {
  const { state, hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 4)
  for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    await own.clock.advance(waitMs - 2 * SWEEP_MS)
    assert.equal(await codeOf(own), 'PLUGIN_BREAKER_OPEN', `before ${waitMs} ms`)
    await own.clock.advance(2 * SWEEP_MS)
    const before = state.calls
    const probe = own.open()
    for (let i = 0; i < 3; i++) assert.equal(await codeOf(own), 'PLUGIN_BREAKER_OPEN')
    assert.equal(state.calls, before + 1)
    await own.clock.advance(TIMEOUT_MS + SWEEP_MS)
    assert.equal((await probe.response.head).status, 503)
  }
  await own.clock.advance(60_000)
  state.mode = 'pass'
  assert.equal(await codeOf(own), '200 up')
  state.mode = 'hang'
  await hang(own, 4)
  assert.equal(states(own).at(-1), 'open', 'as new: it takes the whole count of calls again')
  await own.clock.advance(FAULTS.breakerOpenMs)
  assert.equal(states(own).at(-1), 'half-open', 'and waits the first time only')
})

test('a probe that throws or answers ended in time, too: it closes the breaker', async (t) => {
  for (const [mode, expected] of [
    ['throw', 'HOOK_THREW'],
    ['answer', '200 own'],
  ] as const) {
    const { state, hooks } = plugin()
    const own = bench(t, hooks)
    await hang(own, 4)
    await own.clock.advance(FAULTS.breakerOpenMs)
    state.mode = mode
    assert.equal(await codeOf(own), expected)
    assert.equal(states(own).at(-1), 'closed')
  }
})

test('a probe whose handle() passed but whose onResponse() hangs opens the breaker again', async (t) => {
  const own = bench(t, { onResponse: never, plan: { timeoutMs: TIMEOUT_MS } })
  await hang(own, 4)
  await own.clock.advance(FAULTS.breakerOpenMs)
  await hang(own, 1)
  assert.deepEqual(states(own), ['open', 'half-open', 'open'])
})

test('a probe whose client goes away tells nothing, and makes room for the next', async (t) => {
  const { state, hooks } = plugin()
  const own = bench(t, hooks)
  await hang(own, 4)
  await own.clock.advance(FAULTS.breakerOpenMs)
  const probe = own.open()
  probe.abort()
  await probe.finished
  assert.equal(states(own).at(-1), 'half-open')
  state.mode = 'pass'
  assert.equal(await codeOf(own), '200 up')
  assert.equal(states(own).at(-1), 'closed')
})

test('a probe that waits for a slow upstream makes room for another in time', async (t) => {
  const { state, hooks } = plugin()
  let slow = true
  const own = bench(t, hooks, {
    upstream: { answer: () => (slow ? { delayMs: 50_000, body: 'up' } : { body: 'up' }) },
  })
  await hang(own, 4)
  await own.clock.advance(FAULTS.breakerOpenMs)
  state.mode = 'pass'
  const probe = own.open()
  await own.clock.advance(FAULTS.breakerOpenMs + 2 * TIMEOUT_MS - SWEEP_MS)
  slow = false
  assert.equal(await codeOf(own), 'PLUGIN_BREAKER_OPEN')
  await own.clock.advance(SWEEP_MS)
  assert.equal(await codeOf(own), '200 up')
  assert.equal(states(own).at(-1), 'closed')
  probe.abort()
})

test('timeouts of calls from before the breaker opened do not count against its probe', async (t) => {
  const { state, hooks } = plugin({ timeoutMs: 2_000 })
  const own = bench(t, hooks)
  for (let i = 0; i < 4; i++) own.open()
  await own.clock.advance(1_900)
  for (let i = 0; i < 4; i++) own.open()
  await own.clock.advance(SWEEP_MS * 2)
  assert.deepEqual(states(own), ['open'])
  await own.clock.advance(FAULTS.breakerOpenMs)
  const probe = own.open()
  await own.clock.advance(1_000)
  assert.deepEqual(states(own), ['open', 'half-open'])
  state.mode = 'pass'
  await own.clock.advance(2_000)
  await probe.finished
  assert.deepEqual(states(own).slice(0, 3), ['open', 'half-open', 'open'])
})

test('failures are reported once a second with the last one, client faults and barred exchanges not', async (t) => {
  const { state, hooks } = plugin()
  state.mode = 'throw'
  const own = bench(t, hooks)
  for (let i = 0; i < 3; i++) await own.send()
  await own.clock.advance(SWEEP_MS)
  for (let i = 0; i < 5; i++) await own.send()
  await own.clock.advance(SWEEP_MS)
  const failure = {
    code: 'HOOK_THREW',
    message: 'handle of plugin "a" failed: oops',
    plugin: 'a',
    stack: 'mapped: oops',
    frame: null,
  }
  const event = { kind: 'failures', key: 'a', instance: 'a', plugin: 'a', failure }
  assert.deepEqual(own.plane.faults, [{ ...event, count: 3 }])
  await own.clock.advance(1_000)
  await own.clock.advance(5_000)
  assert.deepEqual(own.plane.faults.slice(1), [{ ...event, count: 5 }])
})

test('what is wrong with a body is no failure of the plugin that reads it', async (t) => {
  const own = bench(
    t,
    { handle: async (ctx) => (await ctx.request.bytes()).length > 0 },
    { limits: { bodyBytesMax: 2 } },
  )
  const { status } = await own.send({ method: 'POST', body: 'long' })
  assert.equal(status, 413)
  await own.clock.advance(2_000)
  assert.deepEqual(own.plane.faults, [])
})

test('an instance that is quarantined in its plan is never called: its failure policy decides at once', async (t) => {
  for (const [plan, expected] of [
    [{}, 'PLUGIN_QUARANTINED'],
    [{ onFailure: OPEN }, '200 up'],
    [{ onFailure: OPEN, category: 'security' }, 'PLUGIN_QUARANTINED'],
    [{ onFailure: FALLBACK }, '299 instead'],
  ] as const) {
    const { state, hooks } = plugin({ ...plan, quarantined: true })
    const own = bench(t, hooks)
    assert.equal(await codeOf(own), expected)
    await own.clock.advance(120_000)
    assert.equal(await codeOf(own), expected)
    assert.deepEqual([state.calls, state.ran], [0, []])
  }
})

test('quarantine() holds at once, for exchanges that have entered the plugin too', async (t) => {
  const { state, hooks } = plugin()
  state.mode = 'pass'
  const own = bench(t, hooks, { upstream: { answer: () => ({ delayMs: 1_000, body: 'up' }) } })
  const running = own.open()
  own.plane.guards.quarantine('a')
  assert.equal(await codeOf(own), 'PLUGIN_QUARANTINED')
  await own.clock.advance(1_000)
  assert.equal((await running.response.head).status, 503)
  await running.finished
  assert.deepEqual([state.calls, state.ran], [1, []])
})

test('quarantine() ends a transform of the plugin by the reset of its response', async (t) => {
  let calls = 0
  const own = bench(
    t,
    {
      onResponse: (ctx) =>
        ctx.response.transformBody((chunk) => {
          calls++
          return chunk
        }),
    },
    { upstream: { body: ['u', { pauseMs: 1_000 }, 'p'] } },
  )
  const { response, finished } = own.open()
  await own.clock.advance(500)
  own.plane.guards.quarantine('a')
  await own.clock.advance(1_000)
  await finished
  await assert.rejects(response.content)
  assert.equal(calls, 1)
})

test('quarantine() leaves instances with other keys alone', async (t) => {
  const { state, hooks } = plugin({ key: 'other' })
  state.mode = 'pass'
  const own = bench(t, hooks)
  own.plane.guards.quarantine('a')
  assert.equal(await codeOf(own), '200 up')
})
