import assert from 'node:assert/strict'
import { test } from 'node:test'
import { consumerOf, defineConsumer, setConsumer } from './consumer.ts'
import type { Context } from './index.ts'
import { type TestPlugin, testGateway } from './testing/index.ts'

const MOBILE = defineConsumer({
  id: 'mobile',
  groups: ['beta'],
  metadata: { plan: { name: 'gold' } },
  method: 'key-auth',
  credential: 'k1',
  expiresAt: 5,
})
const GUEST = defineConsumer({ id: 'guest', anonymous: true, method: 'key-auth' })

const setting = (consumer: Parameters<typeof setConsumer>[1]): TestPlugin => ({
  manifest: { category: 'security' },
  main: () => ({
    name: 'auth',
    handle(ctx) {
      setConsumer(ctx, consumer)
      return true
    },
  }),
})

test('consumerOf() tells all plugins of the chain, in every hook, who was authenticated', async () => {
  const seen: unknown[] = []
  const note = (ctx: Context): void => void seen.push(consumerOf(ctx))
  const observer: TestPlugin = {
    manifest: { category: 'observe' },
    main: () => ({
      name: 'observer',
      handle(ctx) {
        note(ctx)
        return true
      },
      onResponse: note,
      onFinish: note,
    }),
  }
  const later: TestPlugin = {
    main: () => ({ name: 'later', handle: (ctx) => consumerOf(ctx)?.groups.includes('beta') ?? false }),
  }
  await using gateway = await testGateway({ plugins: [observer, setting(MOBILE), later] })
  const response = await gateway.fetch('/', { headers: { 'cardea.consumer': 'forged' } })
  assert.equal(response.status, 200)
  await response.finished
  assert.deepEqual(seen, [null, { ...MOBILE }, { ...MOBILE }])
})

test('consumerOf() is null for a client that names a consumer itself', async () => {
  const seen: unknown[] = []
  const observer: TestPlugin = {
    main: () => ({ name: 'observer', handle: (ctx) => seen.push(consumerOf(ctx)) > 0 }),
  }
  await using gateway = await testGateway({ plugins: [observer] })
  const headers = { 'cardea.consumer': 'admin', 'x-consumer-id': 'admin', cookie: 'cardea.consumer=admin' }
  await gateway.fetch('/?cardea.consumer=admin', { headers })
  assert.deepEqual(seen, [null])
})

test('setConsumer() lets the later one win, but no anonymous one over one that proved who it is', () => {
  const ctx = { values: new Map() }
  assert.equal(setConsumer(ctx, GUEST), true)
  assert.equal(consumerOf(ctx), GUEST)
  assert.equal(setConsumer(ctx, MOBILE), true)
  assert.equal(setConsumer(ctx, GUEST), false)
  assert.equal(consumerOf(ctx), MOBILE)
  const token = defineConsumer({ id: 'user', method: 'jwt' })
  assert.equal(setConsumer(ctx, token), true)
  assert.equal(consumerOf(ctx), token)
})

test('defineConsumer() fills in what is not said and can be cloned', () => {
  const made = defineConsumer({ id: 'a', method: 'own' })
  assert.deepEqual(structuredClone(made), {
    id: 'a',
    groups: [],
    metadata: {},
    anonymous: false,
    method: 'own',
    credential: null,
    expiresAt: null,
  })
})

test('defineConsumer() is frozen throughout and keeps nothing of what it was given', () => {
  const metadata = { plan: { name: 'gold' }, tags: ['x'] }
  const groups = ['a']
  const made = defineConsumer({ id: 'a', method: 'own', metadata, groups })
  metadata.plan.name = 'free'
  groups.push('admin')
  assert.deepEqual(made.metadata, { plan: { name: 'gold' }, tags: ['x'] })
  assert.deepEqual(made.groups, ['a'])
  const write = (target: object, key: string): void => assert.equal(Reflect.set(target, key, 'forged'), false)
  write(made, 'id')
  write(made.groups, '0')
  write(made.metadata, 'plan')
  write(made.metadata.plan as object, 'name')
})

test('defineConsumer() refuses a consumer without id or method', () => {
  assert.throws(() => defineConsumer({ id: '', method: 'own' }), /A consumer needs an id/)
  assert.throws(() => defineConsumer({ id: 'a', method: '' }), /A consumer needs a method/)
  assert.throws(() => defineConsumer({ id: undefined as unknown as string, method: 'own' }), TypeError)
})
