import type { Challenge, Refusal } from '@cardea/sdk'
import type { Config } from './config.ts'

export const TOKEN_MISSING: Refusal = {
  status: 401,
  code: 'TOKEN_MISSING',
  detail: 'The request carries no token.',
  error: null,
}

/** Says no more than that: what exactly is wrong helps whoever made it up. */
export const TOKEN_INVALID: Refusal = {
  status: 401,
  code: 'TOKEN_INVALID',
  detail: 'The token is not valid here.',
  error: 'invalid_token',
}

export const TOKEN_EXPIRED: Refusal = {
  status: 401,
  code: 'TOKEN_EXPIRED',
  detail: 'The token has expired.',
  error: 'invalid_token',
}

export const TOKEN_AMBIGUOUS: Refusal = {
  status: 400,
  code: 'TOKEN_AMBIGUOUS',
  detail: 'The request carries more than one token.',
  error: 'invalid_request',
}

export const SCOPE_REQUIRED: Refusal = {
  status: 403,
  code: 'SCOPE_REQUIRED',
  detail: 'The consumer is not allowed to do this.',
  error: 'insufficient_scope',
}

export const KEYS_UNAVAILABLE: Refusal = {
  status: 503,
  code: 'KEYS_UNAVAILABLE',
  detail: 'The keys that tokens are checked with cannot be had.',
  error: null,
  retryAfterSeconds: 1,
}

/** What the client has to bring (RFC 6750, 3). */
export function challengeOf({ realm, sources }: Config): Challenge {
  const [scheme = 'Bearer'] = sources.flatMap((source) =>
    'scheme' in source && source.scheme !== undefined ? [source.scheme] : [],
  )
  return { scheme, parameters: { realm } }
}
