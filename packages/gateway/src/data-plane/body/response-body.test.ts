import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** A middleware whose onResponse is this. */
const responding = (onResponse: (ctx: Context) => unknown): Hooks => ({
  async onResponse(ctx) {
    await onResponse(ctx)
  },
})

const reading = (read: unknown[]): Hooks =>
  responding(async ({ response }) => read.push(await response.text()))

test('bytes() and text() gather the content, again and again, and it goes on', async (t) => {
  const read: unknown[] = []
  const chain = [
    reading(read),
    responding(async ({ response }) => read.push((await response.bytes()).length)),
    reading(read),
  ]
  const { send } = exchangeBench(t, { chain, upstream: { body: 'hello' } })
  const { text, headers } = await send()
  assert.deepEqual([text, headers.get('content-length')], ['hello', '5'])
  assert.deepEqual(read, ['hello', 5, 'hello'])
})

test('a response of unknown length has one once it was read', async (t) => {
  const { send } = exchangeBench(t, { chain: [reading([])], upstream: { body: ['he', 'llo'] } })
  const { text, headers } = await send()
  assert.equal(text, 'hello')
  assert.equal(headers.get('content-length'), '5')
  assert.equal(headers.has('transfer-encoding'), false)
})

test('in handle() there is no response to read', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        async handle(ctx) {
          await assert.rejects(ctx.response.text(), /read its body in onResponse/)
          return true
        },
      },
    ],
  })
  assert.equal((await send()).status, 200)
})

test('content over body_bytes fails the hook with UPSTREAM_BODY_TOO_LARGE, 502', async (t) => {
  for (const body of ['123456789', ['12345', '6789']]) {
    const { send } = exchangeBench(t, {
      chain: [reading([])],
      upstream: { body },
      limits: { bodyBytesMax: 8 },
    })
    const { status, text } = await send()
    assert.deepEqual([status, JSON.parse(text).code], [502, 'UPSTREAM_BODY_TOO_LARGE'])
  }
})

test('a plugin that catches it and goes on does not send half a body', async (t) => {
  const ran: number[] = []
  const { send } = exchangeBench(t, {
    chain: [
      { onResponse: (ctx) => void ran.push(ctx.response.status) },
      responding(({ response }) => response.text().catch(() => {})),
    ],
    upstream: { body: '123456789' },
    limits: { bodyBytesMax: 8 },
  })
  assert.equal((await send()).status, 502)
  assert.deepEqual(ran, [200])
})

test('setBody() replaces the content; length, ETag and digests are put right', async (t) => {
  const headers = {
    etag: '"abc"',
    'content-digest': 'sha-256=:x:',
    'repr-digest': 'sha-256=:x:',
    digest: 'x',
    'content-md5': 'x',
    'accept-ranges': 'bytes',
    'x-kept': 'yes',
  }
  for (const body of ['old', ['o', 'l', 'd']]) {
    const { send } = exchangeBench(t, {
      chain: [responding(({ response }) => response.setBody('brand new'))],
      upstream: { headers, body },
    })
    const { fields, text } = await send()
    assert.equal(text, 'brand new')
    assert.deepEqual(fields, [
      ['etag', 'W/"abc"'],
      ['x-kept', 'yes'],
      ['via', '1.1 cardea'],
      ['content-length', '9'],
    ])
  }
})

test('a weak ETag stays as it is, and reading alone changes no field', async (t) => {
  const weak = exchangeBench(t, {
    chain: [responding(({ response }) => response.setBody('x'))],
    upstream: { headers: { etag: 'W/"a"' }, body: 'old' },
  })
  assert.equal((await weak.send()).headers.get('etag'), 'W/"a"')
  const read = exchangeBench(t, {
    chain: [reading([])],
    upstream: { headers: { etag: '"a"', 'accept-ranges': 'bytes', digest: 'd' }, body: 'old' },
  })
  const { headers } = await read.send()
  assert.deepEqual(
    [headers.get('etag'), headers.get('accept-ranges'), headers.get('digest')],
    ['"a"', 'bytes', 'd'],
  )
})

test('setBody() ends an upstream response that would have no end', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [responding(({ response }) => response.setBody('short'))],
    upstream: { body: ['endless'], ends: 'stall' },
  })
  assert.equal((await send()).text, 'short')
  assert.equal(plane.seen[0]?.cancelled, true)
})

test('the body of a 206 is not to be changed, only to be read', async (t) => {
  const refusals: string[] = []
  const refused = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      refusals.push((error as Error).message)
    }
  }
  const read: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      responding(async ({ response }) => {
        refused(() => response.setBody('x'))
        refused(() => response.transformBody((chunk) => chunk))
        refused(() => response.stream(new TransformStream()))
        read.push(await response.text())
      }),
    ],
    upstream: { status: 206, headers: { 'content-range': 'bytes 0-3/10' }, body: 'part' },
  })
  const { status, text } = await send({ target: '/', headers: { range: 'bytes=0-3' } })
  assert.deepEqual([status, text], [206, 'part'])
  assert.deepEqual(read, ['part'])
  assert.equal(refusals.length, 3)
  for (const refusal of refusals) assert.match(refusal, /delete Range and If-Range in handle/)
})

test('HEAD, 204 and 304 read as empty, and keep the length that they say', async (t) => {
  const cases = [
    ['HEAD', { status: 200, headers: { 'content-length': '1234' } }, '1234'],
    ['GET', { status: 304, headers: { 'content-length': '1234' } }, '1234'],
    ['GET', { status: 204 }, null],
    ['HEAD', { status: 200, headers: { 'transfer-encoding': 'chunked' } }, null],
  ] as const
  for (const [method, upstream, length] of cases) {
    const read: unknown[] = []
    const { send } = exchangeBench(t, { chain: [reading(read)], upstream })
    const response = await send({ method, target: '/' })
    assert.deepEqual([response.status, response.headers.get('content-length')], [upstream.status, length])
    assert.deepEqual(read, [''])
  }
})

test('setBody() gives HEAD the length that GET would have', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [responding(({ response }) => response.setBody('hello'))],
    upstream: { body: 'old content' },
  })
  assert.equal((await send()).headers.get('content-length'), '5')
  const { headers, text } = await send({ method: 'HEAD', target: '/' })
  assert.deepEqual([headers.get('content-length'), text], ['5', ''])
})

test('a 204 that a plugin makes a 200 has the content that the plugin gives it, or none', async (t) => {
  for (const content of ['given', null]) {
    const { send } = exchangeBench(t, {
      chain: [
        responding(({ response }) => {
          response.status = 200
          if (content !== null) response.setBody(content)
        }),
      ],
      upstream: { status: 204 },
    })
    const { status, text, headers } = await send()
    assert.deepEqual([status, text], [200, content ?? ''])
    assert.equal(headers.get('content-length'), String((content ?? '').length))
  }
})

test('a 200 that a plugin makes a 204 loses its content', async (t) => {
  for (const read of [true, false]) {
    const { send } = exchangeBench(t, {
      chain: [
        responding(async ({ response }) => {
          if (read) await response.text()
          response.status = 204
        }),
      ],
      upstream: { body: 'content' },
    })
    const { status, text, headers } = await send()
    assert.deepEqual([status, text, headers.get('content-length')], [204, '', null])
  }
})

test('the answer of a respond route can be read, replaced and transformed', async (t) => {
  const action = { kind: 'respond', status: 200, headers: { etag: '"a"' }, body: 'stored' } as const
  const read: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      responding(({ response }) =>
        response.transformBody((chunk) => Buffer.from(Buffer.from(chunk).toString().toUpperCase())),
      ),
      responding(({ response, request }) => {
        if (request.path === '/replace') response.setBody('replaced')
      }),
      reading(read),
    ],
    route: { action },
  })
  assert.equal((await send()).text, 'STORED')
  assert.equal((await send('/replace')).text, 'REPLACED')
  const untouched = await send()
  assert.deepEqual([untouched.text, untouched.headers.get('etag')], ['STORED', 'W/"a"'])
  assert.deepEqual(read, ['stored', 'stored', 'stored'])
})

test("a later plugin's answer and the gateway's own problems can be read and replaced", async (t) => {
  const read: unknown[] = []
  const replacing = responding(async ({ response }) => {
    read.push((await response.text()).length > 0)
    response.headers.set('content-type', 'text/plain')
    response.setBody(`sorry, ${response.status}`)
  })
  const answered = exchangeBench(t, {
    chain: [replacing, { handle: (ctx) => ctx.response.send('no', { status: 401 }) }],
  })
  assert.equal((await answered.send()).text, 'sorry, 401')
  const failed = exchangeBench(t, { chain: [replacing], upstream: { connect: () => 'refuse' } })
  const { text, headers } = await failed.send()
  assert.deepEqual([text, headers.get('content-type')], ['sorry, 502', 'text/plain'])
  assert.deepEqual(read, [true, true])
})

test('an upstream that fails while a plugin reads is a 502, and the read rejects', async (t) => {
  const codes: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      responding(async ({ response }) => {
        await response.text().catch((error: { code: string }) => codes.push(error.code))
      }),
    ],
    upstream: { body: ['some', { pauseMs: 1 }], ends: 'cut' },
  })
  const { response } = open()
  await clock.advance(1)
  assert.equal((await response.head).status, 502)
  assert.deepEqual(codes, ['UPSTREAM_CLOSED'])
})

test('a client that goes away while a plugin reads ends the read and the upstream', async (t) => {
  const codes: string[] = []
  const { open, clock, plane } = exchangeBench(t, {
    chain: [
      responding(async ({ response }) => {
        await response.text().catch((error: { code: string }) => codes.push(error.code))
      }),
    ],
    upstream: { body: ['some'], ends: 'stall' },
  })
  const client = open()
  await clock.advance(1)
  client.abort()
  await client.finished
  await clock.advance(0)
  assert.deepEqual(codes, ['CLIENT_ABORTED'])
  assert.equal(plane.seen[0]?.cancelled, true)
})

test('after the head has left the body is final', async (t) => {
  const errors: unknown[] = []
  const { send } = exchangeBench(t, {
    chain: [
      {
        async onFinish({ response }) {
          for (const act of [
            () => response.setBody('x'),
            () => response.transformBody((chunk) => chunk),
            () => response.stream(new TransformStream()),
          ]) {
            try {
              act()
            } catch (error) {
              errors.push(error)
            }
          }
          await response.text().catch((error) => errors.push(error))
        },
      },
    ],
    upstream: { body: 'content' },
  })
  assert.equal((await send()).text, 'content')
  assert.equal(errors.length, 4)
})

test('trailers are there after the read, and go on', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      responding(async ({ response }) => {
        assert.equal(response.trailers.get('x-sum'), null)
        await response.text()
        assert.equal(response.trailers.get('x-sum'), 'abc')
      }),
    ],
    upstream: { body: ['content'], trailers: { 'x-sum': 'abc' } },
  })
  const { text, trailers } = await send()
  assert.equal(text, 'content')
  assert.deepEqual(trailers, [['x-sum', 'abc']])
})
