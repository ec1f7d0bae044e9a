import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, Sweeper } from './sweeper.ts'

/** A clock whose ticks the test makes. */
function clockByHand() {
  let tick = () => {}
  const clock: Clock = {
    nowMs: () => 7,
    unixMs: () => 0,
    every(_periodMs, callback) {
      tick = callback
      return () => {
        tick = () => {}
      }
    },
  }
  return { clock, tick: () => tick() }
}

test('Sweeper reports what a swept one throws and sweeps the others all the same', () => {
  const { clock, tick } = clockByHand()
  const faults: unknown[] = []
  const swept: number[] = []
  const sweeper = new Sweeper(clock, (error) => faults.push(error))
  const fault = new Error('ours')
  sweeper.add({
    sweep() {
      throw fault
    },
  })
  sweeper.add({ sweep: (nowMs) => void swept.push(nowMs) })
  tick()
  assert.deepEqual(faults, [fault])
  assert.deepEqual(swept, [7])
})

test('Sweeper lets a swept one remove itself and another, and forgets all when stopped', () => {
  const { clock, tick } = clockByHand()
  const sweeper = new Sweeper(clock, () => assert.fail('Nothing was to throw'))
  const other = { sweep: () => assert.fail('It was removed') }
  const first = {
    sweep() {
      sweeper.remove(first)
      sweeper.remove(other)
    },
  }
  sweeper.add(first)
  sweeper.add(other)
  tick()
  assert.equal(sweeper.size, 0)
  sweeper.add(other)
  sweeper.stop()
  tick()
  assert.equal(sweeper.size, 0)
})
