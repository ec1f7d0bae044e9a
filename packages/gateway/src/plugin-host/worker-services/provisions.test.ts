import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { Provision } from './provisions.ts'

function provision(): Provision {
  return new Provision({ plugin: 'auth', name: 'auth', mapStack: (error) => `mapped ${error.message}` })
}

test('provide() refuses what is no service', () => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /needs an object with at least one function/],
    [null, /needs an object/],
    [{}, /needs an object with at least one function/],
    [{ check: true }, /check is not a function/],
    [Object.fromEntries([['then', () => {}]]), /cannot have a function named then/],
  ]
  for (const [service, message] of wrong) {
    assert.throws(() => provision().provide(service as never), { name: 'TypeError', message })
  }
  const twice = provision()
  twice.provide({ check() {} })
  assert.throws(() => twice.provide({ check() {} }), /check is provided already/)
})

test('provide() is refused once PluginMain has returned', () => {
  const auth = provision()
  auth.seal()
  assert.throws(() => auth.provide({ check() {} }), /works only while PluginMain runs/)
})

test('client() is refused by who provides nothing, and by who has stopped', () => {
  const auth = provision()
  assert.throws(() => auth.client(), {
    code: 'SERVICE_UNAVAILABLE',
    message: /^Plugin "auth" provides nothing/,
  })
  auth.release()
  assert.throws(() => auth.client(), { code: 'SERVICE_UNAVAILABLE', message: /^Plugin "auth" has stopped/ })
})

test('a call clones its arguments when it is made and its result when it is there', async () => {
  const kept = { user: 'a' }
  const seen: unknown[] = []
  const auth = provision()
  auth.provide({
    check(token: { text: string }) {
      seen.push(token)
      return kept
    },
  })
  const { check } = auth.client()
  const token = { text: 'before' }
  const called = check?.(token)
  token.text = 'after'
  assert.deepEqual(seen, [], 'the call is not made in the turn of the caller')
  const result = await called
  assert.deepEqual(seen, [{ text: 'before' }])
  assert.deepEqual(result, kept)
  assert.notEqual(result, kept)
})

test('a call rejects for what cannot be cloned, either way, and never throws', async () => {
  const auth = provision()
  auth.provide({ give: () => () => {}, take: () => true })
  const { give, take } = auth.client()
  await assert.rejects(async () => take?.(() => {}), { name: 'DataCloneError' })
  await assert.rejects(async () => give?.(), { name: 'DataCloneError' })
})

test('a call rejects with a copy of what the provider threw', async () => {
  class Refused extends Error {
    override name = 'Refused'
    code = 'E_REFUSED'
  }
  const thrown = new Refused('not you')
  const auth = provision()
  auth.provide({
    sync() {
      throw thrown
    },
    late: async () => Promise.reject(thrown),
    text() {
      throw 'plain'
    },
  })
  const { sync, late, text } = auth.client()
  for (const call of [sync, late]) {
    await assert.rejects(
      async () => call?.(),
      (error: Error & { code?: string }) => {
        assert.notEqual(error, thrown)
        const { name, message, code, stack } = error
        assert.deepEqual(
          { name, message, code, stack },
          { name: 'Refused', message: 'not you', code: 'E_REFUSED', stack: 'mapped not you' },
        )
        return true
      },
    )
  }
  await assert.rejects(async () => text?.(), /^Error: text of plugin "auth" threw plain/)
})

test('a call is rejected when the provider stops before it has answered, and afterwards', async () => {
  const auth = provision()
  auth.provide({ check: () => new Promise<never>(() => {}) })
  const { check } = auth.client()
  const stopped = { code: 'SERVICE_UNAVAILABLE', message: /^Plugin "auth" has stopped/ }
  const pending = assert.rejects(async () => check?.(), stopped)
  auth.release()
  await pending
  await assert.rejects(async () => check?.(), stopped)
})

test('a call that the provider stops before it began is not made', async () => {
  let calls = 0
  const auth = provision()
  auth.provide({ check: () => calls++ })
  const pending = assert.rejects(async () => auth.client().check?.(), { code: 'SERVICE_UNAVAILABLE' })
  auth.release()
  await pending
  assert.equal(calls, 0)
})

test('calls without an answer are bounded, those with one are forgotten', async () => {
  const gate = Promise.withResolvers<void>()
  const auth = provision()
  auth.provide({ check: () => gate.promise })
  const { check } = auth.client()
  const calls = Array.from({ length: PLUGIN_LIMITS.serviceCallsPendingMax }, () => check?.())
  await assert.rejects(async () => check?.(), {
    code: 'SERVICE_UNAVAILABLE',
    message: 'Plugin "auth" has 10000 calls that it has not answered',
  })
  gate.resolve()
  await Promise.all(calls)
  await check?.()
})

test('client() has the functions of the service, which run on it', async () => {
  const auth = provision()
  auth.provide({
    double(n: number) {
      return 2 * n
    },
    four(this: { double(n: number): number }) {
      return this.double(2)
    },
  })
  const client = auth.client()
  assert.ok(Object.isFrozen(client))
  assert.deepEqual(Object.keys(client), ['double', 'four'])
  assert.deepEqual([await client.double?.(4), await client.four?.()], [8, 4])
  assert.equal(await Promise.resolve(client), client)
})
