import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Context } from '@cardea/sdk'
import { type ExchangeSetup, exchangeBench } from '../test-exchange.ts'

const editing = (edit: (headers: Context['response']['headers']) => void) => ({
  handle(ctx: Context) {
    edit(ctx.response.headers)
    return true
  },
})

/** The response's own lines, without what the gateway adds. */
async function fieldsOf(t: Parameters<typeof exchangeBench>[0], setup: ExchangeSetup): Promise<string[]> {
  const { fields } = await exchangeBench(t, setup).send()
  const added = ['via', 'content-length', 'content-type', 'cache-control', 'retry-after']
  return fields.flatMap(([name, value]) => (added.includes(name) ? [] : [`${name}: ${value}`]))
}

test('edits are replayed in order, over the fields that come', async (t) => {
  const upstream = {
    headers: [
      ['x-one', '1'],
      ['x-two', '2'],
      ['x-one', '1b'],
      ['x-old', 'o'],
    ] as [string, string][],
  }
  const fields = await fieldsOf(t, {
    upstream,
    chain: [
      editing((headers) => {
        headers.set('X-One', 'set')
        headers.append('x-two', 'appended')
        headers.delete('x-old')
        headers.append('x-new', 'first')
        headers.append('x-new', 'second')
      }),
    ],
  })
  assert.deepEqual(fields, ['x-one: set', 'x-two: 2', 'x-two: appended', 'x-new: first', 'x-new: second'])
})

test('who goes through the edits so far goes through those there were, whatever is done meanwhile', async (t) => {
  const fields = await fieldsOf(t, {
    chain: [
      editing((headers) => {
        for (const name of ['x-a', 'x-b', 'x-c', 'x-d']) headers.set(name, 'set')
        for (const [name] of headers) headers.append(`${name}-too`, 'appended')
        for (const [name] of headers) if (!name.endsWith('-too')) headers.delete(name)
      }),
    ],
  })
  assert.deepEqual(
    fields,
    ['x-a', 'x-b', 'x-c', 'x-d'].map((name) => `${name}-too: appended`),
  )
})

test('edits of several plugins are replayed in the order of their handle()', async (t) => {
  const fields = await fieldsOf(t, {
    chain: [
      editing((headers) => {
        headers.set('x-a', 'of a')
        headers.append('x-all', 'a')
        headers.set('x-gone', 'a')
      }),
      editing((headers) => {
        assert.equal(headers.get('x-a'), 'of a')
        headers.set('x-a', 'of b')
        headers.append('x-all', 'b')
        headers.delete('x-gone')
      }),
      editing((headers) => {
        assert.equal(headers.has('x-gone'), false)
        assert.deepEqual(headers.getAll('x-all'), ['a', 'b'])
        headers.append('x-gone', 'again')
      }),
    ],
  })
  assert.deepEqual(fields, ['x-a: of b', 'x-all: a', 'x-all: b', 'x-gone: again'])
})

const edit = editing((headers) => headers.set('x-edited', 'yes'))

const answers: readonly (readonly [string, ExchangeSetup, number])[] = [
  ['an upstream', { chain: [edit], upstream: { status: 404 } }, 404],
  ['a later plugin', { chain: [edit, { handle: (ctx) => ctx.response.send('x', { status: 401 }) }] }, 401],
  ['the same plugin', { chain: [{ handle: (ctx) => edit.handle(ctx) && ctx.response.send('x') }] }, 200],
  ["the gateway's own 502", { chain: [edit], upstream: { connect: () => 'refuse' } }, 502],
  [
    'on_failure: closed',
    {
      chain: [
        edit,
        {
          handle() {
            throw new Error('no')
          },
        },
      ],
    },
    503,
  ],
  [
    'on_failure: fallback',
    {
      chain: [
        edit,
        {
          handle() {
            throw new Error('no')
          },
          plan: {
            onFailure: { kind: 'fallback', status: 299, headers: { 'x-edited': 'by fallback' }, body: '' },
          },
        },
      ],
    },
    299,
  ],
  [
    'an onResponse() that failed',
    {
      chain: [
        edit,
        {
          onResponse() {
            throw new Error('no')
          },
        },
      ],
    },
    503,
  ],
  [
    'a respond route',
    { chain: [edit], route: { action: { kind: 'respond', status: 210, headers: {}, body: '' } } },
    210,
  ],
]

for (const [whose, setup, status] of answers) {
  test(`edits are replayed on the answer of ${whose}`, async (t) => {
    const response = await exchangeBench(t, setup).send()
    assert.equal(response.status, status)
    assert.equal(response.headers.get('x-edited'), 'yes')
  })
}

test('edits of a hook that failed are dropped, those before it stay', async (t) => {
  for (const kind of ['open', 'closed'] as const) {
    const fields = await fieldsOf(t, {
      chain: [
        edit,
        {
          handle(ctx) {
            ctx.response.headers.set('x-edited', 'by the failing')
            ctx.response.headers.set('x-failing', 'yes')
            throw new Error('no')
          },
          plan: { onFailure: { kind } },
        },
      ],
    })
    assert.deepEqual(fields, ['x-edited: yes'], kind)
  }
})

test('in onResponse() the fields are those of the response, edits included', async (t) => {
  const fields = await fieldsOf(t, {
    upstream: { headers: { 'x-origin': 'o', 'x-secret': 's' } },
    chain: [
      {
        onResponse(ctx) {
          assert.equal(ctx.response.headers.get('x-late'), 'b')
          ctx.response.headers.append('x-late', 'a')
        },
      },
      {
        handle: edit.handle,
        onResponse(ctx) {
          const { headers } = ctx.response
          assert.equal(headers.get('x-origin'), 'o')
          assert.equal(headers.get('X-Edited'), 'yes')
          assert.ok([...headers].some(([name]) => name === 'x-secret'))
          headers.delete('x-secret')
          headers.set('x-late', 'b')
        },
      },
    ],
  })
  assert.deepEqual(fields, ['x-origin: o', 'x-edited: yes', 'x-late: b', 'x-late: a'])
})

const FRAMING = [
  'Content-Length',
  'transfer-encoding',
  'Connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'te',
  'expect',
  'http2-settings',
]

test('framing fields cannot be edited in either hook or direction', async (t) => {
  const refuses = (headers: Context['request']['headers']) => {
    for (const name of FRAMING) {
      for (const act of [
        () => headers.set(name, '1'),
        () => headers.append(name, '1'),
        () => headers.delete(name),
      ]) {
        assert.throws(
          act,
          (error) => error instanceof TypeError && /the gateway writes it itself/.test(error.message),
        )
      }
    }
  }
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          refuses(ctx.request.headers)
          refuses(ctx.response.headers)
          return true
        },
        onResponse: (ctx) => refuses(ctx.response.headers),
      },
    ],
    upstream: { body: 'x' },
  })
  assert.equal((await send()).status, 200)
})

test('names and values that could become other fields are refused', async (t) => {
  const { send } = exchangeBench(t, {
    chain: [
      {
        handle(ctx) {
          for (const headers of [ctx.request.headers, ctx.response.headers]) {
            for (const name of ['', 'a b', 'a:', 'a\r\nb', 'é', ' a']) {
              assert.throws(() => headers.set(name, 'x'), TypeError, JSON.stringify(name))
            }
            for (const value of ['a\r\nb: c', 'a\nb', 'a\0', '\u0100', 'a\x7f']) {
              assert.throws(() => headers.append('x-a', value), TypeError, JSON.stringify(value))
            }
            headers.set('x-trimmed', '  a\t')
            assert.equal(headers.get('x-trimmed'), 'a')
            headers.set('x-number', 7 as unknown as string)
            assert.equal(headers.get('x-number'), '7')
          }
          return true
        },
      },
    ],
  })
  assert.equal((await send()).status, 200)
})

test('a value is what was given, and checked, whatever the field was given before', async (t) => {
  const values = ['one', ' two ', 'two', 'one', 'x'.repeat(1_000), 'one']
  const fields = await fieldsOf(t, {
    chain: [
      editing((headers) => {
        for (const value of values) {
          headers.append('X-Given', value)
          assert.throws(() => headers.append('x-given', `${value}\r\nx-smuggled: 1`), TypeError)
          headers.append('x-given', value)
        }
      }),
    ],
  })
  const expected = values.flatMap((value) => [value.trim(), value.trim()])
  assert.deepEqual(
    fields,
    expected.map((value) => `x-given: ${value}`),
  )
})
