import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host, Middleware, PluginMain } from '../index.ts'
import { type TestPlugin, testGateway } from './index.ts'

/** What an authentication plugin offers in these tests. */
interface Auth {
  check(token: string): Promise<{ user: string }>
}

const auth = (calls: string[] = []): TestPlugin => ({
  manifest: { name: 'auth', version: '1.2.0', scope: 'route' },
  main: (_, host) => {
    host.provide({
      check(token: string) {
        calls.push(token)
        if (token === '') throw new RangeError('no token')
        return { user: `user of ${token}` }
      },
    })
    return {
      name: 'auth',
      handle(ctx) {
        host.emit('seen', { path: ctx.request.path })
        return true
      },
      stop: () => void calls.push('stop auth'),
    }
  },
})

const user = (main: PluginMain<never>, range = '^1.0.0'): TestPlugin => ({
  manifest: { name: 'greeter', dependencies: { auth: range } },
  main,
})

function idle(host: Host, uses?: string): Middleware {
  if (uses !== undefined) host.use(uses)
  return { name: 'greeter', handle: () => true }
}

test('testGateway() refuses a plugin whose dependencies cannot be had', async () => {
  const alone = { plugins: [user((_, host) => idle(host))] }
  await assert.rejects(testGateway(alone), /"greeter" needs "auth" \^1\.0\.0/)
  const old = { plugins: [auth(), user((_, host) => idle(host), '^2.0.0')] }
  await assert.rejects(testGateway(old), /"greeter" needs "auth" \^2\.0\.0, but .* holds version 1\.2\.0/)
  const sneaky = { plugins: [auth(), user((_, host) => idle(host, 'other'))] }
  await assert.rejects(
    testGateway(sneaky),
    /cannot use "other": it is not in dependencies of its plugin\.json/,
  )
})

test('testGateway() starts dependencies before and stops them after what uses them', async () => {
  const calls: string[] = []
  const gateway = await testGateway({
    plugins: [
      user(async (_, host) => {
        const service = host.use<Auth>('auth')
        await service.check('at start')
        return {
          name: 'greeter',
          async handle(ctx) {
            const { user } = await service.check(ctx.request.headers.get('x-token') ?? '')
            ctx.response.headers.set('x-user', user)
            return true
          },
          async stop() {
            await service.check('in stop')
          },
        }
      }),
      auth(calls),
    ],
  })
  const answer = await gateway.fetch('/', { headers: { 'x-token': 'abc' } })
  assert.equal(answer.headers.get('x-user'), 'user of abc')
  assert.equal((await gateway.fetch('/')).status, 503)
  assert.match(String(gateway.logs[0]?.fields.stack), /^RangeError: no token/)
  await gateway.close()
  assert.deepEqual(calls, ['at start', 'abc', '', 'in stop', 'stop auth'])
})

test('testGateway() delivers events when the clock is advanced by nothing at all', async () => {
  const heard: unknown[] = []
  await using gateway = await testGateway({
    plugins: [
      auth(),
      user((_, host) => {
        host.on('auth/seen', (data) => heard.push(data))
        return idle(host)
      }),
    ],
  })
  const answer = gateway.fetch('/a')
  assert.deepEqual(heard, [])
  await gateway.clock.advance(0)
  assert.deepEqual(heard, [{ path: '/a' }])
  assert.equal((await answer).status, 200)
})

test('testGateway() makes states when it goes live, and is refused by one that cannot be made', async () => {
  const counting =
    (create: () => { count: number }): PluginMain =>
    (_, host) => {
      const hits = host.state('hits', 1, create)
      return {
        name: 'counter',
        handle: (ctx) => ctx.response.json(++hits.value.count),
        healthCheck() {
          assert.throws(() => hits.value, { code: 'STATE_NOT_LIVE' })
        },
      }
    }
  await using gateway = await testGateway({ plugins: [{ main: counting(() => ({ count: 0 })) }] })
  await gateway.fetch('/')
  assert.equal(await (await gateway.fetch('/')).json(), 2)
  const broken = counting(() => {
    throw new Error('no memory')
  })
  await assert.rejects(
    testGateway({ plugins: [{ main: broken }] }),
    /Cannot make state "hits" version 1 for plugin "plugin-1": no memory/,
  )
})
