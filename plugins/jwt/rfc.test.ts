import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { compactVerify, importJWK, SignJWT } from 'jose'
import { KeySet } from './key-set.ts'
import { bench, EXPIRED, INVALID, LET_IN } from './test-bench.ts'

/** The examples of RFC 7515, 7519 and 8037, as they stand there. */

/** `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`, in three lines. */
const CLAIMS =
  'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'
const EXPIRES_AT = 1_300_819_380_000

/** RFC 7515, A.1; also RFC 7519, 3.1. */
const HS256 = {
  secret: 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  token: `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`,
}

/** RFC 7515, A.2. */
const RS256 = {
  jwk: {
    kty: 'RSA',
    n:
      'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1' +
      'W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQ' +
      'Y4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ',
    e: 'AQAB',
  },
  token:
    `eyJhbGciOiJSUzI1NiJ9.${CLAIMS}.` +
    'cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQ' +
    'jbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt' +
    'FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw',
}

/** RFC 7515, A.3. */
const ES256 = {
  jwk: {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  },
  token: `eyJhbGciOiJFUzI1NiJ9.${CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`,
}

/** RFC 7515, A.4; what it signs is no set of claims. */
const ES512 = {
  jwk: {
    kty: 'EC',
    crv: 'P-521',
    x: 'AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk',
    y: 'ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2',
  },
  token:
    'eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.' +
    'AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpR' +
    'wcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn',
}

/** RFC 8037, A.1 and A.4; what it signs is no set of claims. */
const ED25519 = {
  jwk: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  token:
    'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.' +
    'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
}

/** RFC 7519, 6.1. */
const UNSECURED = `eyJhbGciOiJub25lIn0.${CLAIMS}.`

const consumer = { id: 'iss' }
const keysOf = (...jwks: readonly object[]) => ({ jwks: JSON.stringify({ keys: jwks }) })

/** In time, then too late; the subject is `joe`. */
async function lasts(t: TestContext, config: Record<string, unknown>, token: string): Promise<void> {
  t.mock.timers.enable({ apis: ['Date'], now: EXPIRES_AT - 1_000 })
  await using at = await bench({ consumer, clock_skew: '0s', ...config })
  assert.deepEqual(await at.ask(token), LET_IN)
  assert.equal(at.seen[0]?.id, 'joe')
  await at.refuses(token.slice(0, -2))
  t.mock.timers.tick(1_000)
  await at.refuses(token, EXPIRED)
}

test('RFC 7515, A.1 and RFC 7519, 3.1: HS256', async (t) => {
  const keys = { secret: HS256.secret, secret_encoding: 'base64url' }
  await lasts(t, { algorithms: ['HS256'], keys }, HS256.token)
})

test('RFC 7515, A.2: RS256', async (t) => {
  await lasts(t, { algorithms: ['RS256'], keys: keysOf(RS256.jwk) }, RS256.token)
})

test('RFC 7515, A.3: ES256', async (t) => {
  await lasts(t, { algorithms: ['ES256'], keys: keysOf(ES256.jwk) }, ES256.token)
})

const NO_CLAIMS = [
  ['RFC 7515, A.4: ES512', 'ES512', ES512, 'Payload'],
  ['RFC 8037, A.4: Ed25519', 'EdDSA', ED25519, 'Example of Ed25519 signing'],
] as const

for (const [what, alg, { jwk, token }, text] of NO_CLAIMS) {
  test(`${what} is signed by the key that is found for it, and still no token`, async () => {
    const set = KeySet.parse(JSON.stringify({ keys: [RS256.jwk, ES256.jwk, jwk] }), null)
    const [key, ...others] = set.find(alg, null)
    assert.ok(key !== undefined && others.length === 0)
    const { payload } = await compactVerify(token, key.material)
    assert.equal(Buffer.from(payload).toString(), text)
    await using at = await bench({ consumer, algorithms: [alg], keys: keysOf(jwk) })
    await at.refuses(token)
  })
}

test('RFC 8037: claims that the key of A.1 has signed', async () => {
  const key = await importJWK({ ...ED25519.jwk, d: ED25519.d }, 'EdDSA')
  const sign = (alg: string) =>
    new SignJWT({ iss: 'joe' }).setExpirationTime('1h').setProtectedHeader({ alg }).sign(key)
  await using at = await bench({ consumer, algorithms: ['EdDSA'], keys: keysOf(ED25519.jwk) })
  assert.deepEqual(await at.ask(await sign('EdDSA')), LET_IN)
  await at.refuses(await sign('Ed25519'))
})

test('RFC 7515, A.5 and RFC 7519, 6.1: an unsecured token is none', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: EXPIRES_AT - 1_000 })
  await using at = await bench({
    consumer,
    algorithms: ['RS256', 'ES256'],
    keys: keysOf(RS256.jwk, ES256.jwk),
  })
  for (const token of [UNSECURED, `${UNSECURED}${RS256.token.split('.')[2]}`]) {
    assert.deepEqual(await at.ask(token), INVALID)
  }
  assert.equal(at.gateway.upstreamRequests.length, 0)
})
