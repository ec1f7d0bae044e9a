import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchangeBench, type Hooks } from './test-exchange.ts'

/** The same exchange with no plugin, with plugins that only look, and with plugins that touch both bodies. */
const chains: readonly (readonly [string, readonly Hooks[]])[] = [
  ['no plugin', []],
  ['a plugin that looks', [{ onResponse() {} }]],
  ['an async plugin', [{ handle: async () => true, async onResponse() {} }]],
  [
    'a plugin that transforms',
    [
      {
        handle({ request }) {
          request.transformBody((chunk) => chunk)
          return true
        },
        onResponse: ({ response }) => response.transformBody((chunk) => chunk),
      },
    ],
  ],
  [
    'a plugin that transforms slowly',
    [
      {
        handle({ request }) {
          request.transformBody(async (chunk) => chunk)
          return true
        },
        onResponse: ({ response }) => response.transformBody(async (chunk) => chunk),
      },
    ],
  ],
  [
    'a plugin that streams',
    [
      {
        handle({ request, response }) {
          request.stream(new TransformStream())
          response.stream(new TransformStream())
          return true
        },
      },
    ],
  ],
]

const KIB = 1024

for (const [what, chain] of chains) {
  test(`with ${what} content passes both ways`, async (t) => {
    const { send, plane } = exchangeBench(t, {
      chain,
      upstream: { answer: (request) => ({ body: ['got ', request.text()] }) },
    })
    const { text } = await send({ method: 'POST', target: '/', body: ['con', 'tent'] })
    assert.equal(text, 'got content')
    assert.equal(plane.seen[0]?.text(), 'content')
  })

  test(`with ${what} a head passes before its content`, async (t) => {
    const { open, clock, plane } = exchangeBench(t, {
      chain,
      upstream: { onHead: () => ({ body: [{ pauseMs: 10 }, 'late'] }) },
    })
    const client = open({ method: 'POST', target: '/', streamed: true })
    await clock.advance(0)
    assert.equal(plane.seen.length, 1)
    assert.equal((await client.response.head).status, 200)
    assert.equal(client.response.received.length, 0)
    await clock.advance(10)
    assert.equal((await client.response.content).toString(), 'late')
  })

  test(`with ${what} a client that does not read holds the upstream up`, async (t) => {
    const pieces = Array.from({ length: 64 }, () => Buffer.alloc(16 * KIB, 'x'))
    const { open, clock } = exchangeBench(t, {
      chain,
      upstream: { body: pieces },
      limits: { relayBufferBytes: 64 * KIB },
    })
    const { response, finished } = open()
    response.stopReading()
    await clock.advance(1_000)
    assert.ok(response.full)
    assert.ok(response.unreadBytes <= 128 * KIB, `${response.unreadBytes} bytes wait`)
    response.startReading()
    assert.equal((await response.content).length, 1024 * KIB)
    await finished
  })

  test(`with ${what} an upstream that does not read holds the client up`, async (t) => {
    const { open, clock, plane } = exchangeBench(t, { chain, limits: { relayBufferBytes: 64 * KIB } })
    const client = open({ method: 'POST', target: '/', streamed: true })
    await clock.advance(0)
    const [seen] = plane.seen
    seen?.pause()
    for (let piece = 0; piece < 64; piece++) client.write(Buffer.alloc(16 * KIB, 'x'))
    client.end()
    await clock.advance(0)
    assert.ok((seen?.body.length ?? 0) <= 128 * KIB, `${seen?.body.length} bytes came`)
    assert.equal(seen?.complete, false)
    seen?.resume()
    assert.equal((await client.response.head).status, 200)
    assert.equal(seen?.body.length, 1024 * KIB)
  })

  test(`with ${what} an early answer ends the request`, async (t) => {
    const { open, clock, plane } = exchangeBench(t, {
      chain,
      upstream: { onHead: () => ({ status: 413, body: 'enough' }) },
    })
    const client = open({ method: 'POST', target: '/', streamed: true })
    client.write(Buffer.from('some'))
    await clock.advance(0)
    assert.equal((await client.response.head).status, 413)
    assert.equal((await client.response.content).toString(), 'enough')
    await client.finished
    client.write(Buffer.from('more'))
    client.end()
    assert.equal(plane.seen[0]?.complete, false)
  })

  test(`with ${what} a client that goes away cancels the upstream`, async (t) => {
    const { open, clock, plane } = exchangeBench(t, { chain })
    const client = open({ method: 'POST', target: '/', streamed: true })
    client.write(Buffer.from('some'))
    await clock.advance(0)
    client.abort()
    await client.finished
    assert.deepEqual([plane.seen[0]?.cancelled, plane.seen[0]?.complete], [true, false])
  })

  test(`with ${what} an upstream that stalls is cut after its idle timeout`, async (t) => {
    const { open, clock } = exchangeBench(t, { chain, upstream: { body: ['some'], ends: 'stall' } })
    const { response } = open()
    assert.equal((await response.head).status, 200)
    await clock.advance(60_000)
    await assert.rejects(response.content, /The gateway reset the connection/)
  })

  test(`with ${what} interim responses pass`, async (t) => {
    const informational = [{ status: 103, headers: { link: '</a.css>' } }]
    const { open } = exchangeBench(t, { chain, upstream: { informational, body: 'x' } })
    const { response } = open()
    assert.equal((await response.head).status, 200)
    assert.deepEqual(response.informational, [{ status: 103, fields: [['link', '</a.css>']] }])
  })

  test(`with ${what} an HTTP/1.0 client is answered in its way`, async (t) => {
    const { open } = exchangeBench(t, { chain, upstream: { informational: [{ status: 103 }], body: 'x' } })
    const { response } = open({ target: '/', httpVersion: '1.0' })
    assert.equal((await response.content).toString(), 'x')
    assert.deepEqual(response.informational, [])
  })

  test(`with ${what} an upgrade becomes a tunnel`, async (t) => {
    const { open, clock, plane } = exchangeBench(t, {
      chain,
      upstream: {
        onHead: () => ({
          status: 101,
          headers: { connection: 'upgrade', upgrade: 'echo' },
          body: ['welcome', { pauseMs: 5 }, 'goodbye'],
        }),
      },
    })
    const client = open({ target: '/', headers: { connection: 'upgrade', upgrade: 'echo' } })
    const head = await client.response.head
    assert.equal(head.status, 101)
    assert.deepEqual(
      head.fields.filter(([name]) => name === 'upgrade' || name === 'connection'),
      [
        ['connection', 'upgrade'],
        ['upgrade', 'echo'],
      ],
    )
    client.write(Buffer.from('hello'))
    await clock.advance(5)
    assert.equal(client.response.received.toString(), 'welcomegoodbye')
    assert.equal(plane.seen[0]?.text(), 'hello')
    client.end()
    await client.finished
  })
}

test('a worker that holds as many pending requests as it may answers 503, before plugins run', async (t) => {
  const ran: string[] = []
  const { open, clock, send, plane } = exchangeBench(t, {
    chain: [{ handle: ({ id }) => ran.push(id) > 0 }],
    upstream: { delayMs: 10, body: 'x' },
    limits: { pendingRequestsMax: 2 },
  })
  const first = [open(), open()]
  await clock.advance(0)
  assert.equal(plane.pendingRequests, 2)
  const refused = await send()
  assert.deepEqual([refused.status, JSON.parse(refused.text).code], [503, 'GATEWAY_OVERLOADED'])
  await clock.advance(10)
  for (const { response } of first) assert.equal((await response.head).status, 200)
  assert.equal(plane.pendingRequests, 0)
  assert.deepEqual(ran, ['test-1', 'test-2'])
})

test('exchanges that overlap do not touch each other', async (t) => {
  const waiting: (() => void)[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        async handle(ctx) {
          ctx.values.set('id', ctx.id)
          await new Promise<void>((resolve) => waiting.push(resolve))
          ctx.response.headers.set('x-id', String(ctx.values.get('id')))
          ctx.request.query.set('id', ctx.id)
          return true
        },
      },
    ],
    upstream: { answer: (request) => ({ body: request.url }) },
  })
  const clients = Array.from({ length: 5 }, () => open())
  for (const go of waiting.toReversed()) go()
  await clock.advance(0)
  for (const [index, { response }] of clients.entries()) {
    const id = `test-${index + 1}`
    const { fields } = await response.head
    assert.ok(fields.some(([name, value]) => name === 'x-id' && value === id))
    assert.equal((await response.content).toString(), `/?id=${id}`)
  }
})

test('an upgrade that the upstream does not take, or a plugin answers, is a plain response', async (t) => {
  const headers = { connection: 'upgrade', upgrade: 'echo' }
  const plain = exchangeBench(t, { upstream: { status: 200, body: 'no tunnel' } })
  assert.equal((await plain.send({ target: '/', headers })).text, 'no tunnel')
  const answered = exchangeBench(t, {
    chain: [{ handle: (ctx) => ctx.response.send('no', { status: 403 }) }],
  })
  assert.equal((await answered.send({ target: '/', headers })).status, 403)
})

test('onFinish() of a tunnel runs when the tunnel ends, whoever ends it', async (t) => {
  const records: unknown[] = []
  const tunnel = { status: 101, headers: { connection: 'upgrade', upgrade: 'echo' } }
  for (const [ends, by] of [
    ['complete', 'upstream'],
    ['stall', 'client'],
    ['cut', 'a cut'],
  ] as const) {
    const { open, clock } = exchangeBench(t, {
      chain: [
        {
          onFinish: (_, { status, responseBytes, error }) =>
            void records.push({ by, status, responseBytes, error }),
        },
      ],
      upstream: { onHead: () => ({ ...tunnel, body: ['abc', { pauseMs: 5 }], ends }) },
    })
    const client = open({ target: '/', headers: { connection: 'upgrade', upgrade: 'echo' } })
    await client.response.head
    assert.equal(records.length, 0)
    await clock.advance(5)
    if (by === 'client') client.abort()
    else client.end()
    await client.finished
    assert.deepEqual(records.splice(0), [{ by, status: 101, responseBytes: 3, error: null }])
  }
})

test('an answer of status 205 has no content, whatever a plugin gave it', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [{ handle: ({ response }) => response.send('content', { status: 205 }) }],
  })
  const { status, text, headers } = await send('/')
  assert.deepEqual([status, text, headers.get('content-length')], [205, '', '0'])
})
