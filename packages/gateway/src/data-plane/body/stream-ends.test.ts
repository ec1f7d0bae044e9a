import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Context, StreamPair } from '@cardea/sdk'
import { type ExchangeBench, type ExchangeSetup, exchangeBench, type Hooks } from '../test-exchange.ts'
import type { TestRequest } from '../testing/test-plane.ts'

/**
 * A pair whose body does not come to its end is told so at both ends, once, whatever the reason. That no promise is rejected
 * for nobody to see is the runner's to say: it fails the file.
 */

/** A pair, and what its ends were told. Its parts do not know of each other, so that both are to be told. */
class Watched {
  readonly told: string[] = []
  readonly pair: StreamPair

  /** `isSlow`: a write ends only when it is aborted. */
  constructor(isSlow = false) {
    let controller: ReadableStreamDefaultController<Uint8Array> | null = null
    const say = (what: string) => (reason: unknown) => {
      const { name, message } = reason as Error
      this.told.push(`${what}: ${name}: ${message}`)
      // Nobody waits for it.
      throw new Error('no')
    }
    this.pair = {
      readable: new ReadableStream({
        start: (given) => {
          controller = given
        },
        cancel: say('cancelled'),
      }),
      writable: new WritableStream({
        write: (chunk, { signal }) =>
          isSlow ? once(signal, 'abort').then(() => {}) : controller?.enqueue(chunk),
        close: () => controller?.close(),
        abort: say('aborted'),
      }),
    }
  }
}

const TOLD = [
  'aborted: AbortError: The body does not go on',
  'cancelled: AbortError: The body does not go on',
]
const POST = { method: 'POST', target: '/', body: ['con', 'tent'] }

const streaming = ({ pair }: Watched, way: 'request' | 'response'): Hooks => ({
  handle(ctx) {
    ctx[way].stream(pair)
    return true
  },
})

const failing: Hooks = {
  handle() {
    throw new Error('failed')
  },
}

/** Runs one exchange to its end, as the test says. */
interface Case {
  readonly setup: (watched: Watched) => ExchangeSetup
  readonly request?: Partial<TestRequest>
  readonly isSlow?: boolean
  /** What happens while the exchange goes on. */
  readonly happens?: (bench: ExchangeBench, client: ReturnType<ExchangeBench['open']>) => unknown
}

const endless = { body: ['a'], ends: 'stall' } as const

const CASES: Readonly<Record<string, Case>> = {
  'the client goes away in the middle of its upload': {
    setup: (watched) => ({ chain: [streaming(watched, 'request')] }),
    request: { method: 'POST', streamed: true },
    happens: (_, client) => {
      client.write(Buffer.from('some'))
      client.abort()
    },
  },
  'the client goes away while the pair has a chunk': {
    setup: (watched) => ({ chain: [streaming(watched, 'request')] }),
    request: POST,
    isSlow: true,
    happens: (_, client) => client.abort(),
  },
  'the client goes away in the middle of its answer': {
    setup: (watched) => ({ chain: [streaming(watched, 'response')], upstream: endless }),
    happens: (_, client) => client.abort(),
  },
  'the client goes away when it has taken nothing for a while': {
    setup: (watched) => ({
      chain: [streaming(watched, 'response')],
      upstream: { body: ['a', { pauseMs: 5 }, ...Array.from({ length: 9 }, () => Buffer.alloc(100_000))] },
    }),
    happens: async ({ clock }, client) => {
      client.response.stopReading()
      await clock.advance(100)
      client.abort()
    },
  },
  'the client goes away before there is an answer': {
    setup: (watched) => ({ chain: [streaming(watched, 'response')], upstream: { fault: 'silent' } }),
    happens: (_, client) => client.abort(),
  },
  'the request breaks its framing': {
    setup: (watched) => ({ chain: [streaming(watched, 'request')] }),
    request: { method: 'POST', streamed: true },
    happens: (_, client) => client.breakBody('REQUEST_MALFORMED', 'broken'),
  },
  'the upstream cuts its answer': {
    setup: (watched) => ({
      chain: [streaming(watched, 'response')],
      upstream: { body: ['a', { pauseMs: 1 }], ends: 'cut' },
    }),
  },
  'the upstream answers before the upload has ended': {
    setup: (watched) => ({
      chain: [streaming(watched, 'request')],
      upstream: { onHead: () => ({ status: 413 }) },
    }),
    request: { method: 'POST', streamed: true },
    happens: (_, client) => client.write(Buffer.from('some')),
  },
  'another plugin fails': {
    setup: (watched) => ({ chain: [streaming(watched, 'request'), failing] }),
    request: POST,
  },
  "another plugin's transform fails": {
    setup: (watched) => ({
      chain: [
        streaming(watched, 'request'),
        {
          handle: ({ request }) =>
            request.transformBody(() => {
              throw new Error('failed')
            }) === undefined,
        },
      ],
    }),
    request: { method: 'POST', body: ['con', { pauseMs: 1 }, 'tent'] },
  },
  "another plugin's onResponse fails": {
    setup: (watched) => ({
      chain: [
        {
          onResponse() {
            throw new Error('failed')
          },
        },
        streaming(watched, 'response'),
      ],
    }),
  },
  'another plugin answers': {
    setup: (watched) => ({
      chain: [streaming(watched, 'request'), { handle: (ctx) => ctx.response.send('no', { status: 403 }) }],
    }),
    request: POST,
  },
  'its own handle answers': {
    setup: ({ pair }) => ({
      chain: [
        {
          handle({ response }) {
            response.stream(pair)
            return response.send('mine')
          },
        },
      ],
    }),
  },
  'its own handle fails, and is passed over': {
    setup: ({ pair }) => ({
      chain: [
        {
          plan: { onFailure: { kind: 'open' } },
          handle({ request }) {
            request.stream(pair)
            throw new Error('failed')
          },
        },
      ],
    }),
    request: POST,
  },
  'its own handle takes too long': {
    setup: ({ pair }) => ({
      chain: [
        {
          handle({ response }) {
            response.stream(pair)
            return new Promise(() => {})
          },
        },
      ],
    }),
  },
  'its own onResponse fails, and is passed over': {
    setup: ({ pair }) => ({
      chain: [
        {
          plan: { onFailure: { kind: 'open' } },
          onResponse({ response }) {
            response.stream(pair)
            throw new Error('failed')
          },
        },
      ],
    }),
  },
  'the body is replaced': {
    setup: (watched) => ({
      chain: [streaming(watched, 'request'), { handle: ({ request }) => request.setBody('x') === undefined }],
    }),
    request: POST,
  },
  'the body has an unknown coding to open first': {
    setup: ({ pair }) => ({
      chain: [{ onResponse: ({ response }) => response.stream(pair, { decode: true }) }],
      upstream: { headers: { 'content-encoding': 'compress' }, body: 'x' },
    }),
  },
  'the response is a part': {
    setup: (watched) => ({
      chain: [streaming(watched, 'response')],
      upstream: { status: 206, headers: { 'content-range': 'bytes 0-3/10' }, body: 'part' },
    }),
  },
  'the connection becomes a tunnel, and that ends': {
    setup: ({ pair }) => ({
      chain: [{ onResponse: ({ response }) => response.stream(pair) }],
      upstream: {
        onHead: () => ({ status: 101, headers: { connection: 'upgrade', upgrade: 'echo' }, body: 'welcome' }),
      },
    }),
    request: { headers: { connection: 'upgrade', upgrade: 'echo' } },
    happens: async ({ clock }, client) => {
      await clock.advance(1)
      assert.equal(client.response.received.toString(), 'welcome')
      client.end()
    },
  },
}

for (const [when, { setup, request = {}, isSlow, happens }] of Object.entries(CASES)) {
  test(`both ends of a pair are told when ${when}`, async (t) => {
    const watched = new Watched(isSlow)
    const bench = exchangeBench(t, setup(watched))
    const client = bench.open(request)
    await bench.clock.advance(1)
    await happens?.(bench, client)
    await bench.clock.advance(2_000)
    await client.finished
    await bench.clock.advance(1)
    assert.deepEqual(watched.told.toSorted(), TOLD)
    assert.equal(bench.plane.openExchanges, 0)
  })
}

test('a pair that is taken off a body is told while the exchange goes on', async (t) => {
  for (const after of [
    { handle: ({ request }: Context) => request.setBody('x') === undefined },
    {
      handle: ({ request }: Context) => request.setBody('x') === undefined,
      plan: { onFailure: { kind: 'open' } },
    },
  ] as const) {
    const watched = new Watched()
    const { open, clock, plane } = exchangeBench(t, {
      chain: [streaming(watched, 'request'), after],
      upstream: { fault: 'silent' },
    })
    const client = open(POST)
    await clock.advance(1)
    assert.deepEqual([watched.told, plane.openExchanges], [TOLD, 1])
    client.abort()
  }
})

test('ends that are told run when the exchange has done with them, and their context is of no use', async (t) => {
  const order: string[] = []
  const { open, clock } = exchangeBench(t, {
    chain: [
      {
        handle(ctx: Context) {
          const say = (): void => {
            order.push('told')
            assert.throws(() => ctx.id, { code: 'CONTEXT_REVOKED' })
            order.push('revoked')
          }
          ctx.request.stream(new TransformStream({ cancel: say }))
          return true
        },
        onError: () => void order.push('onError'),
        onFinish: () => void order.push('onFinish'),
      },
    ],
  })
  const client = open({ method: 'POST', streamed: true })
  await clock.advance(1)
  client.abort()
  await clock.advance(1)
  assert.deepEqual(order, ['onError', 'onFinish', 'told', 'revoked'])
})

test('a pair whose body came to its end is told nothing more', async (t) => {
  const watched = [new Watched(), new Watched()] as const
  const { send } = exchangeBench(t, {
    chain: [streaming(watched[0], 'request'), streaming(watched[1], 'response')],
    upstream: { body: 'x' },
  })
  assert.equal((await send(POST)).text, 'x')
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([watched[0].told, watched[1].told], [[], []])
})
