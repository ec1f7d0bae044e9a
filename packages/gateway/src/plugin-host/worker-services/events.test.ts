import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { instancePlan } from '../../protocol/test-plans.ts'
import { logLooseFailure } from '../loose-failure.ts'
import { recordingLog } from '../test-support.ts'
import { EventBus, EventUser } from './events.ts'

function bench() {
  const { log, lines } = recordingLog()
  const bus = new EventBus(log)
  const user = (plugin: string, dependencies: readonly string[] = []): EventUser =>
    new EventUser(bus, {
      plugin,
      name: plugin,
      log,
      dependencies: new Set(dependencies),
      failed: (what, thrown) =>
        logLooseFailure({
          plan: instancePlan(),
          what,
          thrown,
          log,
          mapStack: (error) => `mapped ${error.message}`,
        }),
    })
  const live = (plugin: string, dependencies?: readonly string[]): EventUser => {
    const made = user(plugin, dependencies)
    made.goLive()
    return made
  }
  return { bus, lines, user, live }
}

test('on() refuses names that are none, and events of plugins that it does not depend on', () => {
  const limit = bench().live('limit', ['auth'])
  for (const name of ['', 'login', '/login', 'auth/', 5]) {
    assert.throws(() => limit.on(name as string, () => {}), {
      name: 'TypeError',
      message: /is not the name of an event/,
    })
  }
  assert.throws(() => limit.on('auth/login', null as never), TypeError)
  assert.throws(() => limit.on('other/login', () => {}), {
    code: 'PLUGIN_DEPENDENCY_MISSING',
    plugin: 'limit',
    message:
      'Plugin "limit" cannot listen to "other/login": "other" is not in dependencies of its plugin.json',
  })
})

test('on() bounds the listeners of an instance', () => {
  const limit = bench().live('limit')
  for (let i = 0; i < PLUGIN_LIMITS.listenersMax; i++) limit.on('limit/x', () => {})
  assert.throws(() => limit.on('limit/x', () => {}), /has 1000 listeners; add them once, in PluginMain/)
})

test('emit() refuses data that cannot be cloned, also when nobody listens, and names that are none', () => {
  const auth = bench().live('auth')
  assert.throws(() => auth.emit('login', (() => {}) as never), { name: 'DataCloneError' })
  assert.throws(() => auth.emit('', 1), TypeError)
})

test('emit() delivers after the turn, a clone for each, as the data was when it was told', async () => {
  const { live } = bench()
  const [auth, limit] = [live('auth'), live('limit', ['auth'])]
  const heard: { user: string }[] = []
  const listen = (data: unknown): void => void heard.push(data as { user: string })
  limit.on('auth/login', listen)
  limit.on('auth/logout', () => assert.fail('another event'))
  auth.on('auth/login', listen)
  const data = { user: 'a' }
  auth.emit('login', data)
  data.user = 'b'
  await null
  assert.deepEqual(heard, [])
  await turn()
  assert.deepEqual(heard, [{ user: 'a' }, { user: 'a' }])
  assert.notEqual(heard[0], heard[1])
})

test('a listener that throws or rejects is logged with its mapped stack, and others hear', async () => {
  const { live, lines } = bench()
  const [auth, limit] = [live('auth'), live('limit', ['auth'])]
  let heard = 0
  auth.on('auth/login', () => {
    throw new Error('bang')
  })
  auth.on('auth/login', (async () => Promise.reject(new Error('late'))) as () => void)
  limit.on('auth/login', () => heard++)
  auth.emit('login')
  await turn()
  assert.equal(heard, 1)
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, (fields.error as Error).stack]),
    [
      ['error', 'A listener of "auth" to "auth/login" failed: bang', 'mapped bang'],
      ['error', 'A listener of "auth" to "auth/login" failed: late', 'mapped late'],
    ],
  )
})

test('listeners that answer each other for ever leave the event loop its turns', async () => {
  const { live } = bench()
  const auth = live('auth')
  let rounds = 0
  auth.on('auth/ping', () => {
    rounds++
    auth.emit('ping')
  })
  auth.emit('ping')
  await turn()
  await turn()
  assert.ok(rounds >= 1 && rounds <= 3, `${rounds}`)
  auth.release()
})

test('events told before the generation is live wait for that, and are gone with it', async () => {
  const { user, live } = bench()
  const heard: unknown[] = []
  const old = live('auth')
  old.on('auth/ready', (data) => heard.push(data))
  const discarded = user('auth')
  discarded.emit('ready', 'discarded')
  discarded.quiesce()
  discarded.emit('ready', 'from stop')
  discarded.release()
  const next = user('auth')
  next.on('auth/ready', (data) => heard.push(`next ${data}`))
  next.emit('ready', 1)
  old.emit('ready', 0)
  await turn()
  assert.deepEqual(heard, [0])
  next.goLive()
  next.goLive()
  await turn()
  assert.deepEqual(heard, [0, 1, 'next 1'])
})

test('events are bounded: of one instance before it is live, and of all in one turn', async () => {
  const { user, live, lines } = bench()
  const staged = user('auth')
  for (let i = 0; i < PLUGIN_LIMITS.eventsHeldMax + 3; i++) staged.emit('x')
  staged.goLive()
  assert.match(
    lines[0]?.message ?? '',
    /^3 events of "auth" were dropped: too many were told before it was live/,
  )
  await turn()
  const auth = live('auth')
  let heard = 0
  auth.on('auth/y', () => heard++)
  for (let i = 0; i < PLUGIN_LIMITS.eventsPendingMax + 5; i++) auth.emit('y')
  await turn()
  assert.equal(heard, PLUGIN_LIMITS.eventsPendingMax)
  assert.match(lines[1]?.message ?? '', /^5 events of plugins were dropped/)
  auth.emit('y')
  await turn()
  assert.equal(heard, PLUGIN_LIMITS.eventsPendingMax + 1)
  assert.equal(lines.length, 2)
})

test('an instance that stops hears nothing any more, and may still tell', async () => {
  const { live } = bench()
  const [auth, limit] = [live('auth'), live('limit', ['auth'])]
  const heard: unknown[] = []
  auth.on('auth/bye', () => assert.fail('has stopped'))
  limit.on('auth/bye', (data) => heard.push(data))
  auth.emit('bye', 'before')
  auth.quiesce()
  auth.on('auth/bye', () => assert.fail('too late'))
  auth.emit('bye', 'in stop')
  auth.release()
  auth.emit('bye', 'after')
  await turn()
  assert.deepEqual(heard, ['before', 'in stop'])
})
