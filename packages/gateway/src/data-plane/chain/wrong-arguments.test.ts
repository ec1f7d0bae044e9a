import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Context, StreamPair } from '@cardea/sdk'
import { exchangeBench } from '../test-exchange.ts'

const NO_PAIR =
  /^stream\(\) needs a pair of web streams, \{ readable, writable \}, such as a TransformStream; Duplex\.toWeb\(\)/
const IS_LOCKED = /^stream\(\) needs a pair of its own for each body; this one is locked$/
const IS_USED = /^stream\(\) needs a pair of its own for each body; this one has been used, or has ended$/

const pairAfter = (use: (pair: TransformStream<Uint8Array, Uint8Array>) => unknown) => () => {
  const pair = new TransformStream<Uint8Array, Uint8Array>()
  use(pair)
  return pair
}

const LOCKED: readonly (readonly [string, () => StreamPair])[] = [
  ['a pair that is read by somebody', pairAfter(({ readable }) => readable.getReader())],
  ['a pair that is written by somebody', pairAfter(({ writable }) => writable.getWriter())],
]

const USED: readonly (readonly [string, () => StreamPair])[] = [
  ['a pair that was cancelled', pairAfter(({ readable }) => readable.cancel())],
  [
    'a pair that somebody has read of',
    pairAfter(({ readable }) => {
      const reader = readable.getReader()
      reader.read().catch(() => {})
      reader.releaseLock()
    }),
  ],
  [
    'a pair that has failed',
    () => new TransformStream({ start: (controller) => controller.error(new Error('no')) }),
  ],
  ['a pair that has ended', () => new TransformStream({ start: (controller) => controller.terminate() })],
]

/** What plugins in JavaScript give by mistake: refused where they give it, in words that say what was meant. */
const MISTAKES: readonly (readonly [string, (ctx: Context) => unknown, RegExp])[] = [
  [
    'numbers that are no bytes as a body',
    ({ request }) => request.setBody(new Uint16Array([256]) as never),
    /^A body is a string, a Uint8Array or null, not an object \(Uint16Array\)$/,
  ],
  ['an object as a body', ({ response }) => response.send({} as never), /, not an object \(Object\)$/],
  [
    'memory that it goes on writing into',
    ({ response }) => response.send(new ArrayBuffer(1) as never),
    /\(ArrayBuffer\)$/,
  ],
  ['nothing as a body', ({ request }) => request.setBody(undefined as never), /, not undefined$/],
  [
    'Headers, which would be lost',
    ({ response }) => response.send('', { headers: new Headers({ a: 'b' }) as never }),
    /^headers are an object of names and values, not an object \(Headers\)/,
  ],
  [
    'pairs, whose names would be numbers',
    ({ response }) => response.send('', { headers: [['a', 'b']] as never }),
    /not an object \(Array\)/,
  ],
  [
    'a field without a value',
    ({ response }) => response.send('', { headers: { a: undefined } as never }),
    /^The value of field "a" is a string or a list of strings, not undefined$/,
  ],
  [
    'a promise as the value of a field',
    ({ response }) => response.headers.set('a', Promise.resolve('b') as never),
    /^The value of field "a" is a string, not an object \(Promise\); await it$/,
  ],
  [
    'nothing as the value of a field of the request',
    ({ request }) => request.headers.append('a', undefined as never),
    /^The value of field "a" is a string, not undefined$/,
  ],
  [
    'a status as text',
    ({ response }) => Reflect.set(response, 'status', '200'),
    /^Status "200" is not a final status/,
  ],
  [
    'a method with a space',
    ({ request }) => Reflect.set(request, 'method', 'GET /'),
    /^The method "GET \/" is not a token/,
  ],
  ['no method', ({ request }) => Reflect.set(request, 'method', null), /^The method null is not a token/],
  [
    'no transform for the request',
    ({ request }) => request.transformBody(undefined as never),
    /^transformBody\(\) needs a function/,
  ],
  [
    'no transform for the response',
    ({ response }) => response.transformBody({} as never),
    /^transformBody\(\) needs a function/,
  ],
  ['no streams', ({ request }) => request.stream(undefined as never), NO_PAIR],
  ['one end of a pair', ({ response }) => response.stream(new TransformStream().readable as never), NO_PAIR],
  ['a stream of Node', ({ response }) => response.stream(new PassThrough() as never), NO_PAIR],
  [
    'a pair that only looks like one',
    ({ response }) => response.stream({ ...new TransformStream(), readable: { locked: false } } as never),
    NO_PAIR,
  ],
  ...LOCKED.map(
    ([what, pair]) => [what, ({ request }: Context) => request.stream(pair()), IS_LOCKED] as const,
  ),
  ...USED.map(([what, pair]) => [what, ({ response }: Context) => response.stream(pair()), IS_USED] as const),
  [
    'one pair for both bodies',
    ({ request, response }) => {
      const pair = new CompressionStream('gzip')
      response.stream(pair)
      request.stream(pair)
    },
    IS_LOCKED,
  ],
]

for (const [what, mistake, words] of MISTAKES) {
  test(`a plugin that gives ${what} is told so`, async (t) => {
    let thrown: unknown = null
    const { send, plane } = exchangeBench(t, {
      chain: [
        {
          handle(ctx) {
            try {
              mistake(ctx)
            } catch (error) {
              thrown = error
            }
            return true
          },
        },
      ],
    })
    const { status } = await send({ method: 'POST', target: '/', body: 'content' })
    assert.ok(thrown instanceof TypeError)
    assert.match(thrown.message, words)
    assert.deepEqual([status, plane.seen[0]?.method, plane.seen[0]?.text()], [200, 'POST', 'content'])
  })
}
