import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bench, EXPIRED, type INVALID, jwks, signer } from './test-bench.ts'

const [ec, other] = [await signer('ES256', 'one'), await signer('ES256', 'one')]
const rsa = await signer('RS256', 'one')
const CONFIG = {
  algorithms: ['ES256'],
  keys: { jwks: jwks(ec) },
  issuer: 'https://login.example.com',
  audience: 'shop',
}
const GOOD = { iss: CONFIG.issuer, aud: CONFIG.audience }

test('the log says at level debug what is wrong with a token, in no words of the token, and the client is not told', async () => {
  const tokens: [token: string, reason: string, answer?: typeof INVALID][] = [
    ['hunter2', 'it is no JWS in compact form, or its typ, kid or crit is not taken'],
    ['hunter2'.repeat(2_000), 'it is empty, or longer than `token_bytes_max`'],
    [await rsa.sign(GOOD), 'its alg is not among `algorithms`'],
    [await ec.sign(GOOD, { kid: 'hunter2' }), 'no key is of its alg and kid'],
    [await other.sign(GOOD), 'its signature is by none of the keys that fit'],
    [await ec.sign({ ...GOOD, iss: 'hunter2' }), 'unexpected "iss" claim value'],
    [await ec.sign({ ...GOOD, aud: ['hunter2'] }), 'unexpected "aud" claim value'],
    [await ec.sign({ ...GOOD, exp: undefined }), 'missing required "exp" claim'],
    [await ec.sign({ ...GOOD, nbf: 4e9 }), '"nbf" claim timestamp check failed'],
    [await ec.sign({ ...GOOD, exp: 1 }), '"exp" claim timestamp check failed', EXPIRED],
    [
      await ec.sign({ ...GOOD, sub: undefined }),
      'its claim "sub" (`consumer.id`) is missing, or not a text that can be an id',
    ],
  ]
  await using at = await bench(CONFIG)
  for (const [token, , answer] of tokens) await at.refuses(token, answer)
  const wanted = tokens.map(([, reason]) => ['debug', `A token is refused: ${reason}`])
  assert.deepEqual(
    at.gateway.logs.map(({ level, message }) => [level, message]),
    wanted,
  )
  assert.ok(!JSON.stringify(at.gateway.logs).includes('hunter2'))
})
