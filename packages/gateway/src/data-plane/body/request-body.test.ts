import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench, type Hooks } from '../test-exchange.ts'

const POST = { method: 'POST', target: '/' } as const

/** A middleware whose handle is this, and then goes on. */
const handling = (handle: (ctx: Context) => unknown): Hooks => ({
  async handle(ctx) {
    await handle(ctx)
    return true
  },
})

test('bytes(), text() and json() gather the content, again and again, and it goes on', async (t) => {
  const read: unknown[] = []
  const reading = handling(async ({ request }) => {
    read.push(await request.text(), await request.json(), [...(await request.bytes())].length)
    assert.equal(Object.getPrototypeOf(await request.bytes()), Uint8Array.prototype)
  })
  const { send, plane } = exchangeBench(t, { chain: [reading, reading] })
  await send({
    ...POST,
    body: ['{"a":', { pauseMs: 0 }, '"ü"}'].filter((piece) => typeof piece === 'string'),
  })
  assert.deepEqual(read, ['{"a":"ü"}', { a: 'ü' }, 10, '{"a":"ü"}', { a: 'ü' }, 10])
  assert.equal(plane.seen[0]?.text(), '{"a":"ü"}')
  assert.equal(plane.seen[0]?.headers.get('content-length'), '10')
})

test('a request without content reads as empty, and gets no framing by that', async (t) => {
  const read: string[] = []
  const { send, plane } = exchangeBench(t, {
    chain: [handling(async ({ request }) => read.push(await request.text()))],
  })
  await send()
  await send({ ...POST, body: '' })
  assert.deepEqual(read, ['', ''])
  assert.equal(plane.seen[0]?.headers.has('content-length'), false)
  assert.equal(plane.seen[0]?.headers.has('transfer-encoding'), false)
  assert.equal(plane.seen[1]?.headers.get('content-length'), '0')
})

test('what a plugin writes into the bytes it got changes nothing', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [handling(async ({ request }) => (await request.bytes()).fill(0))],
  })
  await send({ ...POST, body: 'content' })
  assert.equal(plane.seen[0]?.text(), 'content')
})

test('json() of what is not JSON rejects with BODY_UNREADABLE, and does not quote it', async (t) => {
  const { send, logs } = exchangeBench(t, { chain: [handling(({ request }) => request.json())] })
  const { status, text } = await send({ ...POST, body: 'secret' })
  assert.equal(status, 503)
  assert.equal(JSON.parse(text).code, 'BODY_UNREADABLE')
  assert.doesNotMatch(JSON.stringify(logs), /secret/)
})

test('content over body_bytes fails the hook with REQUEST_BODY_TOO_LARGE, 413', async (t) => {
  for (const kind of ['closed', 'open', 'fallback'] as const) {
    const onFailure = { kind, status: 299, headers: {}, body: '' }
    const { send, plane } = exchangeBench(t, {
      chain: [{ ...handling(({ request }) => request.text()), plan: { onFailure } }],
      limits: { bodyBytesMax: 8 },
    })
    assert.equal((await send({ ...POST, body: '12345678' })).status, 200)
    for (const body of ['123456789', ['12345', '6789']]) {
      const { status, text } = await send({ ...POST, body })
      assert.equal(status, 413)
      assert.equal(JSON.parse(text).code, 'REQUEST_BODY_TOO_LARGE')
    }
    assert.equal(plane.seen.length, 1)
  }
})

test('a plugin may catch that and answer itself', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle: (ctx) =>
          ctx.request.text().then(
            () => true,
            (error: { code: string }) => ctx.response.send(error.code, { status: 400 }),
          ),
      },
    ],
    limits: { bodyBytesMax: 8 },
  })
  const { status, text } = await send({ ...POST, body: '123456789' })
  assert.deepEqual([status, text], [400, 'REQUEST_BODY_TOO_LARGE'])
})

test('a plugin that catches it and goes on does not send half a body', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [handling(({ request }) => request.text().catch(() => {}))],
    limits: { bodyBytesMax: 8 },
  })
  const { status } = await send({ ...POST, body: '123456789' })
  assert.equal(status, 413)
  assert.equal(plane.seen.length, 0)
})

test('the route has a limit of its own, and plugins see what is over it', async (t) => {
  const ran: string[] = []
  const setup: ExchangeSetup = {
    chain: [{ handle: ({ request }) => ran.push(request.path) > 0 }],
    route: { requestBodyBytesMax: 4 },
  }
  const { send } = exchangeBench(t, setup)
  assert.equal((await send({ ...POST, target: '/known', body: '12345' })).status, 413)
  assert.equal((await send({ ...POST, target: '/chunked', body: ['123', '45'] })).status, 413)
  assert.equal((await send({ ...POST, target: '/fits', body: ['12', '34'] })).status, 200)
  assert.deepEqual(ran, ['/known', '/chunked', '/fits'])
})

test('setBody() replaces the content, with its length and without its digests', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(({ request }) => {
        const mine = new TextEncoder().encode('new one')
        request.setBody(mine)
        mine.fill(0)
      }),
      handling(async ({ request }) => assert.equal(await request.text(), 'new one')),
    ],
  })
  const headers = {
    'content-digest': 'sha-256=:x:',
    'repr-digest': 'sha-256=:x:',
    digest: 'x',
    'content-md5': 'x',
    'content-type': 'text/plain',
  }
  for (const body of ['old', ['old ', 'chunked'], null]) {
    await send({ ...POST, body, headers })
    const seen = plane.seen.at(-1)
    assert.equal(seen?.text(), 'new one')
    assert.deepEqual(
      seen?.fields.map(([name]) => name).filter((name) => /digest|md5|content-|transfer/.test(name)),
      ['content-type', 'content-length'],
    )
    assert.equal(seen?.headers.get('content-length'), '7')
  }
})

test('setBody(null) removes the content', async (t) => {
  const { send, plane } = exchangeBench(t, { chain: [handling(({ request }) => request.setBody(null))] })
  await send({ ...POST, body: 'old' })
  assert.deepEqual([plane.seen[0]?.text(), plane.seen[0]?.headers.get('content-length')], ['', '0'])
})

test('setBody() gives content to a request that had none', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(({ request }) => {
        request.method = 'POST'
        request.setBody('made up')
      }),
    ],
  })
  await send()
  assert.deepEqual([plane.seen[0]?.method, plane.seen[0]?.text()], ['POST', 'made up'])
})

test('setBody() after a decoded read takes Content-Encoding off; otherwise it stays', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(async ({ request }) => {
        if (request.path === '/read') await request.text({ decode: true })
        request.setBody('plain')
      }),
    ],
  })
  const headers = { 'content-encoding': 'gzip' }
  const body = Uint8Array.from(Buffer.from('H4sIAAAAAAAAA0tMSgYAwkEkNQMAAAA=', 'base64'))
  await send({ ...POST, target: '/', headers, body })
  await send({ ...POST, target: '/read', headers, body })
  assert.deepEqual(
    plane.seen.map((seen) => seen.headers.get('content-encoding')),
    ['gzip', null],
  )
})

test('a body that was read is sent again when a kept connection turns out dead', async (t) => {
  const reading = handling(({ request }) => request.text())
  const upstream = { connect: () => 'stale' as const, answer: () => ({ body: 'done' }) }
  const { send, plane } = exchangeBench(t, { chain: [reading], upstream })
  const { text } = await send({ method: 'PUT', target: '/', body: ['con', 'tent'] })
  assert.equal(text, 'done')
  assert.deepEqual([plane.seen[0]?.attempts, plane.seen[0]?.text()], [2, 'content'])

  const relayed = exchangeBench(t, { chain: [{}], upstream })
  assert.equal((await relayed.send({ method: 'PUT', target: '/', body: 'content' })).status, 502)
  const unsafe = exchangeBench(t, { chain: [reading], upstream })
  assert.equal((await unsafe.send({ ...POST, body: 'content' })).status, 502)
})

test('a read that nobody waits for takes nothing from the upstream', async (t) => {
  const read: string[] = []
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        handle({ request }) {
          request.text().then((text) => read.push(text))
          return true
        },
      },
    ],
  })
  await send({ ...POST, body: ['con', 'tent'] })
  assert.equal(plane.seen[0]?.text(), 'content')
  assert.deepEqual(read, ['content'])
})

test('a read that nobody waits for and is too large fails the exchange', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle({ request }) {
          request.text().catch(() => {})
          return true
        },
      },
    ],
    limits: { bodyBytesMax: 8 },
  })
  assert.equal((await send({ ...POST, body: ['12345', '6789'] })).status, 413)
})

test('in onResponse() a body that was read can be read again, another cannot', async (t) => {
  const read: unknown[] = []
  const late: Hooks = {
    onResponse: async ({ request }) =>
      void read.push(await request.text().catch((error: Error) => error.message)),
  }
  const known = exchangeBench(t, { chain: [{ ...late, ...handling(({ request }) => request.text()) }] })
  await known.send({ ...POST, body: 'content' })
  const unknown = exchangeBench(t, { chain: [late] })
  await unknown.send({ ...POST, body: 'content' })
  await unknown.send()
  assert.equal(read[0], 'content')
  assert.match(String(read[1]), /read it in handle/)
  assert.equal(read[2], '')
})

test('trailers are there after the read, and go on', async (t) => {
  const { send, plane } = exchangeBench(t, {
    chain: [
      handling(async ({ request }) => {
        assert.deepEqual([...request.trailers], [])
        await request.text()
        assert.equal(request.trailers.get('X-Checksum'), 'abc')
        assert.throws(() => request.trailers.set('a', 'b'), TypeError)
      }),
    ],
  })
  await send({ ...POST, body: ['content'], trailers: { 'x-checksum': 'abc' } })
  assert.equal(plane.seen[0]?.text(), 'content')
  assert.equal(plane.seen[0]?.trailers.get('x-checksum'), 'abc')
})

test('a client that breaks its body off while a plugin reads is answered 400', async (t) => {
  const codes: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      handling(({ request }) => request.text().catch((error: { code: string }) => codes.push(error.code))),
    ],
  })
  const client = open({ ...POST, streamed: true })
  client.write(Buffer.from('some'))
  client.breakBody('REQUEST_MALFORMED', 'The chunk has no size')
  assert.equal((await client.response.head).status, 400)
  await clock.advance(0)
  assert.deepEqual(codes, ['REQUEST_MALFORMED'])
})

test('a client that goes away while a plugin reads ends the read', async (t) => {
  const codes: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      handling(({ request }) => request.text().catch((error: { code: string }) => codes.push(error.code))),
    ],
  })
  const client = open({ ...POST, streamed: true })
  client.abort()
  await client.finished
  await clock.advance(0)
  assert.deepEqual(codes, ['CLIENT_ABORTED'])
})

test('100 Continue is sent when a plugin reads, and not asked of the upstream any more', async (t) => {
  const { open, plane } = exchangeBench(t, { chain: [handling(({ request }) => request.text())] })
  const { response } = open({ ...POST, headers: { expect: '100-continue' }, body: 'content' })
  assert.equal((await response.head).status, 200)
  assert.deepEqual(
    response.informational.map(({ status }) => status),
    [100],
  )
  assert.equal(plane.seen[0]?.headers.has('expect'), false)
  assert.equal(plane.seen[0]?.text(), 'content')
})

test('100 Continue is the upstream to send when no plugin reads', async (t) => {
  const { open, plane } = exchangeBench(t, { chain: [{}] })
  const { response } = open({ ...POST, headers: { expect: '100-continue' }, body: 'content' })
  assert.equal((await response.head).status, 200)
  assert.equal(response.informational.length, 1)
  assert.equal(plane.seen[0]?.headers.get('expect'), '100-continue')
  assert.equal(plane.seen[0]?.text(), 'content')
})

test('100 Continue is not sent when the request is answered, or its content replaced', async (t) => {
  const answering = exchangeBench(t, {
    chain: [{ handle: (ctx) => ctx.response.send('no', { status: 401 }) }],
  })
  const { response } = answering.open({ ...POST, headers: { expect: '100-continue' }, body: 'content' })
  assert.equal((await response.head).status, 401)
  assert.deepEqual(response.informational, [])

  const replacing = exchangeBench(t, { chain: [handling(({ request }) => request.setBody('other'))] })
  const replaced = replacing.open({ ...POST, headers: { expect: '100-continue' }, body: 'content' }).response
  assert.equal((await replaced.head).status, 200)
  assert.deepEqual(replaced.informational, [])
  assert.equal(replacing.plane.seen[0]?.text(), 'other')
  assert.equal(replacing.plane.seen[0]?.headers.has('expect'), false)
})

test('content that is too long by its own word is refused after the chain, and read by nobody', async (t) => {
  const read: string[] = []
  const { send, plane } = exchangeBench(t, {
    chain: [
      {
        async handle({ request, response }) {
          response.headers.set('vary', 'Origin')
          await request.text().catch(({ code }) => read.push(code))
          return true
        },
        onError: (_, { code, status }) => void read.push(`${status} ${code}`),
        onResponse: ({ response }) => response.headers.set('x-seen', 'yes'),
      },
    ],
    route: { requestBodyBytesMax: 4 },
  })
  const { status, text, headers } = await send({ ...POST, body: '12345' })
  assert.deepEqual(
    [status, JSON.parse(text).code, JSON.parse(text).detail],
    [413, 'REQUEST_BODY_TOO_LARGE', 'The body is longer than 4 bytes'],
  )
  assert.deepEqual([headers.get('vary'), headers.get('x-seen')], ['Origin', 'yes'])
  assert.deepEqual(read, ['REQUEST_BODY_TOO_LARGE', '413 REQUEST_BODY_TOO_LARGE'])
  assert.equal(plane.seen.length, 0)
})

test('who may not come in is not told that content is too long', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [{ handle: ({ response }) => response.send(null, { status: 401 }) }],
    route: { requestBodyBytesMax: 4 },
  })
  assert.equal((await send({ ...POST, body: '12345' })).status, 401)
})
