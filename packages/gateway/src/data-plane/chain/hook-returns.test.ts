import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench, type Hooks } from '../test-exchange.ts'

type Handle = (ctx: Context) => boolean | Promise<boolean>

const broken: readonly (readonly [string, (ctx: Context) => unknown, RegExp])[] = [
  ['undefined', () => undefined, /handle returned undefined, neither true nor false; return true to go on/],
  ['null', () => null, /neither true nor false/],
  ['1', () => 1, /neither true nor false/],
  ['0', () => 0, /neither true nor false/],
  ['"true"', () => 'true', /returned a value of type string, neither true nor false/],
  ['an object', () => ({}), /neither true nor false/],
  ['a promise of a string', async () => 'true', /neither true nor false/],
  ['a promise of undefined', async () => {}, /neither true nor false/],
  ['a promise of a boxed true', async () => new Boolean(true), /neither true nor false/],
  ['false without a status', () => false, /false without a status; set ctx\.response\.status/],
  ['a promise of false without a status', async () => false, /false without a status/],
  ['true after send()', (ctx) => !ctx.response.send('x'), /true after send\(\); return what/],
  ['a promise of true after json()', async (ctx) => !ctx.response.json({}), /true after send/],
  ['true after redirect()', (ctx) => !ctx.response.redirect('/'), /true after send/],
]

for (const [what, handle, reason] of broken) {
  test(`handle() returning ${what} fails the hook`, async (t) => {
    const seen: unknown[] = []
    const { send, logs, plane } = exchangeBench(t, {
      chain: [{ onError: (_, error) => void seen.push(error) }, { handle: handle as Handle }],
    })
    const { status, text } = await send()
    assert.equal(status, 503)
    assert.equal(JSON.parse(text).code, 'HOOK_RETURN_INVALID')
    const { code, plugin, source, message } = seen[0] as Record<string, string>
    assert.deepEqual([code, plugin, source], ['HOOK_RETURN_INVALID', 'b', 'plugin'])
    assert.match(message ?? '', reason)
    assert.equal(logs[0]?.level, 'error')
    assert.equal(plane.seen.length, 0)
  })
}

test('handle() returning a thenable is awaited, one that throws fails the hook', async (t) => {
  const thenable = (then: (resolve: (value: boolean) => void) => void) => () =>
    ({ then }) as unknown as Promise<boolean>
  const good = exchangeBench(t, { chain: [{ handle: thenable((resolve) => resolve(true)) }] })
  assert.equal((await good.send()).status, 200)
  const bad = exchangeBench(t, {
    chain: [
      {
        handle: thenable(() => {
          throw new Error('then threw')
        }),
      },
    ],
  })
  assert.equal((await bad.send()).status, 503)
  const worse = exchangeBench(t, {
    chain: [
      {
        handle: () =>
          Object.defineProperty({}, 'then', {
            get() {
              throw new Error('get threw')
            },
          }) as Promise<boolean>,
      },
    ],
  })
  assert.equal((await worse.send()).status, 503)
})

test('a promise whose then is its own and throws fails the hook', async (t) => {
  const broken = (): Promise<boolean> =>
    Object.defineProperty(Promise.resolve(true), 'then', {
      value() {
        throw new Error('then threw')
      },
    })
  const { send } = exchangeBench(t, { chain: [{ handle: broken }] })
  assert.equal((await send()).status, 503)
})

test('send(), json() and redirect() make the answer', async (t) => {
  const cases: [Handle, number, string | null, string, string | null][] = [
    [(ctx) => ctx.response.send('text'), 200, 'text/plain; charset=utf-8', 'text', null],
    [(ctx) => ctx.response.send(new Uint8Array([104, 105])), 200, null, 'hi', null],
    [(ctx) => ctx.response.send(null, { status: 202 }), 202, null, '', null],
    [(ctx) => ctx.response.json({ a: [1] }), 200, 'application/json', '{"a":[1]}', null],
    [(ctx) => ctx.response.json(null, { status: 422 }), 422, 'application/json', 'null', null],
    [(ctx) => ctx.response.redirect('/x'), 302, null, '', '/x'],
    [(ctx) => ctx.response.redirect('/y', 308), 308, null, '', '/y'],
    [async (ctx) => ctx.response.send('later'), 200, 'text/plain; charset=utf-8', 'later', null],
    [
      (ctx) => {
        ctx.response.status = 451
        return false
      },
      451,
      null,
      '',
      null,
    ],
    [
      (ctx) => {
        ctx.response.status = 418
        ctx.response.setBody('teapot')
        return false
      },
      418,
      null,
      'teapot',
      null,
    ],
    [
      (ctx) => {
        ctx.response.status = 201
        return ctx.response.send('kept')
      },
      201,
      'text/plain; charset=utf-8',
      'kept',
      null,
    ],
  ]
  for (const [handle, status, type, text, location] of cases) {
    const { send } = exchangeBench(t, { chain: [{ handle }] })
    const response = await send()
    assert.deepEqual(
      [
        response.status,
        response.headers.get('content-type'),
        response.text,
        response.headers.get('location'),
      ],
      [status, type, text, location],
      String(handle),
    )
    assert.equal(response.headers.get('content-length'), String(text.length))
  }
})

test('send() takes several field lines of a name, and a type of its own', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle: (ctx) =>
          ctx.response.send('<p>', {
            headers: { 'Content-Type': 'text/html', 'set-cookie': ['a=1', 'b=2'] },
          }),
      },
    ],
  })
  const { headers } = await send()
  assert.equal(headers.get('content-type'), 'text/html')
  assert.deepEqual(headers.getSetCookie(), ['a=1', 'b=2'])
})

test('what a plugin set before it returned true is not part of a later answer', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.response.status = 500
          ctx.response.setBody('left over')
          return true
        },
      },
      {
        handle(ctx) {
          assert.equal(ctx.response.status, 0)
          ctx.response.status = 201
          return false
        },
      },
    ],
  })
  const { status, text } = await send()
  assert.deepEqual([status, text], [201, ''])
  const alone = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.response.status = 500
          return true
        },
      },
    ],
  })
  assert.equal((await alone.send()).status, 200)
})

test('statuses that are not final are refused', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          for (const status of [0, 100, 199, 600, 200.5, Number.NaN, '200' as unknown as number]) {
            assert.throws(() => {
              ctx.response.status = status
            }, TypeError)
            assert.throws(() => ctx.response.send('', { status }), TypeError)
          }
          assert.throws(() => ctx.response.json(undefined), TypeError)
          assert.throws(() => ctx.response.redirect('/a\r\nx: y'), TypeError)
          return ctx.response.send('ok', { status: 599 })
        },
      },
    ],
  })
  assert.equal((await send()).status, 599)
})

test('send() in onResponse() is refused; status and setBody() are the way', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        onResponse(ctx) {
          assert.throws(() => ctx.response.send('x'), /belong to handle/)
          ctx.response.status = 202
          ctx.response.setBody('changed')
        },
      },
    ],
    upstream: { body: 'old' },
  })
  const { status, text, headers } = await send()
  assert.deepEqual([status, text, headers.get('content-length')], [202, 'changed', '7'])
})

test('answers to HEAD have the length and no content', async (t) => {
  const { send } = exchangeBench(t, { chain: [{ handle: (ctx) => ctx.response.send('hello') }] })
  const { headers, text } = await send({ method: 'HEAD' })
  assert.deepEqual([headers.get('content-length'), text], ['5', ''])
})

const EMPTY_ANSWERS = {
  'of a plugin, without content': (status: number) => ({
    chain: [{ handle: (ctx) => ctx.response.send(null, { status }) }],
  }),
  'of a plugin, with empty content': (status: number) => ({
    chain: [{ handle: (ctx) => ctx.response.send('', { status }) }],
  }),
  'of a route': (status: number) => ({
    route: { action: { kind: 'respond', status, headers: { etag: '"x"' }, body: '' } },
  }),
  'of `on_failure`': (status: number) => ({
    chain: [
      {
        plan: { onFailure: { kind: 'fallback', status, headers: {}, body: '' } },
        handle() {
          throw new Error('failed')
        },
      },
    ],
  }),
} satisfies Record<string, (status: number) => ExchangeSetup>

for (const [whose, setupOf] of Object.entries(EMPTY_ANSWERS)) {
  test(`an answer ${whose} that is 204 or 304 says nothing of a length`, async (t) => {
    for (const status of [204, 304]) {
      const { send } = exchangeBench(t, setupOf(status))
      for (const method of ['GET', 'HEAD']) {
        const response = await send({ method })
        assert.deepEqual([response.status, response.headers.get('content-length')], [status, null], method)
      }
    }
  })
}

test('an answer of 304 with the content that a 200 would have had says its length', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [{ handle: (ctx) => ctx.response.send('hello', { status: 304 }) }],
  })
  const { headers, text } = await send()
  assert.deepEqual([headers.get('content-length'), text], ['5', ''])
})

for (const [how, left] of [
  ['returned true', () => true],
  [
    'failed, and is passed over',
    () => {
      throw new Error('failed')
    },
  ],
] as const) {
  test(`a plugin whose handle() has ${how} changes nothing by what it did not wait for`, async (t) => {
    const gate = Promise.withResolvers<void>()
    const refused: unknown[] = []
    const leaving: Hooks = {
      plan: { onFailure: { kind: 'open' } },
      handle(ctx) {
        const late: (() => unknown)[] = [
          () => ctx.response.send('late'),
          () => ctx.response.setBody('late'),
          () => Reflect.set(ctx.response, 'status', 418),
          () => ctx.response.headers.set('x-late', 'late'),
          () => ctx.response.transformBody((chunk) => chunk),
          () => ctx.response.stream(new TransformStream()),
          () => ctx.request.headers.set('x-late', 'late'),
          () => Reflect.set(ctx.request, 'path', '/late'),
          () => ctx.request.setBody('late'),
          () => ctx.request.stream(new TransformStream()),
        ]
        void gate.promise.then(() => {
          for (const edit of late) assert.throws(edit, (error) => refused.push(error) > 0)
          // Of a copy.
          ctx.request.query.set('a', 'late')
        })
        return left()
      },
    }
    const other: Hooks = {
      async handle() {
        gate.resolve()
        await new Promise((resolve) => setImmediate(resolve))
        return true
      },
    }
    const { send, plane } = exchangeBench(t, { chain: [leaving, other], upstream: { body: 'hello' } })
    const { status, text } = await send('/path?a=1')
    assert.deepEqual([status, text, plane.seen[0]?.url], [200, 'hello', '/path?a=1'])
    assert.equal(plane.seen[0]?.headers.has('x-late'), false)
    assert.equal(refused.length, 10)
    for (const error of refused) assert.match(`${error}`, /^TypeError: handle of plugin "a" has ended; /)
  })
}

for (const [how, left] of [
  ['ended', () => {}],
  [
    'failed, and is passed over',
    () => {
      throw new Error('failed')
    },
  ],
] as const) {
  test(`a plugin whose onResponse() has ${how} changes nothing by what it did not wait for`, async (t) => {
    const gate = Promise.withResolvers<void>()
    const refused: unknown[] = []
    const leaving: Hooks = {
      plan: { onFailure: { kind: 'open' } },
      onResponse(ctx) {
        const late: (() => unknown)[] = [
          () => ctx.response.setBody('late'),
          () => Reflect.set(ctx.response, 'status', 418),
          () => ctx.response.headers.set('x-late', 'late'),
          () => ctx.response.transformBody((chunk) => chunk),
          () => ctx.response.stream(new TransformStream()),
        ]
        void gate.promise.then(() => {
          for (const edit of late) assert.throws(edit, (error) => refused.push(error) > 0)
        })
        left()
      },
    }
    const other: Hooks = {
      async onResponse() {
        gate.resolve()
        await new Promise((resolve) => setImmediate(resolve))
      },
    }
    // Backwards: the other one comes after it.
    const { send } = exchangeBench(t, { chain: [other, leaving], upstream: { body: 'hello' } })
    const { status, text, headers } = await send('/')
    assert.deepEqual([status, text, headers.get('x-late')], [200, 'hello', null])
    assert.equal(refused.length, 5)
    for (const error of refused) assert.match(`${error}`, /^TypeError: No hook of plugin "b" runs now; /)
  })
}
