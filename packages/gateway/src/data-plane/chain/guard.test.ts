import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAULT_DEFAULTS } from '../../config/limits.ts'
import type { FaultEvent } from '../../protocol/faults.ts'
import { instancePlan } from '../../protocol/test-plans.ts'
import { Sweeper } from '../sweeper.ts'
import { VirtualClock } from '../testing/virtual-clock.ts'
import { GuardBook, GuardState } from './guard.ts'

function book() {
  const clock = new VirtualClock()
  const sweeper = new Sweeper(clock, (error) => {
    throw error
  })
  const events: FaultEvent[] = []
  return {
    clock,
    sweeper,
    events,
    guards: new GuardBook(FAULT_DEFAULTS, sweeper, (event) => events.push(event)),
  }
}

const plan = (key: string, quarantined = false) => instancePlan({ name: 'a', plugin: 'a', key, quarantined })

const FAILURE = { code: 'HOOK_THREW', message: 'oops', plugin: 'a', stack: null, frame: null } as const

test('open() gives equal keys one guard as long as somebody holds it, and a new one after that', () => {
  const { guards, sweeper } = book()
  const first = guards.open(plan('k'))
  const second = guards.open(plan('k'))
  const other = guards.open(plan('other'))
  assert.equal(second.guard, first.guard)
  assert.notEqual(other.guard, first.guard)
  other.release()
  first.release()
  const third = guards.open(plan('k'))
  assert.equal(third.guard, first.guard)
  second.release()
  third.release()
  assert.equal(sweeper.size, 0)
  assert.notEqual(guards.open(plan('k')).guard, first.guard)
})

test('release() tells of failures that were not reported yet', () => {
  const { guards, events } = book()
  const { guard, release } = guards.open(plan('k'))
  guard.onFailure(FAILURE)
  release()
  assert.deepEqual(
    events.map((event) => event.kind === 'failures' && event.count),
    [1],
  )
})

test('a quarantined plan bars its own places, not those of a generation that has the same instance', () => {
  const { guards } = book()
  const living = guards.open(plan('k'))
  const barred = guards.open(plan('k', true))
  assert.equal(barred.guard.state, GuardState.quarantined)
  assert.equal(living.guard.state, GuardState.closed)
})

test('quarantine() holds for living guards, and for those that are opened later', () => {
  const { guards } = book()
  const living = guards.open(plan('k'))
  guards.quarantine('k')
  guards.quarantine('later')
  assert.equal(living.guard.state, GuardState.quarantined)
  assert.equal(guards.open(plan('k')).guard, living.guard)
  assert.equal(guards.open(plan('later')).guard.state, GuardState.quarantined)
  assert.equal(guards.open(plan('other')).guard.state, GuardState.closed)
})

test('after confirm() a generation may call the same instance again; those before it do not', () => {
  const { guards, sweeper } = book()
  const old = guards.open(plan('k'))
  guards.quarantine('k')
  const confirming = guards.open(plan('k', true))
  guards.confirm(['k'])
  const next = guards.open(plan('k'))
  assert.deepEqual(
    [old, confirming, next].map(({ guard }) => guard.state),
    [GuardState.quarantined, GuardState.quarantined, GuardState.closed],
  )
  old.release()
  confirming.release()
  assert.equal(guards.open(plan('k')).guard, next.guard)
  next.release()
  assert.equal(sweeper.size, 1)
})

test('confirm() leaves alone what no quarantine() has come for: instances are carried over', () => {
  const { guards } = book()
  const living = guards.open(plan('k'))
  guards.confirm(['k'])
  assert.equal(guards.open(plan('k')).guard, living.guard)
})

test('quarantine() remembers a bounded number of keys, the latest', () => {
  const { guards } = book()
  for (let i = 0; i < 1_001; i++) guards.quarantine(`k${i}`)
  const stateOf = (key: string) => guards.open(plan(key)).guard.state
  assert.equal(stateOf('k0'), GuardState.closed)
  assert.equal(stateOf('k1'), GuardState.quarantined)
  assert.equal(stateOf('k1000'), GuardState.quarantined)
})

test('a breaker goes by the settings of the generation committed last', async () => {
  const { guards, events, clock } = book()
  const { guard } = guards.open(plan('k'))
  guards.faults = { ...FAULT_DEFAULTS, breakerCallsMin: 1, breakerOpenMs: 5_000 }
  guard.calls++
  guard.onTimeout({})
  assert.equal(guard.state, GuardState.open)
  await clock.advance(4_900)
  assert.equal(guard.state, GuardState.open)
  await clock.advance(200)
  assert.equal(guard.state, GuardState.halfOpen)
  assert.equal(events.length, 2)
})

test('a process that stood still forgets what came before the whole window', async () => {
  const { guards } = book()
  const { guard } = guards.open(plan('k'))
  guards.faults = { ...FAULT_DEFAULTS, breakerCallsMin: 2 }
  guard.calls++
  guard.onTimeout({})
  // One sweep, late by more than the window.
  guard.sweep(guards.nowMs + 60_000)
  guard.calls++
  guard.onTimeout({})
  assert.equal(guard.state, GuardState.closed)
})
