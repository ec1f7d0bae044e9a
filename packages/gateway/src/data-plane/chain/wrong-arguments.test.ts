import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { exchangeBench } from '../test-exchange.ts'

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
