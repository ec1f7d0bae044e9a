import type { JWTPayload } from 'jose'
import type { Config, RequireConfig } from './config.ts'

/** A claim by its name, or by names from the outside in: `realm_access.roles`. A name that has dots itself comes first. */
export function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = Reflect.get(value, part)
  }
  return value
}

const ID_LENGTH_MAX = 512
const GROUPS_MAX = 500

/** The consumer's id, or null when the claim cannot be one. */
export function consumerId(claims: JWTPayload, { consumer }: Config): string | null {
  const id = claimAt(claims, consumer.id)
  return typeof id === 'string' && id !== '' && id.length <= ID_LENGTH_MAX ? id : null
}

/** A list of strings, or one string. */
export function groupsOf(claims: JWTPayload, { consumer }: Config): readonly string[] {
  const value = claimAt(claims, consumer.groups)
  const list: unknown[] = Array.isArray(value) ? value.slice(0, GROUPS_MAX) : [value]
  return list.filter((group) => typeof group === 'string' && group !== '') as string[]
}

/**
 * Of the first claim that there is: words in one string (RFC 8693, 4.2), or a list of strings. What is neither grants nothing: what
 * else its issuer may have meant by it is not for us to guess.
 */
export function scopesOf(claims: JWTPayload, { scope_claims }: Config): readonly string[] {
  for (const name of scope_claims) {
    const value = claimAt(claims, name)
    if (value === undefined) continue
    if (typeof value === 'string') return value.split(' ')
    return isListOfStrings(value) ? value : []
  }
  return []
}

function isListOfStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

/** Seconds: the end of what a Date can hold (ECMAScript), some 270,000 years from now. Beyond it sums lose seconds, and consumers a Date. */
const SECONDS_MAX = 8_640_000_000_000

/** The first claim that is to be a time (NumericDate: RFC 7519, 2) and is none; null: all are, or are not there. */
export function wrongTimeIn(claims: JWTPayload): 'exp' | 'nbf' | 'iat' | null {
  const isTime = (value: unknown): boolean => typeof value === 'number' && Math.abs(value) <= SECONDS_MAX
  const names = ['exp', 'nbf', 'iat'] as const
  return names.find((name) => claims[name] !== undefined && !isTime(claims[name])) ?? null
}

/** Whether a route lets it in: everything that `require` says holds. */
export function hasAll(
  { scopes_all, scopes_any, groups_all, groups_any, claims: wanted = {} }: RequireConfig,
  claims: JWTPayload,
  scopes: readonly string[],
  groups: readonly string[],
): boolean {
  return (
    holds(scopes, scopes_all, scopes_any) &&
    holds(groups, groups_all, groups_any) &&
    Object.entries(wanted).every(([name, values]) => isOneOf(claimAt(claims, name), [values].flat()))
  )
}

export function holds(
  present: readonly string[],
  all: readonly string[] = [],
  any: readonly string[] | undefined = undefined,
): boolean {
  return (
    all.every((one) => present.includes(one)) &&
    (any === undefined || any.some((one) => present.includes(one)))
  )
}

/** A claim that is a list needs one of the values in it. Values of another type are other values. */
function isOneOf(claim: unknown, values: readonly unknown[]): boolean {
  return Array.isArray(claim) ? claim.some((one) => values.includes(one)) : values.includes(claim)
}
