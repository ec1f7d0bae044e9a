import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { PreviousState, State } from '@cardea/sdk'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { type ConfigUpdate, type Maker, runUpdate } from '../config-update.ts'
import type { StateUser } from './state-user.ts'
import type { StateStore } from './states.ts'
import { begin, bench, giveUp, never, serve } from './test-states.ts'

/** States of middlewares that share a host: PluginMain's, and those that `updateConfig` made of it. */

test('state() asked for while the config is updated is made when that generation goes live', () => {
  const { store, user, steps } = bench()
  const one = user()
  store.goLive([one])
  const update = begin(one)
  const hits = runUpdate(update, () => {
    const asked = one.state('hits', 1, () => 'made')
    assert.throws(() => asked.value, { code: 'STATE_NOT_LIVE' })
    return asked
  })
  assert.deepEqual(steps, [])
  update.wentLive = true
  store.goLive([one])
  assert.deepEqual(steps, ['limit: state hits'])
  assert.equal(hits.value, 'made')
})

test('state() asked for by a hook while the config is updated is made at once', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const update = begin(one)
  const next = runUpdate(update, () => one.state('hits', 1, () => 'by the update'))
  const hits = one.state('hits', 1, () => 'by the hook')
  assert.equal(hits.value, 'by the hook')
  update.wentLive = true
  store.goLive([one])
  assert.equal(next.value, 'by the hook')
})

test('state() asked for by what is left of an update that was given up is never made', async () => {
  const { store, user, steps } = bench()
  const one = user()
  store.goLive([one])
  const update = begin(one)
  const late = await runUpdate(update, async () => {
    await turn()
    return one.state('hits', 2, never)
  })
  assert.throws(() => late.value, { code: 'STATE_NOT_LIVE' })
  store.goLive([one])
  assert.deepEqual(steps, [])
})

/** Counts on what the version before had. */
const counted = (previous: PreviousState | null): { count: number } => ({
  count: (previous?.value as { count: number } | undefined)?.count ?? 0,
})

const broken = (): never => {
  throw new Error('broken')
}

const passingBy = (): string => 'of one that passes'

/** An update that asks for these versions of "hits" goes live. Returns it, and what it asked for last. */
function update(
  store: StateStore,
  user: StateUser,
  from: Maker,
  ...versions: readonly number[]
): [ConfigUpdate, State<{ count: number }>] {
  const next = begin(user, from)
  const states = runUpdate(next, () => versions.map((version) => user.state('hits', version, counted)))
  serve(store, user, next)
  return [next, states.at(-1) as State<{ count: number }>]
}

test('state() of a version that an update comes back to is made of what served meanwhile, and so is the next one', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  hits.value.count = 1
  const [second, hits2] = update(store, one, null, 2)
  one.ended(null)
  hits2.value.count += 10
  const [third, hits1] = update(store, one, second, 1)
  one.ended(second)
  assert.equal(hits1.value.count, 11)
  hits1.value.count += 100
  const [, hits3] = update(store, one, third, 3)
  one.ended(third)
  assert.equal(hits3.value.count, 111)
  assert.deepEqual(
    store.copies(['limit']).map(({ version }) => version),
    [3],
  )
})

test('state() of a version that something still runs on is what an update that comes back to it finds', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  hits.value.count = 1
  const [second, hits2] = update(store, one, null, 2)
  hits2.value.count = 10
  const [third, hits1] = update(store, one, second, 1)
  assert.equal(hits1.value, hits.value)
  // Its value served last, although 2 is the higher number and lives too.
  const [, hits3] = update(store, one, third, 3)
  assert.equal(hits3.value.count, 1)
})

test('state() of a middleware that ends before the next is live goes when that is', () => {
  const { store, user } = bench()
  const one = user()
  one.state('hits', 1, counted)
  store.goLive([one])
  const second = begin(one)
  const hits2 = runUpdate(second, () => one.state('hits', 2, counted))
  one.ended(null)
  serve(store, one, second)
  hits2.value.count = 10
  const [, hits1] = update(store, one, second, 1)
  assert.equal(hits1.value.count, 10)
})

test('state() that PluginMain asked for lives on for updates that do not ask for it, and is the newest', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  const other = one.state('other', 1, () => 'other')
  store.goLive([one])
  hits.value.count = 7
  let from: Maker = null
  for (const _ of [1, 2]) {
    const [next] = update(store, one, from)
    one.ended(from)
    from = next
  }
  assert.deepEqual([hits.value, other.value], [{ count: 7 }, 'other'])
  const [last, hits2] = update(store, one, from, 2)
  one.ended(from)
  assert.equal(hits2.value.count, 7)
  assert.deepEqual(
    store.copies(['limit']).map(({ name, version }) => [name, version]),
    [
      ['other', 1],
      ['hits', 2],
    ],
  )
  one.ended(last)
  assert.deepEqual(store.copies(['limit']), [])
})

test('state() of several versions lives for all that an update asks for', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const [both] = update(store, one, null, 1, 2)
  one.ended(null)
  const versions = (): readonly number[] => store.copies(['limit']).map(({ version }) => version)
  assert.deepEqual(versions(), [1, 2])
  update(store, one, both, 2)
  one.ended(both)
  assert.deepEqual(versions(), [2])
})

test('state() that a hook asked for lives as long as any middleware of its host', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const hits = one.state('hits', 1, counted)
  hits.value.count = 3
  const [second, hits2] = update(store, one, null, 2)
  one.ended(null)
  assert.deepEqual([hits.value.count, hits2.value.count], [3, 3])
  hits2.value.count = 4
  const [, hits3] = update(store, one, second, 3)
  one.ended(second)
  // Nobody knows whether that hook still runs, so of the two the higher number counts.
  assert.deepEqual([hits.value.count, hits3.value.count], [3, 4])
})

test('state() of a middleware that goes live again counts as the newest', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  const [, hits2] = update(store, one, null, 2)
  hits2.value.count = 10
  // A rollback carries it: something still ran on it.
  one.serve(null)
  store.goLive([one])
  hits.value.count = 1
  const [, hits3] = update(store, one, null, 3)
  assert.equal(hits3.value.count, 1)
})

test('state() that only a middleware which has stopped used is made anew for a timer that still uses it', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  hits.value.count = 1
  const [second, hits2] = update(store, one, null, 2)
  one.ended(null)
  hits2.value.count = 10
  assert.equal(hits.value.count, 10)
  hits.value.count += 1
  const [, again] = update(store, one, second, 1)
  assert.equal(again.value, hits.value)
  assert.deepEqual([again.value.count, hits2.value.count], [11, 10])
  one.release()
  assert.throws(() => hits.value, { code: 'STATE_NOT_LIVE', message: /the instance has stopped$/ })
  assert.deepEqual(store.copies(['limit']), [])
})

test('state() that an update asked for which was given up leaves what others have', () => {
  const { store, user, steps } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  hits.value.count = 5
  const failed = begin(one)
  const staged = runUpdate(failed, () => [1, 2].map((version) => one.state('hits', version, counted)))
  giveUp(one, failed)
  one.ended(failed)
  assert.equal(hits.value.count, 5)
  assert.equal(staged[0]?.value, hits.value)
  assert.throws(() => staged[1]?.value, { code: 'STATE_NOT_LIVE' })
  assert.deepEqual(steps, ['limit: state hits'])
})

test('state() is made by the last who asked for it, where an update before is about to be given up', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const discarded = begin(one)
  runUpdate(discarded, () => one.state('hits', 1, never))
  const next = begin(one)
  const hits = runUpdate(next, () => one.state('hits', 1, () => 'of the next'))
  giveUp(one, discarded)
  serve(store, one, next)
  assert.equal(hits.value, 'of the next')
})

test('state() asked for late by an update that was given up is made for the next one that asks for it', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const failed = begin(one)
  giveUp(one, failed)
  const next = begin(one)
  const hits = runUpdate(next, () => one.state('hits', 1, () => 'of the next'))
  const late = runUpdate(failed, () => one.state('hits', 1, never))
  for (let n = 0; n < PLUGIN_LIMITS.statesMax; n++) runUpdate(failed, () => one.state(`late ${n}`, 1, never))
  assert.throws(() => late.value, { code: 'STATE_NOT_LIVE' })
  serve(store, one, next)
  assert.equal(hits.value, 'of the next')
  assert.equal(one.state('another', 1, () => 'of a hook').value, 'of a hook')
})

test('state() counts the versions in use, not those of before', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  let from: Maker = null
  for (let version = 0; version <= PLUGIN_LIMITS.statesMax; version++) {
    const [next] = update(store, one, from, version)
    one.ended(from)
    from = next
  }
  assert.equal(store.copies(['limit']).at(-1)?.version, PLUGIN_LIMITS.statesMax)
})

test('state() that a timer of a stopped middleware still uses is older than what serves, whatever its number', () => {
  const { store, user } = bench()
  const one = user()
  const hits9 = one.state('hits', 9, counted)
  store.goLive([one])
  const [second, hits1] = update(store, one, null, 1)
  one.ended(null)
  assert.equal(hits9.value.count, 0)
  hits1.value.count = 50
  const [third, hits3] = update(store, one, second, 3)
  assert.equal(hits3.value.count, 50)
  one.ended(second)
  hits3.value.count = 60
  const [, hits4] = update(store, one, third, 4)
  assert.equal(hits4.value.count, 60)
})

test('state() of each middleware that serves counts, where a generation has two of one host', () => {
  const { store, user } = bench()
  const one = user()
  one.state('hits', 1, () => 'of the first')
  store.goLive([one])
  const second = begin(one)
  runUpdate(second, () => one.state('other', 1, () => 'of the second'))
  second.wentLive = true
  const passing = user('passing')
  passing.state('hits', 9, passingBy)
  passing.state('other', 9, passingBy)
  one.serve(second)
  store.goLive([one, passing])
  for (const maker of [second, null]) one.serve(maker)
  store.goLive([one])
  const next = user('next')
  const states = ['hits', 'other'].map((name) => next.state(name, 10, (previous) => previous?.value))
  store.goLive([one, next])
  assert.deepEqual(
    states.map(({ value }) => value),
    ['of the first', 'of the second'],
  )
})

test('state() that could not be made, and then could, is made anew like others once nobody uses it', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  let create: () => string = broken
  const failing = begin(one)
  const hits = runUpdate(failing, () => one.state('hits', 2, () => create()))
  assert.equal(serve(store, one, failing).length, 1)
  create = passingBy
  assert.deepEqual(store.goLive([one]), [])
  update(store, one, failing, 3)
  for (const maker of [null, failing]) one.ended(maker)
  assert.equal(hits.value, passingBy())
})

test('state() that only hooks use is newer than what was left behind', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  one.state('hits', 1, () => 'of a hook')
  const passing = user('passing')
  passing.state('hits', 9, passingBy)
  store.goLive([one, passing])
  store.goLive([one])
  const next = user('next')
  const hits = next.state('hits', 10, (previous) => previous?.value)
  store.goLive([one, next])
  assert.equal(hits.value, 'of a hook')
})

test('state() that could not be made for an update is made for a hook that knows how', () => {
  const { store, user } = bench()
  const one = user()
  store.goLive([one])
  const failing = begin(one)
  const hits = runUpdate(failing, () => one.state('hits', 2, broken))
  assert.equal(serve(store, one, failing).length, 1)
  assert.throws(() => hits.value, { code: 'STATE_NOT_LIVE' })
  assert.equal(one.state('hits', 2, () => 'by a hook').value, 'by a hook')
  assert.equal(hits.value as unknown, 'by a hook')
})

test('state() that an update has from the one before is what that asked for last', () => {
  const { store, user } = bench()
  const one = user()
  one.state('hits', 1, counted)
  store.goLive([one])
  let from: Maker = null
  for (const versions of [[1], [2], []]) {
    const [next] = update(store, one, from, ...versions)
    one.ended(from)
    from = next
  }
  assert.deepEqual(
    store.copies(['limit']).map(({ version }) => version),
    [2],
  )
})

test('state() that a left timer uses while an update asks for it is one for both', () => {
  const { store, user } = bench()
  const one = user()
  const hits = one.state('hits', 1, counted)
  store.goLive([one])
  const [second] = update(store, one, null, 2)
  one.ended(null)
  const next = begin(one, second)
  const again = runUpdate(next, () => one.state('hits', 1, counted))
  assert.equal(hits.value.count, 0)
  serve(store, one, next)
  assert.equal(again.value, hits.value)
})
