import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench } from '../test-exchange.ts'
import type { TestRequest } from '../testing/test-plane.ts'
import type { UpstreamRequestSeen } from '../testing/upstream-script.ts'

/** The request as the upstream gets it after `edit`. */
async function seenAfter(
  t: Parameters<typeof exchangeBench>[0],
  edit: (ctx: Context) => void,
  request: string | Partial<TestRequest> = '/',
  setup: ExchangeSetup = {},
): Promise<UpstreamRequestSeen> {
  const handle = (ctx: Context) => {
    edit(ctx)
    return true
  }
  const { send, plane } = exchangeBench(t, { chain: [{ handle }], ...setup })
  assert.equal((await send(request)).status, 200)
  const [seen] = plane.seen
  assert.ok(seen)
  return seen
}

test('the upstream sees the path and query that plugins leave', async (t) => {
  const cases: [string, (ctx: Context['request']) => unknown, string][] = [
    ['/a?x=%20&y', () => {}, '/a?x=%20&y'],
    ['/a?x=%20&y', (request) => void request.query.get('x'), '/a?x=%20&y'],
    ['/a?x=1', (request) => Reflect.set(request, 'path', '/b'), '/b?x=1'],
    ['/a', (request) => Reflect.set(request, 'path', '/b/./c/../%7Ed'), '/b/~d'],
    ['/a', (request) => Reflect.set(request, 'path', '/"%c3%bc"'), '/%22%C3%BC%22'],
    ['/a?x=1&y=2', (request) => request.query.delete('x'), '/a?y=2'],
    ['/a?x=1', (request) => request.query.delete('x'), '/a'],
    ['/a?q=%C4%E3&x=1&s=a%20b&f', (request) => request.query.delete('x'), '/a?q=%C4%E3&s=a%20b&f'],
    ['/a?q=%C4%E3&x=1&f', (request) => request.query.set('x', '2'), '/a?q=%C4%E3&x=2&f'],
    ['/a', (request) => request.query.append('q', 'a b&c\r\n'), '/a?q=a+b%26c%0D%0A'],
  ]
  for (const [target, edit, url] of cases) {
    const seen = await seenAfter(
      t,
      ({ request }) => {
        edit(request)
        assert.equal(request.url, url)
      },
      target,
    )
    assert.equal(seen.url, url)
  }
})

test('a path that is none is refused', async (t) => {
  const wrong = ['', 'a', '*', '/a b', '/a?b', '/a#b', '/a\r\nx: y', '/ü', '/%', '/%0', '/../a', 'http://a/']
  const seen = await seenAfter(t, ({ request }) => {
    for (const path of wrong) {
      assert.throws(
        () => {
          request.path = path
        },
        TypeError,
        JSON.stringify(path),
      )
    }
  })
  assert.equal(seen.url, '/')
})

test('later plugins see what earlier ones changed', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle({ request }) {
          request.method = 'PUT'
          request.path = '/b'
          request.query.set('x', '2')
          request.headers.set('x-a', 'b')
          return true
        },
      },
      {
        handle({ request }) {
          assert.equal(`${request.method} ${request.url} ${request.headers.get('x-a')}`, 'PUT /b?x=2 b')
          return true
        },
      },
    ],
  })
  assert.equal((await send('/a?x=1')).status, 200)
})

test('the upstream sees the method that plugins leave, and no CONNECT', async (t) => {
  const seen = await seenAfter(t, ({ request }) => {
    for (const method of ['', 'A B', 'GET /', 'CONNECT', 'é']) {
      assert.throws(() => {
        request.method = method
      }, TypeError)
    }
    request.method = 'Purge'
  })
  assert.equal(seen.method, 'Purge')
})

test('the upstream sees the fields that plugins leave, in order', async (t) => {
  const seen = await seenAfter(
    t,
    ({ request: { headers } }) => {
      headers.set('X-One', 'set')
      headers.append('x-two', 'b')
      headers.delete('cookie')
      assert.deepEqual(headers.getAll('x-two'), ['a', 'b'])
      assert.equal(headers.get('X-TWO'), 'a, b')
    },
    {
      headers: [
        ['X-One', '1'],
        ['x-two', 'a'],
        ['x-one', '1b'],
        ['Cookie', 'c=d'],
      ],
    },
  )
  const own = seen.fields.filter(
    ([name]) => name.startsWith('x-') && !name.startsWith('x-f') && name !== 'x-request-id',
  )
  assert.deepEqual(own, [
    ['x-one', 'set'],
    ['x-two', 'a'],
    ['x-two', 'b'],
  ])
  assert.equal(seen.headers.has('cookie'), false)
})

test('Host can be set to a host, not doubled; without one the target stands', async (t) => {
  const set = await seenAfter(t, ({ request: { headers } }) => {
    for (const wrong of ['a b', 'a/b', 'a, b', 'u@h', 'a%2eb', '.a', '127.1', '[::1%25lo]', 'a'.repeat(254)])
      assert.throws(() => headers.set('host', wrong), TypeError)
    assert.throws(() => headers.append('host', 'second.test'), TypeError)
    headers.set('Host', 'inner.test:81')
  })
  assert.deepEqual(
    set.fields.filter(([name]) => name === 'host'),
    [['host', 'inner.test:81']],
  )
  const without = await seenAfter(t, ({ request }) => request.headers.delete('host'))
  assert.equal(without.headers.get('host'), 'origin.test')
})

test('what the gateway says of the client cannot be said twice', async (t) => {
  const names = [
    'X-Forwarded-For',
    'x-forwarded-proto',
    'x-forwarded-host',
    'x-forwarded-port',
    'forwarded',
    'x-request-id',
  ]
  const seen = await seenAfter(
    t,
    ({ request: { headers } }) => {
      for (const name of names) {
        assert.equal(headers.get(name), null)
        assert.throws(() => headers.set(name, 'forged'), TypeError)
        assert.throws(() => headers.append(name, 'forged'), TypeError)
        assert.throws(() => headers.delete(name), TypeError)
      }
    },
    { headers: { 'x-forwarded-for': 'forged', 'X-Request-Id': 'forged', forwarded: 'for=forged' } },
  )
  assert.equal(seen.headers.get('x-forwarded-for'), '192.0.2.1')
  assert.equal(seen.headers.get('x-request-id'), 'test-1')
  assert.doesNotMatch(JSON.stringify(seen.fields), /forged/)
})

test('responses may have an X-Request-Id of their own', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.response.headers.set('x-request-id', ctx.id)
          return true
        },
      },
    ],
  })
  assert.equal((await send()).headers.get('x-request-id'), 'test-1')
})

test('a field that is added while one goes through the fields comes last, however many there are', async (t) => {
  for (let count = 0; count < 12; count++) {
    const sent = Array.from({ length: count }, (_, index): [string, string] => [`x-${index}`, 'sent'])
    await seenAfter(
      t,
      ({ request: { headers } }) => {
        const names: string[] = []
        for (const [name] of headers) {
          if (names.length < 3) headers.append(`x-added-${names.length}`, 'added')
          names.push(name)
        }
        const added = names.filter((name) => name.startsWith('x-added'))
        const most = Math.min(names.length, 3)
        assert.deepEqual(added, ['x-added-0', 'x-added-1', 'x-added-2'].slice(0, most))
        assert.deepEqual(names.slice(0, count + 1), ['host', ...sent.map(([name]) => name)])
      },
      { headers: Object.fromEntries(sent) },
    )
  }
})

test('hop-by-hop fields are gone before plugins look', async (t) => {
  const seen = await seenAfter(
    t,
    ({ request: { headers } }) => {
      assert.deepEqual(
        [...headers].map(([name]) => name),
        ['host', 'x-kept'],
      )
    },
    {
      headers: {
        connection: 'x-named, keep-alive',
        'x-named': 'a',
        'keep-alive': 'timeout=5',
        te: 'trailers',
        'proxy-connection': 'close',
        'x-kept': 'yes',
      },
    },
  )
  assert.equal(seen.headers.has('x-named'), false)
  assert.equal(seen.headers.has('connection'), false)
})

test('after handle() the request is final', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        onResponse({ request }) {
          const edits: (() => unknown)[] = [
            () => Reflect.set(request, 'method', 'PUT'),
            () => Reflect.set(request, 'path', '/x'),
            () => request.headers.set('a', 'b'),
            () => request.headers.append('a', 'b'),
            () => request.headers.delete('a'),
            () => request.setBody('x'),
            () => request.transformBody((chunk) => chunk),
            () => request.stream(new TransformStream()),
          ]
          for (const edit of edits) assert.throws(edit, /can be changed in handle only/)
        },
      },
    ],
  })
  assert.equal((await send()).status, 200)
})

test("a path set by a plugin is the route's to strip, not to replace", async (t) => {
  const edit = ({ request }: Context) => {
    request.path = '/api/b'
  }
  const stripped = await seenAfter(t, edit, '/api/a', {
    chain: [{ handle: (ctx) => edit(ctx) === undefined }],
    route: { paths: ['/api/*'], stripPrefix: '/api' },
  })
  assert.equal(stripped.url, '/b')
  const rewritten = await seenAfter(t, edit, '/api/a', {
    chain: [{ handle: (ctx) => edit(ctx) === undefined }],
    route: { paths: ['/api/*'], rewrite: '/new/*' },
  })
  assert.equal(rewritten.url, '/api/b')
})

test('a HEAD that a plugin turns into GET has no content for its client', async (t) => {
  const bodies: string[] = []
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.request.method = 'GET'
          return true
        },
        async onResponse(ctx) {
          if (ctx.request.path === '/read') bodies.push(await ctx.response.text())
        },
      },
    ],
    upstream: { body: 'hello' },
  })
  for (const target of ['/', '/read']) {
    const { headers, text } = await send({ method: 'HEAD', target })
    assert.deepEqual([headers.get('content-length'), text], ['5', ''])
  }
  assert.deepEqual(bodies, ['hello'])
  assert.equal(plane.seen[0]?.method, 'GET')
})

test('a GET that a plugin turns into HEAD is answered whole, without content', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          ctx.request.method = 'HEAD'
          return true
        },
      },
    ],
    upstream: { headers: { 'content-length': '5' } },
  })
  const { status, headers, text } = await send()
  assert.deepEqual([status, headers.get('content-length'), text], [200, '0', ''])
})
