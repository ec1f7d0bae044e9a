import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

test('the context tells what came, where from, and by which route', async (t) => {
  const facts: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle({ id, request, route }) {
          const { method, url, path, host, clientIp, scheme, protocol } = request
          facts.push({
            id,
            method,
            url,
            path,
            host,
            clientIp,
            scheme,
            protocol,
            route,
            query: [...request.query],
          })
          return true
        },
      },
    ],
    route: { paths: ['/users/:id/*'] },
  })
  await send({
    method: 'patch',
    target: '/users/J%C3%B6rg/%7Ea/../b?x=1&y=%20',
    headers: { Host: 'Shop.Example:8080' },
    clientIp: '2001:db8::1',
    scheme: 'https',
  })
  assert.deepEqual(facts, [
    {
      id: 'test-1',
      method: 'patch',
      url: '/users/J%C3%B6rg/b?x=1&y=%20',
      path: '/users/J%C3%B6rg/b',
      host: 'shop.example:8080',
      clientIp: '2001:db8::1',
      scheme: 'https',
      protocol: 'HTTP/1.1',
      route: { name: 'all', params: { id: 'Jörg' } },
      query: [
        ['x', '1'],
        ['y', ' '],
      ],
    },
  ])
})

test('the route stays when a plugin rewrites the path', async (t) => {
  const routes: unknown[] = []
  const note = (ctx: Context) => void routes.push(ctx.route)
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.request.path = '/elsewhere'
          note(ctx)
          return true
        },
        onResponse: note,
      },
    ],
    route: { paths: ['/a/:b'] },
  })
  await send('/a/c')
  assert.deepEqual(routes, Array(2).fill({ name: 'all', params: { b: 'c' } }))
})

test('every plugin has one context of its own for all hooks of an exchange', async (t) => {
  const seen: Context[] = []
  const keep = (ctx: Context) => void seen.push(ctx)
  const hooks: Hooks = {
    handle: (ctx) => seen.push(ctx) > 0,
    onResponse: keep,
    onError: keep,
    onFinish: keep,
  }
  const { send } = exchangeBench(t, { chain: [hooks, hooks], upstream: { connect: () => 'refuse' } })
  await send()
  assert.equal(new Set(seen).size, 2)
  await send()
  assert.equal(new Set(seen).size, 4)
})

test('values are shared along the chain and across hooks, never across exchanges', async (t) => {
  const seen: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          seen.push(ctx.values.size)
          ctx.values.set('user', { name: 'a' })
          return true
        },
        onResponse: (ctx) => void seen.push(ctx.values.get('later')),
      },
      {
        handle(ctx) {
          seen.push(ctx.values.get('user'))
          ctx.values.set('later', 7)
          return true
        },
        onFinish: (ctx) => void seen.push([...ctx.values.keys()]),
      },
    ],
  })
  const expected = [0, { name: 'a' }, 7, ['user', 'later']]
  await send()
  assert.deepEqual(seen.splice(0), expected)
  await send()
  assert.deepEqual(seen, expected)
})

test('own is what a plugin kept in an earlier hook of the exchange, and nobody else sees it', async (t) => {
  const seen: unknown[] = []
  const kept = (): void => {}
  const keeper = (value: unknown): Hooks => ({
    handle(ctx) {
      seen.push(ctx.own)
      ctx.own = value
      return true
    },
    onResponse: (ctx) => void seen.push(ctx.own),
    onFinish: (ctx) => void seen.push(ctx.own),
  })
  const { send } = exchangeBench(t, { chain: [keeper(kept), keeper('b')] })
  await send()
  await send()
  const once = [undefined, undefined, 'b', kept, 'b', kept]
  assert.deepEqual(seen, [...once, ...once])
})

test('log adds the request id and the route, which fields cannot hide', async (t) => {
  const { send, logs } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.log.debug('one')
          ctx.log.info('two', { a: 1 })
          ctx.log.warn('three', { requestId: 'forged' })
          ctx.log.error('four', { route: 'forged' })
          return true
        },
      },
    ],
  })
  await send()
  const fields = { requestId: 'test-1', route: 'all' }
  assert.deepEqual(logs, [
    { level: 'debug', message: 'one', fields },
    { level: 'info', message: 'two', fields: { a: 1, ...fields } },
    { level: 'warn', message: 'three', fields },
    { level: 'error', message: 'four', fields },
  ])
})

test('signal aborts when the client goes away', async (t) => {
  const aborted: string[] = []
  const { open } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.signal.addEventListener('abort', () => aborted.push('a'))
          return true
        },
      },
      {
        handle: (ctx) =>
          new Promise((resolve) => {
            ctx.signal.addEventListener('abort', () => {
              aborted.push('b')
              resolve(true)
            })
          }),
      },
    ],
  })
  const client = open()
  assert.deepEqual(aborted, [])
  client.abort()
  await client.finished
  assert.deepEqual(aborted, ['a', 'b'])
})

test('signal aborts when the hook times out', async (t) => {
  const signals: AbortSignal[] = []
  const keeping: Hooks = { handle: (ctx) => signals.push(ctx.signal) > 0 }
  const slow: Hooks = {
    handle(ctx) {
      signals.push(ctx.signal)
      return new Promise(() => {})
    },
    plan: { onFailure: { kind: 'open' } },
  }
  const { open, clock } = exchangeBench(t, {
    chain: [keeping, slow, keeping],
    upstream: { answer: () => ({ fault: 'silent' }) },
  })
  open()
  await clock.advance(1_100)
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, true, false],
  )
})

test('signal aborts when the exchange ends, after onFinish()', async (t) => {
  const states: unknown[] = []
  const signals: AbortSignal[] = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle: (ctx) => signals.push(ctx.signal) > 0,
        onFinish: (ctx) => void states.push(ctx.signal.aborted),
      },
    ],
  })
  await send()
  assert.deepEqual(states, [false])
  assert.equal(signals[0]?.aborted, true)
})

/** Every member of the contract, used as a plugin would. */
test('a listener of signal that throws, or uses the revoked context, harms neither the process nor the exchange', async (t) => {
  const { send, clock, logs, plane } = exchangeBench(t, {
    chain: [
      {
        plan: { timeoutMs: 100, onFailure: { kind: 'open' } },
        handle(ctx) {
          ctx.signal.addEventListener('abort', () => ctx.log.info('gone'))
          ctx.signal.addEventListener('abort', async () => {
            throw new Error('rejected')
          })
          return new Promise<boolean>(() => {})
        },
      },
    ],
  })
  const sent = send()
  await clock.advance(200)
  assert.equal((await sent).status, 200)
  // What a listener of a plain AbortSignal throws would have ended this process by now.
  await new Promise((resolve) => setImmediate(resolve))
  const failed = logs.filter(({ message }) => message === 'A listener of ctx.signal failed')
  assert.deepEqual(
    failed.map(({ level, fields }) => [level, fields.code, fields.requestId, fields.route]),
    [
      ['error', 'CONTEXT_REVOKED', 'test-1', 'all'],
      ['error', 'HOOK_THREW', 'test-1', 'all'],
    ],
  )
  await clock.advance(1_000)
  const counts = plane.faults.map((fault) => (fault.kind === 'failures' ? fault.count : 0))
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    3,
  )
})

function uses(
  ctx: Context,
  request: Context['request'],
  response: Context['response'],
): (readonly [string, () => unknown])[] {
  const read = (target: object, keys: readonly string[]) =>
    keys.map((key) => [key, () => Reflect.get(target, key)] as const)
  return [
    ...read(ctx, ['id', 'request', 'response', 'route', 'values', 'own', 'log', 'signal']),
    ...read(request, ['method', 'url', 'path', 'query', 'host', 'clientIp', 'scheme', 'protocol']),
    ['own set', () => Reflect.set(ctx, 'own', 1)],
    ['request.headers.get', () => request.headers.get('a')],
    ['request.headers.getAll', () => request.headers.getAll('a')],
    ['request.headers.has', () => request.headers.has('a')],
    ['request.headers.set', () => request.headers.set('a', 'b')],
    ['request.headers.append', () => request.headers.append('a', 'b')],
    ['request.headers.delete', () => request.headers.delete('a')],
    ['request.headers iterated', () => [...request.headers]],
    ['request.trailers.get', () => request.trailers.get('a')],
    ['request.setBody', () => request.setBody('a')],
    ['request.transformBody', () => request.transformBody((chunk) => chunk)],
    ['request.stream', () => request.stream(new TransformStream())],
    ['request.bytes', () => request.bytes()],
    ['request.text', () => request.text()],
    ['request.json', () => request.json()],
    ['request.method set', () => Reflect.set(request, 'method', 'GET')],
    ['request.path set', () => Reflect.set(request, 'path', '/')],
    ['response.status', () => response.status],
    ['response.status set', () => Reflect.set(response, 'status', 200)],
    ['response.headers.get', () => response.headers.get('a')],
    ['response.headers.set', () => response.headers.set('a', 'b')],
    ['response.headers.append', () => response.headers.append('a', 'b')],
    ['response.headers.delete', () => response.headers.delete('a')],
    ['response.headers iterated', () => [...response.headers]],
    ['response.trailers.has', () => response.trailers.has('a')],
    ['response.send', () => response.send()],
    ['response.json', () => response.json({})],
    ['response.redirect', () => response.redirect('/')],
    ['response.bytes', () => response.bytes()],
    ['response.text', () => response.text()],
    ['response.setBody', () => response.setBody('a')],
    ['response.transformBody', () => response.transformBody((chunk) => chunk)],
    ['response.stream', () => response.stream(new TransformStream())],
  ]
}

const REVOKED = { code: 'CONTEXT_REVOKED' }

test('after onFinish() every use of a context throws CONTEXT_REVOKED', async (t) => {
  const kept: ReturnType<typeof uses> = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          kept.push(...uses(ctx, ctx.request, ctx.response))
          return true
        },
        onFinish: (ctx) => assert.equal(ctx.request.path, '/'),
      },
    ],
  })
  await send()
  for (const [what, use] of kept) await assert.rejects(async () => use(), REVOKED, what)
})

test('after a timeout every use of the context throws CONTEXT_REVOKED; onFinish() gets another one', async (t) => {
  const kept: ReturnType<typeof uses> = []
  const finished: unknown[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          kept.push(...uses(ctx, ctx.request, ctx.response))
          return new Promise(() => {})
        },
        async onFinish(ctx, record) {
          for (const [what, use] of kept) await assert.rejects(async () => use(), REVOKED, what)
          finished.push(ctx.id, record.status)
        },
      },
      { handle: (ctx) => ctx.request.path === '/' },
    ],
  })
  const { response } = open()
  await clock.advance(1_100)
  await response.content
  for (const [what, use] of kept) await assert.rejects(async () => use(), REVOKED, what)
  assert.deepEqual(finished, ['test-1', 503])
})

test('without onFinish() contexts are revoked when the exchange ends', async (t) => {
  const kept: Context[] = []
  const { send } = exchangeBench(t, { chain: [{ handle: (ctx) => kept.push(ctx) > 0 }] })
  await send()
  assert.throws(() => kept[0]?.request, REVOKED)
})

test('a context of another exchange is of no use', async (t) => {
  const kept: Context[] = []
  const { send, logs } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          kept.push(ctx)
          return kept[0]?.id !== ''
        },
      },
    ],
  })
  assert.equal((await send()).status, 200)
  assert.equal((await send()).status, 503)
  assert.equal(logs[0]?.fields.code, 'CONTEXT_REVOKED')
})
