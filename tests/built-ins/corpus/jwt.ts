import { createHmac } from 'node:crypto'
import type { CorpusGroup } from './exchange.ts'

const SECRET = 'a secret that only this corpus knows, of 32 bytes and more'
const YEAR_2099 = 4_070_908_800

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(
  claims: Record<string, unknown>,
  header: Record<string, unknown> = { alg: 'HS256' },
  secret = SECRET,
) {
  const signed = `${base64url(header)}.${base64url(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const claims = {
  iss: 'https://login.example.com',
  aud: 'shop',
  sub: 'anna',
  exp: YEAR_2099,
  scope: 'orders:read',
  tenant: 'acme',
}

const TOKENS: (string | undefined)[] = [
  undefined,
  token(claims),
  token({ ...claims, exp: 1_500_000_000 }),
  token({ ...claims, nbf: YEAR_2099 }),
  token({ ...claims, aud: 'other' }),
  token({ ...claims, iss: 'https://evil.example' }),
  token(claims, { alg: 'none' }),
  token(claims, { alg: 'HS512' }),
  token(claims, { alg: 'HS256' }, 'another secret'),
  `${token(claims)}x`,
  'not-a-token',
  '',
]

const config = {
  algorithms: ['HS256'],
  keys: { secret: SECRET },
  issuer: 'https://login.example.com',
  audience: 'shop',
  upstream_headers: { 'x-user': 'sub', 'x-tenant': 'tenant' },
}

/** Tokens that hold and tokens that do not, on a route for everyone on one that asks for a scope, and on one with a guest. */
export const JWT: CorpusGroup = {
  routes: [
    {
      path: '/jwt/all/*',
      plugins: { jwt: { config }, 'access-log': { config: { format: 'json', file: 'json.log' } } },
    },
    {
      path: '/jwt/writers/*',
      plugins: { jwt: { config: { ...config, require: { scopes_all: ['orders:write'] } } } },
    },
    {
      path: '/jwt/guests/*',
      plugins: {
        jwt: { config: { ...config, anonymous: { id: 'guest' }, require: { groups_any: ['admins'] } } },
      },
    },
  ],
  requests: ['all', 'writers', 'guests'].flatMap((route) =>
    TOKENS.map((text) => ({
      url: `/jwt/${route}/orders?page=2`,
      headers: { 'x-user': 'admin', ...(text === undefined ? {} : { authorization: `Bearer ${text}` }) },
    })),
  ),
}
