import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export interface BuiltInCase {
  /** Of the row; the plugin's own when there is one case for it. */
  readonly name: string
  /** Its folder in plugins/. */
  readonly plugin: string
  /** Its config; a function where it has to be made. */
  readonly config: Readonly<Record<string, unknown>> | (() => Promise<Readonly<Record<string, unknown>>>)
  /** Field lines of the request, besides Host, User-Agent and Accept. */
  readonly fields: Readonly<Record<string, string>> | (() => Promise<Readonly<Record<string, string>>>)
  /** Microseconds of CPU that it may add to an exchange. */
  readonly addedMicrosecondsMax: number
}

export async function configOf({ config }: BuiltInCase): Promise<Readonly<Record<string, unknown>>> {
  return typeof config === 'function' ? config() : config
}

export async function fieldsOf({ fields }: BuiltInCase): Promise<Readonly<Record<string, string>>> {
  return typeof fields === 'function' ? fields() : fields
}

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
