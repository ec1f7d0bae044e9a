import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { exportSPKI, generateSecret, importJWK, SignJWT } from 'jose'
import { bench, claimsOf, EXPIRED, INVALID, jwks, LET_IN, MISSING, signer } from './test-bench.ts'
import { CANDIDATES_MAX } from './verifier.ts'

const rsa = await signer('RS256')
const ec = await signer('ES256')
const ed = await signer('EdDSA')
const SECRET = 'a secret of thirty-two bytes, or more'

const RS: Readonly<Record<string, unknown>> = { algorithms: ['RS256'], keys: { jwks: jwks(rsa) } }

test('a token lets its consumer in, and says who it is', async () => {
  await using at = await bench(RS)
  const exp = Math.floor(Date.now() / 1_000) + 60
  const token = await rsa.sign({ exp, jti: 'token-1', groups: ['admins', 'staff'] })
  assert.deepEqual(await at.ask(token), LET_IN)
  assert.deepEqual(at.seen, [
    {
      id: 'anna',
      groups: ['admins', 'staff'],
      metadata: {},
      anonymous: false,
      method: 'jwt',
      credential: 'token-1',
      expiresAt: exp * 1_000,
    },
  ])
  assert.equal(at.gateway.upstreamRequests[0]?.headers.get('authorization'), `Bearer ${token}`)
  assert.ok(!JSON.stringify([at.gateway.logs, at.gateway.records]).includes(token))
})

test('a refusal says what to bring (RFC 6750, 3), and is a problem that nobody keeps', async () => {
  const require = { scopes_all: ['read', 'write'] }
  await using at = await bench({ ...RS, realm: 'the shop', require })
  const challengeOf = async (headers: Record<string, string>) => {
    const response = await at.gateway.fetch('/', { headers })
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    assert.equal(response.headers.get('cache-control'), 'no-store')
    return response.headers.get('www-authenticate')
  }
  assert.equal(await challengeOf({}), 'Bearer realm="the shop"')
  assert.equal(await challengeOf({ authorization: 'Basic YTpi' }), 'Bearer realm="the shop"')
  assert.equal(
    await challengeOf({ authorization: 'Bearer x' }),
    'Bearer realm="the shop", error="invalid_token"',
  )
  assert.equal(
    await challengeOf({ authorization: `Bearer ${await rsa.sign({ scope: 'read' })}` }),
    'Bearer realm="the shop", error="insufficient_scope", scope="read write"',
  )
  assert.equal(at.gateway.upstreamRequests.length, 0)
})

describe('every algorithm of the list lets in what its own key has signed', () => {
  const all = [
    'RS256',
    'RS384',
    'RS512',
    'PS256',
    'PS384',
    'PS512',
    'ES256',
    'ES384',
    'ES512',
    'EdDSA',
    'Ed25519',
  ]
  for (const alg of all) {
    test(alg, async () => {
      const own = await signer(alg)
      const other = await signer(alg)
      await using at = await bench({ algorithms: [alg], keys: { jwks: jwks(own) } })
      assert.deepEqual(await at.ask(await own.sign()), LET_IN)
      await at.refuses(await other.sign())
      await using others = await bench({
        algorithms: all.filter((one) => one !== alg),
        keys: { jwks: jwks(own) },
      })
      await others.refuses(await own.sign())
    })
  }
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    test(alg, async () => {
      const secret = (await generateSecret(alg, { extractable: true })) as CryptoKey
      const bytes = Buffer.from(await crypto.subtle.exportKey('raw', secret))
      const keys = { secret: bytes.toString('base64url'), secret_encoding: 'base64url' }
      await using at = await bench({ algorithms: [alg], keys })
      const sign = (key: CryptoKey | Uint8Array) =>
        new SignJWT(claimsOf()).setProtectedHeader({ alg }).sign(key)
      assert.deepEqual(await at.ask(await sign(secret)), LET_IN)
      await at.refuses(await sign(new Uint8Array(bytes.length)))
    })
  }
})

test('keys of a set that are for something else are passed over, and the log says how many and why', async () => {
  const encryption = { ...(await signer('RS256', 'for encryption')).jwk, use: 'enc', alg: 'RSA-OAEP' }
  const others = [
    encryption,
    { ...ec.jwk, kid: 'wrap', key_ops: ['wrapKey'] },
    { kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' },
    { kty: 'none-we-know' },
    { ...rsa.jwk, n: rsa.jwk.n?.slice(0, 170) },
    'no key',
  ]
  const keys = { jwks: JSON.stringify({ keys: [...others, rsa.jwk] }) }
  await using at = await bench({ algorithms: ['RS256'], keys })
  assert.deepEqual(await at.ask(await rsa.sign()), LET_IN)
  assert.deepEqual(
    at.gateway.logs
      .filter(({ message }) => message.includes('keys.jwks'))
      .map(({ level, message }) => [level, message]),
    [
      [
        'info',
        'Some keys of `keys.jwks` are not used: 2 for something else by its use, key_ops or alg, ' +
          '2 of a kind or curve that signs nothing here, 1 RSA of less than 2048 or more than 8192 bits, ' +
          '1 not a public key with all its members',
      ],
    ],
  )
  await assert.rejects(
    bench({ algorithms: ['RS256'], keys: { jwks: JSON.stringify({ keys: [encryption] }) } }),
    /`keys\.jwks`: it has 1 keys, and none that can verify.*\(1 for something else/,
  )
})

test('a key as PEM has no name: tokens may call it what they like', async () => {
  const pem = await exportSPKI((await importJWK({ ...ec.jwk }, 'ES256', { extractable: true })) as CryptoKey)
  await using at = await bench({ algorithms: ['RS256', 'ES256'], keys: { pem } })
  assert.deepEqual(await at.ask(await ec.sign()), LET_IN)
  assert.deepEqual(await at.ask(await ec.sign({}, { kid: undefined })), LET_IN)
  await at.refuses(await rsa.sign())
})

test('of a token without a key id every fitting key is tried', async () => {
  const second = await signer('RS256', 'second')
  await using at = await bench({ algorithms: ['RS256', 'ES256'], keys: { jwks: jwks(rsa, ec, second) } })
  assert.deepEqual(await at.ask(await second.sign({}, { kid: undefined })), LET_IN)
  await at.refuses(await (await signer('RS256')).sign({}, { kid: undefined }))
})

for (const [what, kid] of [
  ['without a key id', undefined],
  ['with a key id that all have', 'same'],
] as const) {
  test(`of a token ${what} every key of the set is tried, up to a bound that the log names`, async () => {
    const signers = await Promise.all(
      Array.from({ length: CANDIDATES_MAX + 1 }, () => signer('ES256', 'same')),
    )
    const keys = { jwks: JSON.stringify({ keys: signers.map(({ jwk }) => ({ ...jwk, kid })) }) }
    await using at = await bench({ algorithms: ['ES256'], keys })
    const warnings = () =>
      at.gateway.logs.filter(({ level }) => level === 'warn').map(({ message }) => message)
    for (const one of signers.slice(0, -1))
      assert.deepEqual(await at.ask(await one.sign({}, { kid })), LET_IN)
    assert.deepEqual(warnings(), [])
    for (let i = 0; i < 2; i++) await at.refuses((await signers.at(-1)?.sign({ jti: `${i}` }, { kid })) ?? '')
    assert.deepEqual(warnings(), [
      'A token by ES256 was refused that 17 keys fit: only the first 16 are tried',
    ])
  })
}

describe('times', () => {
  const at1000 = Date.parse('2027-01-01T00:00:00Z')
  const now = at1000 / 1_000

  test('exp and nbf hold, give or take the skew of clocks', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: at1000 })
    await using at = await bench({ ...RS, clock_skew: '10s' })
    assert.deepEqual(await at.ask(await rsa.sign({ exp: now - 9 })), LET_IN)
    await at.refuses(await rsa.sign({ exp: now - 10 }), EXPIRED)
    assert.deepEqual(await at.ask(await rsa.sign({ nbf: now + 10 })), LET_IN)
    await at.refuses(await rsa.sign({ nbf: now + 11 }))
  })

  test('a token that is known ends when it expires', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: at1000 })
    await using at = await bench({ ...RS, clock_skew: '0s' })
    const token = await rsa.sign({ exp: now + 2 })
    assert.deepEqual(await at.ask(token), LET_IN)
    t.mock.timers.tick(1_999)
    assert.deepEqual(await at.ask(token), LET_IN)
    t.mock.timers.tick(1)
    await at.refuses(token, EXPIRED)
    t.mock.timers.tick(600_000)
    await at.refuses(token, EXPIRED)
  })

  test('without exp a token is refused, unless the config says otherwise', async () => {
    const token = await rsa.sign({ exp: undefined })
    await using at = await bench(RS)
    await at.refuses(token)
    await using open = await bench({ ...RS, allow_no_expiry: true })
    assert.deepEqual(await open.ask(token), LET_IN)
    assert.equal(open.seen[0]?.expiresAt, null)
  })

  for (const claims of [{ exp: '2999999999' }, { exp: null }, { nbf: '0' }, { iat: 'now' }, { exp: -1 }]) {
    test(`${JSON.stringify(claims)} is refused`, async () => {
      await using at = await bench(RS)
      await at.refuses(await rsa.sign(claims), 'exp' in claims && claims.exp === -1 ? EXPIRED : INVALID)
    })
  }
})

describe('issuer and audience', () => {
  const ISSUER = 'https://login.example.com'
  const one = { ...RS, issuer: ISSUER, audience: 'api' }
  const several = { ...RS, issuer: ['https://a.example', ISSUER], audience: ['other', 'api'] }
  const tokens: [claims: Record<string, unknown>, isGood: boolean][] = [
    [{ iss: ISSUER, aud: 'api' }, true],
    [{ iss: ISSUER, aud: ['x', 'api'] }, true],
    [{ iss: ISSUER, aud: ['x'] }, false],
    [{ iss: ISSUER, aud: [] }, false],
    [{ iss: ISSUER, aud: ['api2', 'a,api'] }, false],
    [{ iss: ISSUER, aud: { 0: 'api' } }, false],
    [{ iss: ISSUER }, false],
    [{ aud: 'api' }, false],
    [{ iss: `${ISSUER}/`, aud: 'api' }, false],
    [{ iss: 'HTTPS://login.example.com', aud: 'api' }, false],
    [{ iss: [ISSUER], aud: 'api' }, false],
    [{ iss: `${ISSUER}.evil.example`, aud: 'api' }, false],
  ]
  for (const [claims, isGood] of tokens) {
    test(`${JSON.stringify(claims)} is ${isGood ? 'good' : 'refused'}`, async () => {
      for (const config of [one, several]) {
        await using at = await bench(config)
        assert.deepEqual(await at.ask(await rsa.sign(claims)), isGood ? LET_IN : INVALID)
      }
    })
  }
})

describe('where a token stands', () => {
  test('in two places it is refused, in one of several it is found', async () => {
    const sources = [{ header: 'authorization', scheme: 'Bearer' }, { cookie: 'token' }, { query: 'token' }]
    await using at = await bench({ ...RS, sources, remove_token: true })
    const token = await rsa.sign()
    assert.deepEqual(await at.ask(token), LET_IN)
    assert.deepEqual(await at.ask(null, { cookie: `a=b; token=${token}` }), LET_IN)
    assert.equal((await at.gateway.fetch(`/?token=${token}&a=b`)).status, 200)
    for (const { url, headers } of at.gateway.upstreamRequests) {
      assert.ok(!JSON.stringify([url, ...headers]).includes(token))
    }
    const both = { status: 400, code: 'TOKEN_AMBIGUOUS' }
    assert.deepEqual(await at.ask(token, { cookie: `token=${token}` }), both)
    const twice = await at.gateway.fetch('/', {
      headers: [
        ['authorization', `Bearer ${token}`],
        ['authorization', `Bearer ${token}`],
      ],
    })
    assert.equal(twice.status, 400)
    assert.equal(at.gateway.upstreamRequests.length, 3)
  })

  test('without one nobody comes in', async () => {
    await using at = await bench(RS)
    assert.deepEqual(await at.ask(null), MISSING)
    assert.deepEqual(await at.ask(null, { authorization: 'Basic YTpi' }), MISSING)
    await at.refuses('')
    await at.refuses(' ')
  })
})

const RSA = { modulusLength: 2_048 }
const PAIRS = { rsa: generateKeyPairSync('rsa', RSA), 'rsa-pss': generateKeyPairSync('rsa-pss', RSA) }

function pemOf(kind: keyof typeof PAIRS, half: 'public' | 'private', form?: 'pkcs1'): string {
  const { publicKey, privateKey } = PAIRS[kind]
  return half === 'public'
    ? publicKey.export({ type: form ?? 'spki', format: 'pem' }).toString()
    : privateKey.export({ type: form ?? 'pkcs8', format: 'pem' }).toString()
}

describe('a config is refused', () => {
  const refused: [what: string, config: Record<string, unknown>, reason: RegExp][] = [
    ['without algorithms', { keys: { jwks: jwks(rsa) } }, /algorithms" is missing/],
    ['with the algorithm none', { algorithms: ['none'], keys: { jwks: jwks(rsa) } }, /algorithms/],
    [
      'with HMAC and public keys',
      { algorithms: ['RS256', 'HS256'], keys: { jwks: jwks(rsa) } },
      /Cannot verify HS256 by public keys/,
    ],
    [
      'with RSA and a secret',
      { algorithms: ['RS256'], keys: { secret: SECRET } },
      /Cannot verify RS256 by a secret/,
    ],
    ['without keys', { algorithms: ['RS256'], keys: {} }, /`keys` has none of url/],
    ['with two kinds of keys', { algorithms: ['RS256'], keys: { jwks: '{}', pem: 'x' } }, /jwks and pem/],
    [
      'with a secret that is too short',
      { algorithms: ['HS256'], keys: { secret: 'hunter2' } },
      /it has 7 bytes, and HS256 needs at least 32/,
    ],
    [
      'with a secret that is no base64url',
      { algorithms: ['HS256'], keys: { secret: `${SECRET}!`, secret_encoding: 'base64url' } },
      /not base64url/,
    ],
    [
      'with a JWK Set that is none',
      { algorithms: ['RS256'], keys: { jwks: 'hunter2' } },
      /`keys\.jwks`: it is not JSON/,
    ],
    ['with an empty JWK Set', { algorithms: ['RS256'], keys: { jwks: '{"keys":[]}' } }, /it has 0 keys/],
    [
      'with a PEM that is none',
      { algorithms: ['RS256'], keys: { pem: 'hunter2' } },
      /`keys\.pem`: it is no public key/,
    ],
    [
      'with a private key as PEM',
      { algorithms: ['RS256'], keys: { pem: pemOf('rsa', 'private') } },
      /`keys\.pem`: it is a private key, .* `openssl pkey -in private\.pem -pubout -out public\.pem` writes it\.$/,
    ],
    [
      'with a public key by PKCS#1',
      { algorithms: ['RS256'], keys: { pem: pemOf('rsa', 'public', 'pkcs1') } },
      /`keys\.pem`: it is an RSA key in the form of PKCS#1: `openssl rsa -RSAPublicKey_in -in key\.pem -pubout -out public\.pem` makes/,
    ],
    [
      'with a private key by PKCS#1',
      { algorithms: ['RS256'], keys: { pem: pemOf('rsa', 'private', 'pkcs1') } },
      /`keys\.pem`: it is a private key, /,
    ],
    [
      'with a key for RSA-PSS alone',
      { algorithms: ['PS256'], keys: { pem: pemOf('rsa-pss', 'public') } },
      /`keys\.pem`: it is an RSA key .* RSA-PSS alone\. .* `openssl rsa -pubin .* \| openssl rsa -RSAPublicKey_in .* -out public\.pem`\.$/,
    ],
    [
      'with a public key that its algorithms do not go with',
      { algorithms: ['ES256'], keys: { pem: pemOf('rsa', 'public') } },
      /no public key or certificate for ES256, .* Taken are `BEGIN PUBLIC KEY` and `BEGIN CERTIFICATE`\.$/,
    ],
    [
      'with a user name in the URL',
      { algorithms: ['RS256'], keys: { url: 'https://a:hunter2@b/' } },
      /without a user name/,
    ],
    [
      'with a URL of another scheme',
      { algorithms: ['RS256'], keys: { url: 'file:///etc/passwd' } },
      /keys\.url/,
    ],
  ]
  for (const [what, config, reason] of refused) {
    test(what, async () => {
      await assert.rejects(bench(config), (error: Error) => {
        assert.match(error.message, reason)
        assert.ok(!/hunter2|thirty-two/.test(what.includes('URL') ? '' : error.message), error.message)
        return true
      })
    })
  }

  test('with a private key among the public ones', async () => {
    const { d } = JSON.parse(JSON.stringify(await crypto.subtle.exportKey('jwk', ed.privateKey))) as {
      d: string
    }
    const config = {
      algorithms: ['EdDSA'],
      keys: { jwks: JSON.stringify({ keys: [ed.jwk, { ...ed.jwk, d }] }) },
    }
    await assert.rejects(bench(config), /1 of its keys cannot be used/)
  })
})
