import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KeySet } from './key-set.ts'
import { jwks, signer } from './test-bench.ts'
import { TokenCache } from './token-cache.ts'
import { readForm, saysNameTwice } from './token-form.ts'

test('saysNameTwice() is false for whatever JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 1, '\t'), (value, space) => {
      assert.equal(saysNameTwice(JSON.stringify(value, null, space)), false)
    }),
  )
})

test('saysNameTwice() is true when some object has a member once more', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
      fc.jsonValue(),
      (members, outer) => {
        const [name = ''] = Object.keys(members)
        const twice = `${JSON.stringify(members).slice(0, -1)}, ${JSON.stringify(name)} :1}`
        assert.equal(saysNameTwice(twice), true)
        assert.equal(saysNameTwice(`[${JSON.stringify(outer)},{"a":[{"b":${twice}}]}]`), true)
      },
    ),
  )
})

test('readForm() never throws', () => {
  const part = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      readForm(parts.join('.'), null)
    }),
  )
})

test('TokenCache keeps what is in use, and never more than it may', () => {
  const cache = new TokenCache<number>(100)
  for (let i = 0; i < 10_000; i++) {
    cache.set(`${i}`, i)
    assert.equal(cache.get('0'), 0)
    assert.ok(cache.size <= 100)
  }
  assert.equal(cache.get('9999'), 9_999)
  assert.equal(cache.get('5000'), undefined)
  cache.delete('0')
  assert.equal(cache.get('0'), undefined)
  // Alike in what finds them.
  cache.set('alike-one', 1)
  cache.set('alike-two', 2)
  assert.equal(cache.get('alike-one'), undefined)
  assert.equal(cache.get('alike-two'), 2)
  cache.delete('alike-one')
  assert.equal(cache.get('alike-two'), 2)
  const none = new TokenCache<number>(0)
  none.set('a', 1)
  assert.equal(none.get('a'), undefined)
})

test('KeySet gives a key to its own algorithms only, by its kind, curve, use and what it says itself', async () => {
  const rsa = await signer('RS256', 'rsa')
  const ec = await signer('ES256', 'ec')
  const find = (jwk: object, alg: string): number => {
    try {
      return KeySet.parse(JSON.stringify({ keys: [jwk] }), null).find(alg, null).length
    } catch {
      return 0
    }
  }
  for (const alg of ['RS256', 'RS512', 'PS256']) assert.equal(find(rsa.jwk, alg), 1)
  for (const alg of ['ES256', 'EdDSA', 'HS256', 'none', '']) assert.equal(find(rsa.jwk, alg), 0)
  assert.equal(find(ec.jwk, 'ES256'), 1)
  for (const alg of ['ES384', 'ES512', 'EdDSA', 'RS256', 'HS256']) assert.equal(find(ec.jwk, alg), 0)
  assert.equal(find({ ...rsa.jwk, alg: 'PS256' }, 'RS256'), 0)
  assert.equal(find({ ...rsa.jwk, alg: 'PS256' }, 'PS256'), 1)
  assert.equal(find({ ...rsa.jwk, use: 'enc' }, 'RS256'), 0)
  assert.equal(find({ ...rsa.jwk, use: 'sig' }, 'RS256'), 1)
  assert.equal(find({ ...rsa.jwk, key_ops: ['encrypt'] }, 'RS256'), 0)
  assert.equal(find({ ...rsa.jwk, key_ops: ['verify'] }, 'RS256'), 1)
  assert.equal(find({ ...rsa.jwk, alg: 'RSA-OAEP' }, 'RS256'), 0)
  assert.equal(find({ ...ec.jwk, y: undefined }, 'ES256'), 0)
  assert.equal(find({ ...rsa.jwk, d: 'AA' }, 'RS256'), 0)
  assert.equal(find({ ...rsa.jwk, n: rsa.jwk.n?.slice(0, 300) }, 'RS256'), 0)
  assert.equal(find({ ...rsa.jwk, n: rsa.jwk.n?.repeat(5) }, 'RS256'), 0)
})

test('KeySet.parse() takes a set with a byte order mark in front', async () => {
  const one = await signer('ES256', 'one')
  assert.equal(KeySet.parse(`\uFEFF${jwks(one)}`, null).find('ES256', 'one').length, 1)
})

test('KeySet.parse() keeps what is still there, and ends what is not', async () => {
  const [one, two] = [await signer('ES256', 'one'), await signer('ES256', 'two')]
  const before = KeySet.parse(jwks(one, two), null)
  const [first, second] = [before.find('ES256', 'one')[0], before.find('ES256', 'two')[0]]
  assert.throws(() => KeySet.parse('{"keys":[]}', before), /it has 0 keys/)
  assert.equal(first?.isLive, true)
  const { kty, crv, x, y, kid } = one.jwk
  const after = KeySet.parse(JSON.stringify({ keys: [{ y, kid, x, crv, kty }] }), before)
  assert.equal(after.find('ES256', 'one')[0], first)
  assert.deepEqual([first?.isLive, second?.isLive], [true, false])
})
