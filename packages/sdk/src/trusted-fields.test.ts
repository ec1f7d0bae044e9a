import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FieldsInit, testGateway } from './testing/index.ts'
import { fieldText, trustedFields } from './trusted-fields.ts'

async function replaced(
  names: readonly string[],
  values: readonly (string | null)[],
  headers: FieldsInit,
): Promise<(readonly [string, string])[]> {
  const fields = trustedFields(names)
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'telling',
          handle({ request }) {
            fields.replace(request.headers, values)
            return true
          },
        }),
      },
    ],
  })
  assert.equal((await gateway.fetch('/', { headers })).status, 200)
  const seen = gateway.upstreamRequests[0]?.headers ?? new Headers()
  return [...seen].filter(([name]) => /^x[-_](user|mail)/.test(name))
}

test('trustedFields() removes what the client sent, in every spelling that a server may take for it', async () => {
  const forged: [string, string][] = ['x-user-id', 'X-User-Id', 'x_user_id', 'X-User_ID', 'x_user-id'].map(
    (name) => [name, 'admin'],
  )
  assert.deepEqual(await replaced(['X-User-Id', 'x-mail'], ['anna', null], [...forged, ['x-mail', 'm']]), [
    ['x-user-id', 'anna'],
  ])
})

test('trustedFields() removes what the client sent also when there is nothing to tell', async () => {
  assert.deepEqual(await replaced(['x-user', 'x-mail'], [null], { 'x-user': 'a', x_mail: 'b' }), [])
})

test('trustedFields() leaves the fields of other names alone', async () => {
  assert.deepEqual(await replaced(['x-user'], ['anna'], { 'x-user-agent': 'a', 'x-users': 'b' }), [
    ['x-user', 'anna'],
    ['x-user-agent', 'a'],
    ['x-users', 'b'],
  ])
})

test('trustedFields() knows names of many parts with dashes and without', async () => {
  const name = 'x-user-a-b-c-d-e-f-g'
  const forged = { [name]: '1', [name.replaceAll('-', '_')]: '2' }
  assert.deepEqual(await replaced([name], [null], forged), [])
})

test('trustedFields() lets nothing come under its names in the trailers', async () => {
  const fields = trustedFields(['X-User-Id', 'x-mail'])
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'telling',
          handle({ request }) {
            fields.replace(request.headers, ['anna', null])
            return true
          },
        }),
      },
    ],
  })
  const trailers = { 'X-USER-ID': 'admin', x_user_id: 'admin', 'x-mail': 'm', X_Mail: 'm', 'x-mails': '2' }
  await gateway.fetch('/', { method: 'POST', body: 'content', trailers })
  assert.deepEqual([...(gateway.upstreamRequests[0]?.trailers ?? [])], [['x-mails', '2']])
})

const TEXTS: [unknown, string | null][] = [
  ['anna', 'anna'],
  ['Anna Müller', Buffer.from('Anna Müller').toString('latin1')],
  ['日本', Buffer.from('日本').toString('latin1')],
  [42, '42'],
  [true, 'true'],
  [['a', 'b'], 'a,b'],
  [['a', 1], 'a,1'],
  [[], null],
  [['a', 'b,admin'], null],
  [['a', ''], null],
  [{ a: 'x' }, '{"a":"x"}'],
  [[{ a: 1 }], '[{"a":1}]'],
  ['a\r\nx-admin: 1', null],
  ['a\0', null],
  ['a\u007f', null],
  [' a', null],
  ['a\u00a0', null],
  ['', null],
  [null, null],
  [undefined, null],
  ['a'.repeat(4_096), 'a'.repeat(4_096)],
  ['a'.repeat(4_097), null],
]

for (const [value, expected] of TEXTS) {
  test(`fieldText() makes ${JSON.stringify(value)?.slice(0, 40)} ${expected?.slice(0, 20) ?? 'no field'}`, () => {
    assert.equal(fieldText(value), expected)
  })
}
