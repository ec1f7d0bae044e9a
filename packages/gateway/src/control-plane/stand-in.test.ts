import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { ChangeGround } from './change.ts'
import type { Candidate } from './gather.ts'
import { type Missing, orStandIn, StoodIn } from './stand-in.ts'

const LOCK = { id: 1, name: 'lock', plugin: 'lock', category: 'security' }

const candidateOf = (number: number, isLocked: boolean, port = 8080): Candidate => {
  const action = { kind: 'respond', status: 200 }
  const routes = [{ name: 'all', action, chain: isLocked ? [LOCK.id] : [] }]
  const settings = { listeners: [{ port }] }
  return {
    plan: { number, routes, instances: [LOCK], settings } as unknown as GenerationPlan,
    idle: [],
  } as never
}

/** A start, and what it came to: `served last` with a lock on its route or not, against what the files say. */
function start(t: TestContext, { wasLocked = true, isLocked = true, serves = true, port = 8080 } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const trial = { ...Promise.withResolvers<void>(), isGivenUp: false }
  const serving = Promise.withResolvers<void>()
  const asked: { missing: Missing; signal: AbortSignal }[] = []
  const warnings: string[] = []
  const ground = {
    standIn: {
      reference: { candidate: candidateOf(7, wasLocked) },
      async serve(missing: Missing, signal: AbortSignal) {
        asked.push({ missing, signal })
        await serving.promise
        return serves && !signal.aborted
      },
    },
    trials: { at: { instance: 'slow', name: 'PluginMain' } },
    log: { warn: (message: string) => void warnings.push(message) },
    findMoves: () => [],
  } as unknown as ChangeGround
  const run = (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => {
      trial.isGivenUp = true
      trial.reject(new Error('given up'))
    })
    return trial.promise
  }
  const attempt = { candidate: candidateOf(8, isLocked, port), changes: ['plugin slow added'], ground }
  const outcome = orStandIn(run, attempt, new AbortController().signal).then(
    () => 'passed',
    (thrown) => (thrown instanceof StoodIn ? 'stood in' : `failed: ${thrown.message}`),
  )
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return {
    outcome,
    trial,
    asked,
    warnings,
    serve: () => serving.resolve(),
    async wait(ms: number = CHANGE_LIMITS.standInAfterMs) {
      t.mock.timers.tick(ms)
      await settle()
    },
    settle,
  }
}

test('orStandIn() leaves it to a trial that ends in time', async (t) => {
  const { outcome, trial, asked, wait } = start(t)
  await wait(CHANGE_LIMITS.standInAfterMs - 1)
  trial.resolve()
  assert.equal(await outcome, 'passed')
  await wait()
  assert.deepEqual(asked, [])
})

test('orStandIn() has what served last serve, says what for, and gives the trial up then, not before', async (t) => {
  const { outcome, trial, asked, wait, serve } = start(t)
  await wait()
  assert.deepEqual(
    asked.map(({ missing }) => missing),
    [{ at: { instance: 'slow', name: 'PluginMain' }, changes: ['plugin slow added'] }],
  )
  assert.equal(trial.isGivenUp, false)
  serve()
  assert.equal(await outcome, 'stood in')
  assert.equal(trial.isGivenUp, true)
})

for (const [end, come] of [
  ['passed', 'passed'],
  ['failed', 'failed: no database'],
] as const) {
  test(`orStandIn() begins to serve nothing else once the trial has ${end}`, async (t) => {
    const { outcome, trial, asked, wait, serve, settle } = start(t)
    await wait()
    if (end === 'passed') trial.resolve()
    else trial.reject(new Error('no database'))
    await settle()
    assert.equal(asked[0]?.signal.aborted, true)
    serve()
    assert.equal(await outcome, come)
  })
}

test('orStandIn() waits for the trial where what served last cannot be served either', async (t) => {
  const { outcome, trial, wait, serve, settle } = start(t, { serves: false })
  await wait()
  serve()
  await settle()
  assert.equal(trial.isGivenUp, false)
  trial.resolve()
  assert.equal(await outcome, 'passed')
})

test('orStandIn() waits for the trial where requests would pass by a security plugin of the files', async (t) => {
  const { outcome, trial, asked, warnings, wait } = start(t, { wasLocked: false })
  await wait()
  assert.deepEqual(asked, [])
  assert.match(warnings.join(), /"slow" has not ended PluginMain within 3,000 ms.*7.*"all".*"lock"/)
  trial.resolve()
  assert.equal(await outcome, 'passed')
})

test('orStandIn() does not mind a security plugin that the files have no more: it is held for that later', async (t) => {
  const { outcome, wait, serve } = start(t, { isLocked: false })
  await wait()
  serve()
  assert.equal(await outcome, 'stood in')
})

test('orStandIn() waits for the trial where clients wait at other listeners than those of what served last', async (t) => {
  const { outcome, trial, asked, warnings, wait } = start(t, { port: 9090 })
  await wait()
  assert.deepEqual(asked, [])
  assert.match(
    warnings.join(),
    /"slow" has not ended PluginMain within 3,000 ms, and generation 7, .* other listeners/,
  )
  trial.resolve()
  assert.equal(await outcome, 'passed')
})
