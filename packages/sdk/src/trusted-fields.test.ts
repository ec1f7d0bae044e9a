import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isGatewayField } from './gateway-fields.ts'
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

test('trustedFields() knows every spelling of names of many parts', async () => {
  const forged = {
    'x-user-a-b-c-d-e-f-g': '1',
    x_user_a_b_c_d_e_f_g: '2',
    'x-user-a-b_c-d-e-f-g': '3',
    'X_User-a-b-c-d-e-f_g': '4',
    'x-user-a-b-c-d-e-f': '5',
  }
  for (const name of ['x-user-a-b-c-d-e-f-g', 'X-User_a-b-c-d-e-f-g']) {
    assert.deepEqual(await replaced([name], ['anna'], forged), [
      ['x-user-a-b-c-d-e-f', '5'],
      [name.toLowerCase(), 'anna'],
    ])
  }
})

test('trustedFields() refuses at the start what would fail every request', () => {
  assert.throws(
    () => trustedFields(['x-user', 'Host']),
    /^TypeError: The upstream cannot be told by the field "host": it is one that the gateway writes itself$/,
  )
  assert.throws(() => trustedFields(['X-User', 'x-user']), /"x-user": it is there twice$/)
})

test('isGatewayField() knows the fields that plugins cannot add to a request', async () => {
  const names = [
    'host',
    'x-user',
    'via',
    'cookie',
    'trailer',
    'authorization',
    'user-agent',
    'priority',
    'date',
  ]
  names.push('connection', 'keep-alive', 'proxy-connection', 'http2-settings', 'te', 'expect', 'upgrade')
  names.push('content-length', 'transfer-encoding', 'forwarded', 'x-request-id', 'x-real-ip', 'content-type')
  names.push('x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto', 'x-forwarded')
  const refused: string[] = []
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'adding',
          handle({ request }) {
            for (const name of names) {
              try {
                request.headers.append(name, 'x')
              } catch {
                refused.push(name)
              }
            }
            return true
          },
        }),
      },
    ],
  })
  assert.equal((await gateway.fetch('/')).status, 200)
  assert.deepEqual(
    refused,
    names.filter((name) => isGatewayField(name)),
  )
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
  ['a\ud800', null],
  ['\ud83d\ude00', Buffer.from('😀').toString('latin1')],
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
