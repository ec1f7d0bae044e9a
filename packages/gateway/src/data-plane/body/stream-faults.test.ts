import assert from 'node:assert/strict'
import type { UnderlyingSink, UnderlyingSource } from 'node:stream/web'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { StreamPair } from '@cardea/sdk'
import { exchangeBench, type Hooks } from '../test-exchange.ts'

/** What becomes of an exchange whose body goes through a pair of streams that does not do as it should. */

const bytes = (text: string) => Buffer.from(text)
const never = () => new Promise<void>(() => {})
const oops = () => {
  throw new Error('oops')
}

const onRequest = (open: () => StreamPair): Hooks => ({
  handle({ request }) {
    request.stream(open())
    return true
  },
})

const onResponse = (open: () => StreamPair): Hooks => ({
  onResponse: ({ response }) => response.stream(open()),
})

/** Two ends that know nothing of each other. */
const apart = (source: UnderlyingSource<unknown>, sink: UnderlyingSink<Uint8Array> = {}): StreamPair => ({
  readable: new ReadableStream(source) as ReadableStream<Uint8Array>,
  writable: new WritableStream(sink),
})

/** What comes out ends when the other end begins to close, which never gets done. */
function endingFirst(): StreamPair {
  let end = () => {}
  const source: UnderlyingSource<unknown> = {
    start(controller) {
      end = () => controller.close()
    },
  }
  const close = () => {
    end()
    return never()
  }
  return apart(source, { close })
}

const giving = (piece: unknown) => (): StreamPair =>
  new TransformStream<Uint8Array, never>({ transform: (_, controller) => controller.enqueue(piece as never) })

const NO_BYTES = /not a Uint8Array; a TextEncoderStream makes that of text/
const EARLY = /ended before the body did; to drop the rest, take it and enqueue nothing/

const faults: readonly (readonly [what: string, open: () => StreamPair, code: string, words: RegExp])[] = [
  ['throws', () => new TransformStream({ transform: oops }), 'HOOK_THREW', /oops/],
  [
    'rejects',
    () => new TransformStream({ transform: () => Promise.reject(new Error('oops')) }),
    'HOOK_THREW',
    /oops/,
  ],
  [
    'throws at its start',
    () => new TransformStream({ start: () => Promise.reject(new Error('oops')) }),
    'HOOK_THREW',
    /oops/,
  ],
  ['throws at its end', () => new TransformStream({ flush: oops }), 'HOOK_THREW', /oops/],
  [
    'throws after it gave something',
    () =>
      new TransformStream({
        transform(chunk, controller) {
          controller.enqueue(chunk)
          oops()
        },
      }),
    'HOOK_THREW',
    /oops/,
  ],
  [
    'errors by its controller',
    () => new TransformStream({ transform: (_, c) => c.error(new Error('oops')) }),
    'HOOK_THREW',
    /oops/,
  ],
  [
    'errors with nothing',
    () => new TransformStream({ transform: (_, c) => c.error(undefined) }),
    'HOOK_THREW',
    /a thrown undefined/,
  ],
  ['does not take what it is written', () => apart({}, { write: oops }), 'HOOK_THREW', /oops/],
  ['does not close', () => apart({}, { close: oops }), 'HOOK_THREW', /oops/],
  ['cannot be read', () => apart({ pull: oops }), 'HOOK_THREW', /oops/],
  ['cannot tell how long a chunk is', () => new TransformStream({}, { size: oops }), 'HOOK_THREW', /oops/],
  ['is not of gzip', () => new DecompressionStream('gzip'), 'HOOK_THREW', /incorrect header check/],
  ['gives text', giving('text'), 'HOOK_RETURN_INVALID', NO_BYTES],
  ['gives an ArrayBuffer', giving(new ArrayBuffer(1)), 'HOOK_RETURN_INVALID', NO_BYTES],
  ['gives larger numbers', giving(new Uint16Array(1)), 'HOOK_RETURN_INVALID', NO_BYTES],
  ['gives null', giving(null), 'HOOK_RETURN_INVALID', NO_BYTES],
  ['gives what cannot be looked at', giving(new Proxy({}, { getPrototypeOf: oops })), 'HOOK_THREW', /oops/],
  [
    'gives what only looks like bytes',
    giving(new Proxy(new Uint8Array(1), {})),
    'HOOK_THREW',
    /not a typed array|incompatible/,
  ],
  [
    'ends early',
    () => new TransformStream({ transform: (_, controller) => controller.terminate() }),
    'HOOK_RETURN_INVALID',
    EARLY,
  ],
  [
    'gives something and ends early',
    () =>
      new TransformStream({
        transform(chunk, controller) {
          controller.enqueue(chunk)
          controller.terminate()
        },
      }),
    'HOOK_RETURN_INVALID',
    EARLY,
  ],
  [
    'ends before it is written anything',
    () => apart({ pull: (c) => c.close() }),
    'HOOK_RETURN_INVALID',
    EARLY,
  ],
]

const BODIES = { whole: 'content', 'in pieces': ['con', 'tent'] } as const

for (const [what, open, code, words] of faults) {
  for (const [how, body] of Object.entries(BODIES)) {
    test(`a pair that ${what} fails its request, ${how}, by on_failure, and open cannot pass it over`, async (t) => {
      for (const [onFailure, status] of [
        [{ kind: 'closed' }, 503],
        [{ kind: 'open' }, 503],
        [{ kind: 'fallback', status: 299, headers: {}, body: '' }, 299],
      ] as const) {
        const errors: unknown[] = []
        const observing: Hooks = { onError: (_, error) => void errors.push([error.code, error.plugin]) }
        const { send, logs } = exchangeBench(t, {
          chain: [observing, { ...onRequest(open), plan: { onFailure } }],
        })
        const response = await send({ method: 'POST', target: '/', body })
        assert.equal(response.status, status)
        assert.deepEqual(errors, [[code, 'b']])
        assert.deepEqual(
          logs.map(({ message, fields }) => [message, fields.code]),
          [['stream failed', code]],
        )
        assert.match(String(logs[0]?.fields.stack), words)
      }
    })
  }

  test(`a pair that ${what} resets a response whose head has left`, async (t) => {
    const {
      open: ask,
      clock,
      logs,
      plane,
    } = exchangeBench(t, {
      chain: [onResponse(open)],
      upstream: { body: ['some', { pauseMs: 1 }, 'more'] },
    })
    const { response, finished } = ask()
    assert.equal((await response.head).status, 200)
    await clock.advance(1)
    await assert.rejects(response.content, /The gateway reset the connection/)
    await finished
    assert.deepEqual(
      logs.map(({ message, fields }) => [message, fields.code]),
      [['stream failed', code]],
    )
    assert.equal(plane.openExchanges, 0)
  })

  test(`a read through a pair that ${what} is a failed hook`, async (t) => {
    const { send } = exchangeBench(t, {
      chain: [
        {
          async onResponse({ response }) {
            await response.text()
          },
        },
        onResponse(open),
      ],
      upstream: { body: 'x' },
    })
    assert.equal((await send()).status, 503)
  })
}

test('a pair that ends with the last chunk, before it is closed, ends early too', async (t) => {
  const { send, logs } = exchangeBench(t, {
    chain: [
      {
        handle({ request }) {
          request.setBody('content')
          return true
        },
      },
      onRequest(() => new TransformStream({ transform: (_, controller) => controller.terminate() })),
    ],
  })
  assert.equal((await send({ method: 'POST', target: '/', body: 'other' })).status, 503)
  assert.deepEqual(
    logs.map(({ fields }) => fields.code),
    ['HOOK_RETURN_INVALID'],
  )
})

for (const [what, open] of [
  ['does not take a chunk', () => apart({}, { write: never })],
  ['does not start', () => new TransformStream({ start: never })],
  ['does not end', () => new TransformStream({ flush: never })],
  ['ends and does not close', () => endingFirst()],
  ['gives nothing and does not end', () => apart({})],
] as const) {
  test(`a pair that ${what} in timeout_ms fails`, async (t) => {
    const {
      open: ask,
      clock,
      logs,
    } = exchangeBench(t, {
      chain: [{ ...onRequest(open), plan: { timeoutMs: 300 } }],
    })
    const { response, finished } = ask({ method: 'POST', target: '/', body: 'content' })
    await clock.advance(299)
    assert.equal(logs.length, 0)
    await clock.advance(100)
    assert.equal((await response.head).status, 503)
    await finished
    assert.deepEqual([logs[0]?.message, logs[0]?.fields.code], ['stream failed', 'HOOK_TIMEOUT'])
  })
}

test('time that passes between chunks, or while the client takes nothing, is not the time of the pair', async (t) => {
  const { open, clock, logs } = exchangeBench(t, {
    chain: [{ ...onResponse(() => new TransformStream()), plan: { timeoutMs: 100 } }],
    upstream: { body: ['a', { pauseMs: 5_000 }, Buffer.alloc(500_000, 'b'), Buffer.alloc(500_000, 'c')] },
  })
  const { response } = open()
  await clock.advance(10)
  response.stopReading()
  await clock.advance(10_000)
  assert.equal(logs.length, 0)
  response.startReading()
  assert.equal((await response.content).length, 1_000_001)
})

test('a pair that fails between two chunks resets the response at once', async (t) => {
  let fail = () => {}
  const pair = apart({
    start(controller) {
      fail = () => controller.error(new Error('oops'))
    },
  })
  const { open, clock, logs } = exchangeBench(t, {
    chain: [onResponse(() => pair)],
    upstream: { body: ['a', { pauseMs: 60_000 }, 'b'] },
  })
  const { response, finished } = open()
  await clock.advance(1)
  fail()
  await finished
  await assert.rejects(response.content, /The gateway reset the connection/)
  assert.match(String(logs[0]?.fields.stack), /oops/)
})

test('a chunk is not taken before the pair has taken the one before it, as its queue says', async (t) => {
  for (const [highWaterMark, written] of [
    [1, 1],
    [3, 3],
  ] as const) {
    const taken: string[] = []
    const gate = Promise.withResolvers<void>()
    const pair = new TransformStream<Uint8Array, Uint8Array>(
      {
        async transform(chunk, controller) {
          taken.push(String(bytes(String(chunk.length))))
          await gate.promise
          controller.enqueue(chunk)
        },
      },
      { highWaterMark, size: (chunk) => (asked.push(chunk.length) > 0 ? 1 : 1) },
    )
    const asked: number[] = []
    const { open, clock } = exchangeBench(t, {
      chain: [onResponse(() => pair)],
      upstream: { body: Array.from({ length: 20 }, () => 'piece') },
    })
    const { response } = open()
    await clock.advance(10)
    assert.deepEqual([asked.length, taken.length], [written, 1])
    gate.resolve()
    assert.equal((await response.content).length, 100)
  }
})

const BOMB = gzipSync(Buffer.alloc(32 * 1024 * 1024))

/** Counts what it lets through. */
function counted(count: { bytes: number }): StreamPair {
  const opening = new DecompressionStream('gzip')
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      count.bytes += chunk.length
      controller.enqueue(chunk)
    },
  })
  return { writable: opening.writable, readable: opening.readable.pipeThrough(counting) }
}

test(`of ${BOMB.length} bytes that become ${32 * 1024 * 1024} no more is made than the other side takes`, async (t) => {
  const limits = { bodyBytesMax: 256 * 1024, relayBufferBytes: 64 * 1024 }
  const count = { bytes: 0 }
  const { open, clock } = exchangeBench(t, {
    chain: [onResponse(() => counted(count))],
    upstream: { body: BOMB },
    limits,
  })
  const { response } = open()
  response.stopReading()
  while (response.unreadBytes < limits.relayBufferBytes) await clock.advance(1)
  // It is made on another thread: what is asked for comes when it comes.
  for (let turns = 0; turns < 3_000; turns++) await clock.advance(1)
  assert.ok(count.bytes < 512 * 1024, `${count.bytes} bytes were made`)
  assert.ok(response.unreadBytes < 256 * 1024, `${response.unreadBytes} bytes wait`)
  response.startReading()
  assert.equal((await response.content).length, 32 * 1024 * 1024)
})

test('a bomb that is gathered fails at the limit of what may be', async (t) => {
  const limits = { bodyBytesMax: 256 * 1024 }
  const count = { bytes: 0 }
  const reading = exchangeBench(t, {
    chain: [
      onRequest(() => counted(count)),
      {
        async handle({ request }) {
          await request.bytes()
          return true
        },
      },
    ],
    limits,
  })
  const { status, text } = await reading.send({ method: 'POST', target: '/', body: BOMB })
  assert.deepEqual([status, JSON.parse(text).code], [413, 'REQUEST_BODY_TOO_LARGE'])
  assert.ok(count.bytes < 1024 * 1024, `${count.bytes} bytes were made`)
})

test('a pair that never stops giving lets others have their turn, also where nothing of it goes on', async (t) => {
  let given = 0
  const endless = () =>
    apart({ pull: (controller) => controller.enqueue(bytes(String(given++))) }, { close: never })
  const { open, clock } = exchangeBench(t, { chain: [onResponse(endless)] })
  const client = open({ method: 'HEAD', target: '/' })
  await clock.advance(10)
  const before = given
  await clock.advance(10)
  assert.ok(before > 0 && given > before)
  client.abort()
  await client.finished
  const { finished } = client
  await finished
  await clock.advance(1)
  const after = given
  await clock.advance(10)
  assert.equal(given, after)
})
