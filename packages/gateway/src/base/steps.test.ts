import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allSteps, inSlices, type Steps } from './steps.ts'

const NEVER = new AbortController().signal

function* counting(to: number, onStep: (done: number) => void = () => {}): Steps<number> {
  for (let done = 1; done <= to; done++) {
    onStep(done)
    yield
  }
  return to
}

test('allSteps() and inSlices() do every step, and return what comes of them', async () => {
  for (const to of [0, 1, 31, 32, 33, 1_000]) {
    let steps = 0
    assert.equal(allSteps(counting(to, () => steps++)), to)
    assert.equal(
      await inSlices(
        counting(to, () => steps++),
        0,
        NEVER,
      ),
      to,
    )
    assert.equal(steps, 2 * to)
  }
})

test('inSlices() lets the event loop turn while there is more to do than fits in a slice', async () => {
  let steps = 0
  const before: number[] = []
  const look = (): void => {
    before.push(steps)
    if (steps < 1_000) setImmediate(look)
  }
  setImmediate(look)
  await inSlices(
    counting(1_000, () => steps++),
    0,
    NEVER,
  )
  assert.ok(before.filter((count) => count > 0 && count < 1_000).length > 10, before.join())
})

test('inSlices() gives up when it is told to, and has the steps let go of what they hold', async () => {
  const giveUp = new AbortController()
  let steps = 0
  let isLetGo = false
  function* holding(): Steps<number> {
    try {
      return yield* counting(1_000, () => {
        if (++steps === 100) giveUp.abort(new Error('given up'))
      })
    } finally {
      isLetGo = true
    }
  }
  await assert.rejects(inSlices(holding(), 0, giveUp.signal), /given up/)
  assert.ok(steps < 1_000)
  assert.equal(isLetGo, true)
})

test('inSlices() rejects with what a step throws', async () => {
  const failing = counting(100, (done) => {
    if (done === 50) throw new Error('no such path')
  })
  await assert.rejects(inSlices(failing, 0, NEVER), /no such path/)
})
