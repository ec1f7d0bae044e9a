import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import { exportSPKI, importJWK, SignJWT } from 'jose'
import { bench, claimsOf, INVALID, jwks, LET_IN, signer, tokenOf } from './test-bench.ts'

/** What people try who have no key. Nothing of it reaches the upstream. */

const rsa = await signer('RS256')
const ec = await signer('ES256')
const ed = await signer('EdDSA')
const CONFIG = { algorithms: ['RS256', 'ES256', 'EdDSA'], keys: { jwks: jwks(rsa, ec, ed) } }
const EVERY_HEADER = [rsa, ec, ed].map(({ alg, kid }) => ({ alg, kid }))

/** Signs with a secret that is no secret. */
function hmacToken(header: Record<string, unknown>, secret: string | Uint8Array): string {
  const [head, claims] = tokenOf(header, claimsOf(), '').split('.')
  const signature = createHmac('sha256', secret).update(`${head}.${claims}`).digest('base64url')
  return `${head}.${claims}.${signature}`
}

describe('no algorithm', () => {
  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    ' none',
    'null',
    null,
    undefined,
    0,
    ['RS256'],
    {},
  ]) {
    test(JSON.stringify(alg) ?? 'undefined', async () => {
      await using at = await bench(CONFIG)
      const [, , signature = ''] = (await rsa.sign()).split('.')
      for (const end of ['', signature, 'AA']) {
        await at.refuses(tokenOf({ alg, typ: 'JWT' }, claimsOf(), end))
        await at.refuses(tokenOf({ alg, kid: rsa.kid }, claimsOf(), end))
      }
    })
  }
})

describe('a public key taken for the secret of an HMAC', () => {
  for (const { alg, kid, jwk } of [rsa, ec, ed]) {
    test(alg, async () => {
      await using at = await bench(CONFIG)
      const pem = await exportSPKI((await importJWK({ ...jwk }, alg, { extractable: true })) as CryptoKey)
      const secrets = [pem, pem.trim(), `${pem}\n`, JSON.stringify(jwk), jwk.n ?? jwk.x ?? '', '']
      for (const secret of secrets) {
        for (const name of ['HS256', 'hs256', alg]) {
          await at.refuses(hmacToken({ alg: name, kid }, secret))
          await at.refuses(hmacToken({ alg: name }, secret))
        }
      }
    })
  }

  test('also where HMAC is what the gateway uses', async () => {
    const secret = 'a secret of thirty-two bytes, or more'
    await using at = await bench({ algorithms: ['HS256'], keys: { secret } })
    assert.deepEqual(await at.ask(hmacToken({ alg: 'HS256' }, secret)), LET_IN)
    for (const header of EVERY_HEADER) await at.refuses(hmacToken(header, secret))
    for (const other of ['', `${secret} `, secret.slice(1), '\0'.repeat(32)]) {
      await at.refuses(hmacToken({ alg: 'HS256' }, other))
    }
  })
})

test('one algorithm named for the key of another', async () => {
  await using at = await bench(CONFIG)
  for (const mine of [rsa, ec, ed]) {
    const [, claims, signature] = (await mine.sign()).split('.')
    for (const header of EVERY_HEADER) {
      for (const alg of ['PS256', 'RS512', 'ES384', 'Ed25519', ...CONFIG.algorithms]) {
        const head = Buffer.from(JSON.stringify({ ...header, alg })).toString('base64url')
        if (alg === mine.alg && header.kid === mine.kid) continue
        await at.refuses(`${head}.${claims}.${signature}`)
      }
    }
  }
})

test('a key that the token brings along, or a place where to get one', async () => {
  const mallory = await signer('RS256')
  const fetched: string[] = []
  await using at = await bench(CONFIG, {
    fetch: ({ url }) => {
      fetched.push(url)
      return Response.json({ keys: [mallory.jwk] })
    },
  })
  const x5c = ['MIIBszCCAVmgAwIBAgIU']
  const url = 'https://evil.example/jwks.json'
  const headers = [
    { jwk: mallory.jwk },
    { jku: url },
    { x5u: url },
    { x5c },
    { jwk: mallory.jwk, jku: url, x5u: url, x5c, x5t: 'AA', 'x5t#S256': 'AA' },
  ]
  for (const header of headers) {
    await at.refuses(await mallory.sign({}, header))
    await at.refuses(await mallory.sign({}, { ...header, kid: undefined }))
  }
  assert.deepEqual(fetched, [])
  // They are ignored, not refused: with a signature that counts they do no harm.
  assert.deepEqual(await at.ask(await rsa.sign({}, { jwk: mallory.jwk, jku: url })), LET_IN)
})

test('a key id that is a path, a query, a name of ours, or no string', async () => {
  const mallory = await signer('RS256')
  await using at = await bench(CONFIG)
  const kids = [
    '../../../../dev/null',
    '/dev/null',
    '/etc/passwd\0.pem',
    "x' UNION SELECT 'key'; --",
    '| curl evil.example',
    '__proto__',
    'constructor',
    'toString',
    'undefined',
    '',
    'a'.repeat(5_000),
    'RS256\n',
    0,
    null,
    true,
    ['RS256'],
    { kid: 'RS256' },
  ]
  for (const kid of kids) {
    const head = { alg: 'RS256', kid }
    const [, claims = '', signature = ''] = (await mallory.sign()).split('.')
    const text = Buffer.from(claims, 'base64url').toString()
    await at.refuses(tokenOf(head, text, signature))
    await at.refuses(hmacToken({ ...head, alg: 'HS256' }, ''))
  }
})

test('an extension that must be understood (crit) and is not', async () => {
  await using at = await bench(CONFIG)
  const critical: [crit: unknown, more?: object][] = [
    [['exp'], { exp: 1 }],
    [['b64'], { b64: false }],
    [['b64'], { b64: true }],
    [['http://example.com/x'], { 'http://example.com/x': true }],
    [[]],
    ['alg'],
    [null],
  ]
  for (const [crit, more] of critical) {
    const signature = (await rsa.sign()).split('.')[2] ?? ''
    await at.refuses(tokenOf({ alg: 'RS256', kid: rsa.kid, crit, ...more }, claimsOf(), signature))
  }
  const signed = new SignJWT(claimsOf()).setProtectedHeader({
    alg: 'RS256',
    kid: rsa.kid,
    crit: ['b64'],
    b64: true,
  })
  await at.refuses(await signed.sign(rsa.privateKey))
})

test('another spelling of a token: white space, padding, other digits, bits that are left over, a fourth part', async () => {
  await using at = await bench(CONFIG)
  const token = await rsa.sign()
  assert.deepEqual(await at.ask(token), LET_IN)
  const [head = '', claims = '', signature = ''] = token.split('.')
  const spellings = [
    `${token}.`,
    `.${token}`,
    `${token}.x`,
    `${token}x`,
    `${token}=`,
    `${token}==`,
    `${token} x`,
    `${head}=.${claims}.${signature}`,
    `${head}.${claims}=.${signature}`,
    `${head}. ${claims}.${signature}`,
    `${head}.${claims}.${signature.slice(0, -1)}`,
    `${head}.${claims}.`,
    `${head}..${signature}`,
    `.${claims}.${signature}`,
    `${head}.${claims}`,
    `${head}.${claims}.${signature.replaceAll('_', '/').replaceAll('-', '+')}+`,
    `${head}\u00e9.${claims}.${signature}`,
  ]
  // 256 bytes leave two bits over in the last digit.
  const last = signature.at(-1) ?? ''
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (let more = 1; more < 4; more++) {
    spellings.push(`${head}.${claims}.${signature.slice(0, -1)}${digits[digits.indexOf(last) + more]}`)
  }
  for (const spelling of spellings) {
    const answer = await at.ask(spelling)
    assert.ok(answer.status === 401 || answer.status === 400, `${spelling}: ${answer.status}`)
  }
  assert.equal(at.gateway.upstreamRequests.length, 1)
})

const sign = async (head: string, claims: string): Promise<string> => {
  const input = tokenOf(head, claims, '').slice(0, -1)
  const bytes = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', rsa.privateKey, Buffer.from(input))
  return `${input}.${Buffer.from(bytes).toString('base64url')}`
}

test('an exp, nbf or iat that no number or no Date can hold is no time', async () => {
  await using at = await bench(CONFIG)
  const head = '{"alg":"RS256","kid":"RS256"}'
  const ask = async (times: string) => at.ask(await sign(head, `{"sub":"anna",${times}}`))
  for (const times of ['"exp":1e11', '"exp":8640000000000', '"exp":1e11,"nbf":-1,"iat":1e11']) {
    assert.deepEqual(await ask(times), LET_IN, times)
  }
  assert.equal(new Date(at.seen[1]?.expiresAt ?? 0).getUTCFullYear(), 275_760)
  for (const value of ['1e306', '-1e306', '1e999', '-1e999', '8640000000001', '9007199254740991']) {
    for (const times of [`"exp":${value}`, `"exp":1e11,"nbf":${value}`, `"exp":1e11,"iat":${value}`]) {
      assert.deepEqual(await ask(times), INVALID, times)
    }
  }
  assert.equal(at.gateway.upstreamRequests.length, 3)
  await using lax = await bench({ ...CONFIG, allow_no_expiry: true })
  await lax.refuses(await sign(head, '{"sub":"anna","exp":1e306}'))
})

test('a name said twice, in the header or the claims, at any depth', async () => {
  await using at = await bench(CONFIG)
  const head = '{"alg":"RS256","kid":"RS256"}'
  const claims = JSON.stringify(claimsOf())
  const more = (text: string): string => `${claims.slice(0, -1)},${text}}`
  assert.deepEqual(
    await at.ask(await sign(head, more('"a":{"sub":1,"b":[{"sub":2}]},"c":"\\"sub\\":"'))),
    LET_IN,
  )
  for (const [other, text] of [
    ['{"alg":"none","alg":"RS256"}', claims],
    ['{"alg":"RS256","kid":"x","k\\u0069d":"RS256"}', claims],
    [head, more('"sub":"admin"')],
    [head, more('"s\\u0075b" : "admin"')],
    [head, more('"a":{"b":1,"b":2}')],
    [head, more('"a":[{"b":{"c":1 , "c":2}}]')],
    [`\ufeff${head}`, claims],
    [head, `\ufeff${claims}`],
    [head, `${claims} x`],
    [head, `[${claims}]`],
    [head, 'null'],
    [head, '"anna"'],
    [`[${head}]`, claims],
  ] as const) {
    await at.refuses(await sign(other, text))
  }
})

test('a header or claims that are no UTF-8', async () => {
  await using at = await bench(CONFIG)
  const bad = Buffer.from([0x7b, 0x22, 0x61, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')
  const [head, claims, signature] = (await rsa.sign()).split('.')
  await at.refuses(`${bad}.${claims}.${signature}`)
  await at.refuses(`${head}.${bad}.${signature}`)
})

test('a token for another purpose, by its type', async () => {
  await using at = await bench(CONFIG)
  for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'application/JWT']) {
    assert.deepEqual(await at.ask(await rsa.sign({}, { typ })), LET_IN)
  }
  for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'JWE', 'text/jwt', '', ['JWT'], 1, null]) {
    await at.refuses(await rsa.sign({}, { typ }))
  }
  await using strict = await bench({ ...CONFIG, typ: 'at+jwt' })
  assert.deepEqual(await strict.ask(await rsa.sign({}, { typ: 'application/AT+JWT' })), LET_IN)
  for (const typ of ['JWT', undefined]) await strict.refuses(await rsa.sign({}, { typ }))
})

test('a huge token costs nothing', async () => {
  await using at = await bench({ ...CONFIG, token_bytes_max: '1KiB' })
  assert.deepEqual(await at.ask(await rsa.sign({ a: 'x'.repeat(300) })), LET_IN)
  await at.refuses(await rsa.sign({ a: 'x'.repeat(1_000) }))
  await at.refuses('['.repeat(6_000))
  await at.refuses(tokenOf({ alg: 'RS256' }, '['.repeat(300), 'AA'))
})

test('a subject that is none, or too much of one', async () => {
  await using at = await bench(CONFIG)
  for (const sub of ['', 7, null, ['anna'], { id: 'anna' }, undefined, 'x'.repeat(513)]) {
    await at.refuses(await rsa.sign({ sub }))
  }
})

test('parts of two good tokens', async () => {
  await using at = await bench(CONFIG)
  const [one, two] = [await rsa.sign({ sub: 'anna' }), await rsa.sign({ sub: 'admin' })]
  assert.deepEqual([await at.ask(one), await at.ask(two)], [LET_IN, LET_IN])
  const [head, , signature] = one.split('.')
  assert.deepEqual(await at.ask(`${head}.${two.split('.')[1]}.${signature}`), INVALID)
  assert.deepEqual(
    at.seen.map((consumer) => consumer?.id),
    ['anna', 'admin'],
  )
})

test('an ECDSA signature of zeros, or in DER', async () => {
  await using at = await bench(CONFIG)
  const [head, claims] = (await ec.sign()).split('.')
  await at.refuses(`${head}.${claims}.${Buffer.alloc(64).toString('base64url')}`)
  await at.refuses(`${head}.${claims}.${Buffer.from('3006020101020101', 'hex').toString('base64url')}`)
})
