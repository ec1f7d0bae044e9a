import type { Context, CredentialSource } from '@cardea/sdk'

/** Why a request is not let in. */
export interface Refusal {
  readonly status: 400 | 401 | 403
  readonly code: string
  readonly title: string
  readonly detail: string
  /** RFC 6750, 3.1; null: the request carried nothing that would be an error. */
  readonly error: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | null
}

export const KEY_MISSING: Refusal = {
  status: 401,
  code: 'KEY_MISSING',
  title: 'Unauthorized',
  detail: 'The request carries no key.',
  error: null,
}

export const KEY_INVALID: Refusal = {
  status: 401,
  code: 'KEY_INVALID',
  title: 'Unauthorized',
  detail: 'The key is not known.',
  error: 'invalid_token',
}

export const KEY_EXPIRED: Refusal = {
  status: 401,
  code: 'KEY_EXPIRED',
  title: 'Unauthorized',
  detail: 'The key has expired.',
  error: 'invalid_token',
}

export const KEY_AMBIGUOUS: Refusal = {
  status: 400,
  code: 'KEY_AMBIGUOUS',
  title: 'Bad Request',
  detail: 'The request carries more than one key.',
  error: 'invalid_request',
}

export const GROUP_REQUIRED: Refusal = {
  status: 403,
  code: 'GROUP_REQUIRED',
  title: 'Forbidden',
  detail: 'The consumer is not in a group that may do this.',
  error: 'insufficient_scope',
}

/** Answers with a problem (RFC 9457) and what the client has to bring (RFC 9110, 11.6.1). Returns false, as handle should. */
export type Refuse = (ctx: Context, refusal: Refusal) => false

export function refuser(sources: readonly CredentialSource[], realm: string): Refuse {
  return (ctx, { status, code, title, detail, error }) => {
    const problem = { type: 'about:blank', title, status, code, detail, id: ctx.id }
    return ctx.response.send(`${JSON.stringify(problem)}\n`, {
      status,
      headers: {
        'content-type': 'application/problem+json',
        'cache-control': 'no-store',
        'www-authenticate': sources.map((source) => challenge(source, realm, error)),
      },
    })
  }
}

/** There is no registered scheme for keys outside of Authorization: `ApiKey` says where they go. */
function challenge(source: CredentialSource, realm: string, error: Refusal['error']): string {
  const isAuthorization = 'header' in source && source.header.toLowerCase() === 'authorization'
  const scheme = isAuthorization && source.scheme !== undefined ? source.scheme : 'ApiKey'
  const [place, name] = Object.entries(source)[0] ?? []
  const where = scheme === 'ApiKey' ? [`in="${place}"`, `name="${quoted(String(name))}"`] : []
  const why = error === null ? [] : [`error="${error}"`]
  return `${scheme} ${[`realm="${realm}"`, ...where, ...why].join(', ')}`
}

function quoted(text: string): string {
  return encodeURI(text).replaceAll('"', '%22').replaceAll('\\', '%5C')
}
