import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSecretKey, REDACTED } from '../base/secret-keys.ts'
import { redactFields } from './redact.ts'

test('isSecretKey() finds the word in every way of writing keys', () => {
  const secret = [
    'authorization',
    'Proxy-Authorization',
    'cookie',
    'set-cookie',
    'accessToken',
    'REDIS_PASSWORD',
    'client.secret',
    'x-api-key',
    'apiKey',
    'apikey',
    'key',
    'privateKey',
  ]
  for (const key of secret) assert.equal(isSecretKey(key), true, key)
})

test('isSecretKey() leaves names alone that only contain such a word', () => {
  for (const key of ['monkey', 'keyboard', 'tokenised', 'cookieless', 'secretary', 'status', '']) {
    assert.equal(isSecretKey(key), false, key)
  }
})

test('redactFields() blanks secrets at every depth, in maps, arrays and errors', () => {
  const error = Object.assign(new Error('no'), { token: 'abc' })
  const fields = redactFields({
    token: 'abc',
    request: { headers: { authorization: 'abc', accept: '*/*' } },
    list: [{ password: 'abc' }],
    map: new Map([['cookie', 'abc']]),
    error,
    secret: { nested: 'abc' },
  })
  assert.equal(JSON.stringify(fields).includes('abc'), false)
  assert.deepEqual(fields.request, { headers: { authorization: REDACTED, accept: '*/*' } })
})

test('redactFields() keeps flags and null under a secret key', () => {
  assert.deepEqual(redactFields({ token: null, password: true }), { token: null, password: true })
})

test('redactFields() ends on a cycle', () => {
  const loop: Record<string, unknown> = { name: 'loop' }
  loop.self = loop
  assert.match(JSON.stringify(redactFields(loop)), /deeper than a log line goes/)
})

test('redactFields() bounds long texts, many entries and bytes', () => {
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`field${n}`, n]))
  const fields = redactFields({ text: 'x'.repeat(1_000_000), many, bytes: new Uint8Array(1_000_000) })
  assert.ok(JSON.stringify(fields).length < 10_000)
  assert.equal(fields.bytes, '[1000000 bytes]')
})

test('redactFields() keeps all of a list of names, and says of what is left out how much it was', () => {
  const names = (count: number) => Array.from({ length: count }, (_, index) => `plugin-${index}`)
  const fields = redactFields({ some: names(300), many: names(5_000), other: names(300).map((a) => ({ a })) })
  assert.deepEqual(fields.some, names(300))
  assert.deepEqual(fields.many, [...names(1_000), '… (5000 entries)'])
  assert.equal((fields.other as unknown[]).length, 101)
  assert.equal((fields.other as unknown[]).at(-1), '… (300 entries)')
})

test('redactFields() survives a getter that throws', () => {
  const fields = {
    get broken(): string {
      throw new Error('no')
    },
  }
  assert.deepEqual(redactFields(fields), { fields: '[unreadable]' })
})

test('redactFields() does not let a field become the prototype', () => {
  const fields = redactFields(JSON.parse('{"__proto__":{"polluted":true}}'))
  assert.equal(Reflect.get(fields, 'polluted'), undefined)
})
