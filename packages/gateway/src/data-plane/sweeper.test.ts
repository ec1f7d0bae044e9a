import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Clock, SWEEP_PERIOD_MS, Sweeper } from './sweeper.ts'

/** A clock whose ticks the test makes. */
function clockByHand() {
  let tick = () => {}
  let nowMs = 7
  const clock: Clock = {
    nowMs: () => nowMs,
    unixMs: () => 0,
    every(_periodMs, callback) {
      tick = callback
      return () => {
        tick = () => {}
      }
    },
  }
  const passes = (durationMs: number): void => {
    nowMs += durationMs
    tick()
  }
  return { clock, tick: () => tick(), passes }
}

test('Sweeper reports what a swept one throws and sweeps the others all the same', () => {
  const { clock, tick } = clockByHand()
  const faults: unknown[] = []
  const swept: number[] = []
  const sweeper = new Sweeper(clock, (error) => faults.push(error))
  const fault = new Error('ours')
  sweeper.add({
    sweepIndex: -1,
    sweep() {
      throw fault
    },
  })
  sweeper.add({ sweepIndex: -1, sweep: (nowMs) => void swept.push(nowMs) })
  tick()
  assert.deepEqual(faults, [fault])
  assert.deepEqual(swept, [7])
})

test('Sweeper puts its work off once when the loop has stood still, until what came meanwhile has been read', () => {
  const { clock, passes } = clockByHand()
  const sweeper = new Sweeper(clock, () => {})
  const swept: number[] = []
  sweeper.add({ sweepIndex: -1, sweep: (nowMs) => void swept.push(nowMs) })
  passes(SWEEP_PERIOD_MS)
  passes(1_000)
  assert.deepEqual([swept, sweeper.nowMs], [[107], 1_107])
  passes(SWEEP_PERIOD_MS)
  passes(1_000)
  passes(1_000)
  assert.deepEqual(swept, [107, 1_207, 3_207])
})

test('Sweeper lets a swept one remove itself and another, and forgets all when stopped', () => {
  const { clock, tick } = clockByHand()
  const sweeper = new Sweeper(clock, () => assert.fail('Nothing was to throw'))
  const other = { sweepIndex: -1, sweep: () => assert.fail('It was removed') }
  const first = {
    sweepIndex: -1,
    sweep() {
      sweeper.remove(first)
      sweeper.remove(other)
    },
  }
  sweeper.add(other)
  sweeper.add(first)
  tick()
  assert.equal(sweeper.size, 0)
  sweeper.add(other)
  sweeper.stop()
  tick()
  assert.equal(sweeper.size, 0)
})

test('Sweeper holds what a set would, whoever comes and goes, also during a sweep', () => {
  const command = fc.tuple(fc.constantFrom('add', 'remove', 'sweep'), fc.nat(7), fc.array(fc.nat(7)))
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const { clock, tick } = clockByHand()
      const sweeper = new Sweeper(clock, (error) => assert.fail(String(error)))
      const model = new Set<number>()
      let leaving: readonly number[] = []
      const swept = new Set<number>()
      const all = Array.from({ length: 8 }, (_, number) => ({
        sweepIndex: -1,
        sweep() {
          assert.equal(model.has(number), true, 'one that is not there is swept')
          swept.add(number)
          for (const other of leaving) remove(other)
        },
      }))
      const remove = (number: number): void => {
        const one = all[number]
        if (one !== undefined) sweeper.remove(one)
        model.delete(number)
      }
      for (const [what, number, others] of commands) {
        const one = all[number]
        if (what === 'add' && one !== undefined) {
          sweeper.add(one)
          model.add(number)
        } else if (what === 'remove') remove(number)
        else {
          leaving = others
          swept.clear()
          const before = [...model]
          tick()
          // Whoever was there either has been swept or was made to leave.
          for (const there of before) assert.equal(swept.has(there) || others.includes(there), true)
        }
        assert.deepEqual(new Set(sweeper.all), new Set([...model].map((there) => all[there])))
        assert.equal(sweeper.size, model.size)
      }
    }),
  )
})
