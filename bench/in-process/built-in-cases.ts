import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { BuiltInCase } from './built-ins.ts'

/** What an exchange through each built-in plugin is, and what the plugin may add to it. */
export const BUILT_IN_CASES: readonly BuiltInCase[] = [
  {
    name: 'cors',
    plugin: 'cors',
    config: { origins: ['https://app.example.com', 'https://*.example.org'], credentials: true },
    fields: { Origin: 'https://app.example.com' },
    addedMicrosecondsMax: 1,
  },
  {
    name: 'access-log',
    plugin: 'access-log',
    config: { format: 'json', keep: 1 },
    fields: { Referer: 'https://app.example.com/products?page=1' },
    addedMicrosecondsMax: 8,
  },
  {
    name: 'key-auth',
    plugin: 'key-auth',
    config: { consumers: consumers(1_000) },
    fields: { 'X-API-Key': keyOf(500) },
    addedMicrosecondsMax: 2,
  },
  {
    name: 'jwt',
    plugin: 'jwt',
    config: async () => {
      const jwk = await exportJWK((await issuer()).publicKey)
      return {
        algorithms: ['RS256'],
        keys: { jwks: JSON.stringify({ keys: [{ ...jwk, kid: 'bench' }] }) },
        issuer: 'https://login.example.com',
        audience: 'api',
        require: { scopes_all: ['read'] },
        upstream_headers: { 'x-user': 'sub' },
      }
    },
    fields: async () => ({ Authorization: `Bearer ${await token()}` }),
    addedMicrosecondsMax: 3,
  },
  {
    name: 'rate-limit',
    plugin: 'rate-limit',
    config: { limit: 1_000_000_000, window: '1h' },
    fields: {},
    addedMicrosecondsMax: 2,
  },
  {
    name: 'rate-limit with three limits',
    plugin: 'rate-limit',
    config: {
      limits: [
        { name: 'bucket', limit: 1_000_000_000, window: '1s', key: ['route', 'ip'] },
        { name: 'fixed', limit: 1_000_000_000, window: '1h', algorithm: 'fixed', key: 'header:user-agent' },
        { name: 'sliding', limit: 1_000_000_000, window: '1d', algorithm: 'sliding', key: 'ip' },
      ],
    },
    fields: {},
    addedMicrosecondsMax: 6,
  },
]

/** As `cardea key new` makes them. */
function keyOf(number: number): string {
  return `ck_${createHash('sha256').update(`${number}`).digest('base64url')}`
}

function consumers(count: number): Record<string, unknown> {
  const entries = Array.from({ length: count }, (_, number): [string, unknown] => {
    const hash = `sha256:${createHash('sha256').update(keyOf(number)).digest('hex')}`
    return [`consumer-${number}`, { groups: ['apps'], keys: { current: { hash } } }]
  })
  return Object.fromEntries(entries)
}

/** Made once, and only when it is asked for: an RSA key takes a moment. */
let keyPair: ReturnType<typeof generateKeyPair> | undefined

function issuer(): ReturnType<typeof generateKeyPair> {
  keyPair ??= generateKeyPair('RS256', { extractable: true })
  return keyPair
}

async function token(): Promise<string> {
  const claims = {
    sub: 'f3b2c1d0-1111-4222-8333-444455556666',
    scope: 'read write',
    jti: 'bench',
    client_id: 'app',
  }
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: 'bench', typ: 'at+jwt' })
    .setIssuer('https://login.example.com')
    .setAudience('api')
    .setExpirationTime('1h')
    .sign((await issuer()).privateKey)
}
