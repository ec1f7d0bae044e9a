import type { Challenge, CredentialSource, Refusal } from '@cardea/sdk'

export const KEY_MISSING: Refusal = {
  status: 401,
  code: 'KEY_MISSING',
  detail: 'The request carries no key.',
  error: null,
}

export const KEY_INVALID: Refusal = {
  status: 401,
  code: 'KEY_INVALID',
  detail: 'The key is not known.',
  error: 'invalid_token',
}

export const KEY_EXPIRED: Refusal = {
  status: 401,
  code: 'KEY_EXPIRED',
  detail: 'The key has expired.',
  error: 'invalid_token',
}

export const KEY_AMBIGUOUS: Refusal = {
  status: 400,
  code: 'KEY_AMBIGUOUS',
  detail: 'The request carries more than one key.',
  error: 'invalid_request',
}

export const GROUP_REQUIRED: Refusal = {
  status: 403,
  code: 'GROUP_REQUIRED',
  detail: 'The consumer is not in a group that may do this.',
  error: 'insufficient_scope',
}

/** There is no registered scheme for keys outside of Authorization: `ApiKey` says where they go. */
export function challengeOf(source: CredentialSource, realm: string): Challenge {
  const isAuthorization = 'header' in source && source.header.toLowerCase() === 'authorization'
  if (isAuthorization && source.scheme !== undefined) return { scheme: source.scheme, parameters: { realm } }
  const [place = '', name] = Object.entries(source)[0] ?? []
  return { scheme: 'ApiKey', parameters: { realm, in: place, name: asciiOf(String(name)) } }
}

/** As a URL would have it, without what would have to be escaped. */
function asciiOf(text: string): string {
  return encodeURI(text).replaceAll('"', '%22').replaceAll('\\', '%5C')
}
