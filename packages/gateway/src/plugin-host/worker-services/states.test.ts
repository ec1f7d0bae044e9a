import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PreviousState } from '@cardea/sdk'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { bench, never } from './test-states.ts'

test('state() refuses names and versions that are none', () => {
  const user = bench().user()
  for (const name of ['', 'a\0b', 5, undefined]) {
    assert.throws(() => user.state(name as string, 1, never), TypeError, `${name}`)
  }
  for (const version of [-1, 1.5, Number.NaN, 2 ** 60, '1']) {
    assert.throws(() => user.state('hits', version as number, never), RangeError, `${version}`)
  }
  assert.throws(() => user.state('hits', 1, {} as () => unknown), TypeError)
})

test('state() bounds how many an instance can have', () => {
  const user = bench().user()
  for (let i = 0; i < PLUGIN_LIMITS.statesMax; i++) user.state(`s${i}`, 1, never)
  assert.throws(() => user.state('one more', 1, never), /has 1000 states; keep what there are many of inside/)
  assert.equal(user.state('s1', 1, never), user.state('s1', 1, never))
})

test('state().value throws STATE_NOT_LIVE before its generation goes live, also when another has the value', () => {
  const { store, user } = bench()
  const first = user()
  const hits = first.state('hits', 1, () => ({ count: 0 }))
  const expected = {
    code: 'STATE_NOT_LIVE',
    plugin: 'limit',
    message: /^State "hits" of plugin "limit" has no value: its generation is not live yet/,
  }
  assert.throws(() => hits.value, expected)
  store.goLive([first])
  assert.deepEqual(hits.value, { count: 0 })
  const second = user()
  const same = second.state('hits', 1, never)
  assert.throws(() => same.value, expected)
})

test('state() whose generation is discarded makes nothing, and takes nothing from others', () => {
  const { store, user, steps } = bench()
  const live = user()
  const hits = live.state('hits', 1, () => ({ count: 1 }))
  store.goLive([live])
  const staged = user()
  staged.state('hits', 1, never)
  staged.state('hits', 2, never)
  staged.release()
  assert.deepEqual(hits.value, { count: 1 })
  assert.deepEqual(steps, ['limit: state hits'])
})

test('state() is one value for all instances of a plugin, and another for another plugin', () => {
  const { store, user } = bench()
  const users = [user('limit'), user('login-limit'), user('other', 'other')]
  const states = users.map((one) => one.state('hits', 1, () => ({})))
  store.goLive(users)
  assert.equal(states[0]?.value, states[1]?.value)
  assert.notEqual(states[0]?.value, states[2]?.value)
})

test('state() takes name and version apart', () => {
  const { store, user } = bench()
  const one = user()
  const states = [
    one.state('x', 11, () => 'x'),
    one.state('1x', 1, () => '1x'),
    one.state('1 x', 1, () => '1 x'),
  ]
  store.goLive([one])
  assert.deepEqual(
    states.map(({ value }) => value),
    ['x', '1x', '1 x'],
  )
})

test('state() survives the swap to new code of the same version, and dies with its last user', () => {
  const { store, user } = bench()
  const old = user()
  const before = old.state('hits', 1, () => ({ count: 7 }))
  store.goLive([old])
  const next = user()
  const after = next.state('hits', 1, never)
  store.goLive([next])
  assert.equal(after.value, before.value)
  old.release()
  assert.deepEqual(after.value, { count: 7 })
  assert.throws(() => before.value, {
    code: 'STATE_NOT_LIVE',
    message: /no value: the instance has stopped$/,
  })
  next.release()
  next.release()
  const reborn = user()
  const fresh = reborn.state('hits', 1, (previous) => ({ previous }))
  store.goLive([reborn])
  assert.deepEqual(fresh.value, { previous: null })
})

test('state() of a new version is made of the one that went live last, not of the highest number', () => {
  const { store, user } = bench()
  const seen: (PreviousState | null)[] = []
  const create = (made: string) => (previous: PreviousState | null) => {
    seen.push(previous)
    return made
  }
  const generations = [2, 1, 3].map((version) => {
    const one = user()
    one.state('hits', version, create(`v${version}`))
    store.goLive([one])
    return one
  })
  // Version 2 still lives in streams of the first generation; the rollback to 1 has the newer data.
  assert.deepEqual(seen, [null, { version: 2, value: 'v2' }, { version: 1, value: 'v1' }])
  assert.ok(Object.isFrozen(seen[1]))
  for (const one of generations) one.release()
})

test('goLive() keeps a carried user the newest', () => {
  const { store, user } = bench()
  const carried = user()
  carried.state('hits', 1, () => 'v1')
  store.goLive([carried])
  const passing = user('other')
  passing.state('hits', 9, () => 'v9')
  store.goLive([carried, passing])
  store.goLive([carried])
  const next = user()
  const migrated = next.state('hits', 2, (previous) => previous?.value)
  store.goLive([carried, next])
  assert.equal(migrated.value, 'v1')
})

test('goLive() asks again with null when create throws, logs it, and reports it', () => {
  const { store, user, lines } = bench()
  const old = user()
  old.state('hits', 1, () => 'v1')
  store.goLive([old])
  const next = user('login-limit')
  const hits = next.state('hits', 2, (previous) => {
    if (previous !== null) throw new Error('cannot migrate')
    return 'fresh'
  })
  const [error, ...others] = store.goLive([next])
  assert.deepEqual(others, [])
  assert.equal(error?.code, 'PLUGIN_START_FAILED')
  assert.equal(error?.plugin, 'login-limit')
  assert.ok(error?.cause instanceof Error)
  assert.equal(error.cause.stack, 'mapped cannot migrate')
  assert.equal(
    error?.message,
    'Cannot make state "hits" version 2 of version 1 for plugin "login-limit": cannot migrate',
  )
  assert.equal(hits.value, 'fresh')
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [['error', `${error?.message}; it is made of nothing instead`]],
  )
})

test('goLive() never throws: a state that cannot be made at all throws where it is used, and others are made', () => {
  const { store, user, lines } = bench()
  const one = user()
  const broken = one.state('broken', 1, () => {
    throw 'no'
  })
  const promised = one.state('promised', 1, async () => Promise.reject(new Error('late')))
  const good = one.state('good', 1, () => 1)
  const errors = store.goLive([one])
  assert.deepEqual(
    errors.map(({ message }) => message),
    [
      'Cannot make state "broken" version 1 for plugin "limit": no',
      'Cannot make state "promised" version 1 for plugin "limit": create returned a promise; it must be synchronous',
    ],
  )
  assert.equal(lines.length, 2)
  assert.throws(() => broken.value, {
    code: 'STATE_NOT_LIVE',
    message: /has no value: Cannot make state "broken"/,
  })
  assert.throws(() => promised.value, { code: 'STATE_NOT_LIVE' })
  assert.equal(good.value, 1)
})

test('goLive() makes a state of nothing where a migration returns nothing, and none where create never returns one', () => {
  const { store, user } = bench()
  const old = user()
  old.state('hits', 1, () => ({ count: 7 }))
  store.goLive([old])
  const next = user()
  const migrated = next.state('hits', 2, (previous) => (previous === null ? { count: 0 } : undefined))
  const never = next.state('never', 1, () => {})
  const messages = store.goLive([next]).map(({ message }) => message)
  const why = 'create returned nothing; it must return the value'
  assert.deepEqual(messages, [
    `Cannot make state "hits" version 2 of version 1 for plugin "limit": ${why}`,
    `Cannot make state "never" version 1 for plugin "limit": ${why}`,
  ])
  assert.deepEqual(migrated.value, { count: 0 })
  assert.throws(() => never.value, { code: 'STATE_NOT_LIVE' })
})

test('state() asked for in a hook is made at once, and throws there', () => {
  const { store, user, lines } = bench()
  const one = user()
  store.goLive([one])
  assert.equal(one.state('hits', 1, () => 'v1').value, 'v1')
  assert.equal(one.state('hits', 2, (previous) => previous?.value).value, 'v1')
  const broken = (): never => {
    throw new Error('broken')
  }
  assert.throws(() => one.state('hits', 3, broken), {
    code: 'PLUGIN_START_FAILED',
    message: /version 3 .*: broken$/,
  })
  assert.equal(lines.length, 1)
  one.release()
  assert.throws(() => one.state('hits', 1, never), { code: 'STATE_NOT_LIVE' })
})

test('state() whose create asks for the same state fails and does no more harm', () => {
  const { store, user } = bench()
  const one = user()
  const state = one.state('hits', 1, (): unknown => one.state('hits', 1, never).value)
  const [error] = store.goLive([one])
  assert.equal(error?.code, 'PLUGIN_START_FAILED')
  assert.throws(() => state.value, { code: 'STATE_NOT_LIVE' })
})

test('copies() gives plain data of the plugins named, the newest version last', () => {
  const { store, user } = bench()
  const old = user()
  const live = old.state('hits', 2, () => new Map([['a', 1]]))
  old.state('code', 1, () => () => {})
  old.state('large', 1, () => new Uint8Array(PLUGIN_LIMITS.stateCopyBytesMax + 1))
  store.goLive([old])
  const next = user()
  next.state('hits', 1, () => new Map([['a', 2]]))
  store.goLive([next])
  const other = user('other', 'other')
  other.state('hits', 1, () => 'not asked for')
  store.goLive([other])
  const copies = store.copies(['limit', 'unknown'])
  assert.deepEqual(copies, [
    { plugin: 'limit', name: 'hits', version: 2, value: new Map([['a', 1]]) },
    { plugin: 'limit', name: 'hits', version: 1, value: new Map([['a', 2]]) },
  ])
  assert.notEqual(copies[0]?.value, live.value)
})

test('copies() bounds what it gives altogether', () => {
  const { store, user } = bench()
  const one = user()
  for (let i = 0; i < 20; i++)
    one.state(`s${i}`, 1, () => new Uint8Array(PLUGIN_LIMITS.stateCopyBytesMax - 100))
  store.goLive([one])
  assert.equal(store.copies(['limit']).length, 16)
})

test('seed() lets a migration be tried on copies, of which the last counts as the newest', () => {
  const { store, user } = bench()
  store.seed([
    { plugin: 'limit', name: 'hits', version: 2, value: 'stale' },
    { plugin: 'limit', name: 'hits', version: 1, value: 'fresh' },
  ])
  const one = user()
  const migrated = one.state('hits', 3, (previous) => previous?.value)
  const same = one.state('hits', 1, never)
  assert.deepEqual(store.goLive([one]), [])
  assert.deepEqual([migrated.value, same.value], ['fresh', 'fresh'])
})
