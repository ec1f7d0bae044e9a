import type { Context } from '@cardea/sdk'
import type { Config } from './config.ts'

/** Why a request is not let in. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 503
  readonly code: string
  readonly title: string
  readonly detail: string
  /** RFC 6750, 3.1; null: the request carried nothing that would be an error. */
  readonly error: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | null
}

export const TOKEN_MISSING: Refusal = {
  status: 401,
  code: 'TOKEN_MISSING',
  title: 'Unauthorized',
  detail: 'The request carries no token.',
  error: null,
}

/** Says no more than that: what exactly is wrong helps whoever made it up. */
export const TOKEN_INVALID: Refusal = {
  status: 401,
  code: 'TOKEN_INVALID',
  title: 'Unauthorized',
  detail: 'The token is not valid here.',
  error: 'invalid_token',
}

export const TOKEN_EXPIRED: Refusal = {
  status: 401,
  code: 'TOKEN_EXPIRED',
  title: 'Unauthorized',
  detail: 'The token has expired.',
  error: 'invalid_token',
}

export const TOKEN_AMBIGUOUS: Refusal = {
  status: 400,
  code: 'TOKEN_AMBIGUOUS',
  title: 'Bad Request',
  detail: 'The request carries more than one token.',
  error: 'invalid_request',
}

export const SCOPE_REQUIRED: Refusal = {
  status: 403,
  code: 'SCOPE_REQUIRED',
  title: 'Forbidden',
  detail: 'The token does not allow this.',
  error: 'insufficient_scope',
}

export const KEYS_UNAVAILABLE: Refusal = {
  status: 503,
  code: 'KEYS_UNAVAILABLE',
  title: 'Service Unavailable',
  detail: 'The keys that tokens are checked with cannot be had.',
  error: null,
}

/** Answers with a problem (RFC 9457) and what the client has to bring (RFC 6750, 3). Returns false, as handle should. */
export type Refuse = (ctx: Context, refusal: Refusal) => false

export function refuser({ realm, sources, require }: Config): Refuse {
  const [scheme = 'Bearer'] = sources.flatMap((source) =>
    'scheme' in source && source.scheme !== undefined ? [source.scheme] : [],
  )
  const scopes = require.scopes_all?.join(' ')
  return (ctx, { status, code, title, detail, error }) => {
    const problem = { type: 'about:blank', title, status, code, detail, id: ctx.id }
    const scope = error === 'insufficient_scope' && scopes !== undefined ? [`scope="${scopes}"`] : []
    const why = error === null ? [] : [`error="${error}"`, ...scope]
    return ctx.response.send(`${JSON.stringify(problem)}\n`, {
      status,
      headers: {
        'content-type': 'application/problem+json',
        'cache-control': 'no-store',
        ...(status === 503
          ? { 'retry-after': '1' }
          : { 'www-authenticate': `${scheme} ${[`realm="${realm}"`, ...why].join(', ')}` }),
      },
    })
  }
}
