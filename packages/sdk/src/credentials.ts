import { GATEWAYS_OWN, isGatewayField } from './gateway-fields.ts'
import type { Fields, Request } from './index.ts'

/**
 * One place of a request in which a client may put a credential: a header field, there after the name of a scheme if
 * one is said (`Authorization: Bearer …`), a query parameter, or a cookie.
 */
export type CredentialSource =
  | { readonly header: string; readonly scheme?: string }
  | { readonly query: string }
  | { readonly cookie: string }

/**
 * What {@link CredentialReader.read} gives when a request carries more than one credential, be they equal or not (RFC
 * 6750, 2: a client must not): which of them counts would be a matter of who reads, and the upstream reads too.
 */
export const AMBIGUOUS: unique symbol = Symbol('more than one credential')

/** Finds the credential of a request, and takes it off, so that the upstream never sees it. */
export interface CredentialReader {
  /** The credential, `''` if its place is there but empty, or null when the request has none. */
  read(request: Request): string | null | typeof AMBIGUOUS
  /** Takes what `read` looks at off the request, and keeps it from coming after the body. Only in `handle`. */
  remove(request: Request): void
  /** Leaves a credential where it is, and keeps any other from coming after the body (as trailers). Only in `handle`. */
  close(request: Request): void
}

/**
 * A reader of these places. Scheme names are compared without case (RFC 9110, 11.1), cookies and parameters with it. Throws
 * TypeError on a field that the gateway writes itself: no credential could be taken off it; and on two sources that read one
 * place, since what both read would be two credentials.
 */
export function credentialReader(sources: readonly CredentialSource[]): CredentialReader {
  refuseOverlaps(sources)
  const places = sources.map(placeOf)
  const [first] = places
  // Nearly always there is one place only.
  if (first !== undefined && places.length === 1) return first
  return {
    read(request) {
      let found: string | null = null
      for (const place of places) {
        const here = place.read(request)
        if (here === null) continue
        if (found !== null || here === AMBIGUOUS) return AMBIGUOUS
        found = here
      }
      return found
    },
    remove(request) {
      for (const place of places) place.remove(request)
    },
    close(request) {
      for (const place of places) place.close(request)
    },
  }
}

function refuseOverlaps(sources: readonly CredentialSource[]): void {
  for (const [index, source] of sources.entries()) {
    const other = sources.slice(0, index).find((before) => overlap(before, source))
    if (other === undefined) continue
    throw new TypeError(
      `The sources ${JSON.stringify(other)} and ${JSON.stringify(source)} read one place, so that what both ` +
        'read would be two credentials; leave one of them out',
    )
  }
}

function overlap(one: CredentialSource, other: CredentialSource): boolean {
  if ('query' in one) return 'query' in other && one.query === other.query
  if ('cookie' in one) return 'cookie' in other && one.cookie === other.cookie
  if (!('header' in other) || one.header.toLowerCase() !== other.header.toLowerCase()) return false
  // Without a scheme it is the whole value, whatever stands in it.
  if (one.scheme === undefined || other.scheme === undefined) return true
  return one.scheme.toLowerCase() === other.scheme.toLowerCase()
}

function placeOf(source: CredentialSource): CredentialReader {
  if ('query' in source) return queryPlace(source.query)
  if ('cookie' in source) return cookiePlace(source.cookie)
  const name = source.header.toLowerCase()
  if (isGatewayField(name))
    throw new TypeError(`A credential cannot stand in the field "${name}": it ${GATEWAYS_OWN}`)
  return source.scheme === undefined ? headerPlace(name) : schemePlace(name, source.scheme.toLowerCase())
}

/** The whole value of a field. Several lines are joined by commas, which no credential holds. */
function headerPlace(name: string): CredentialReader {
  return {
    read({ headers }) {
      const value = headers.get(name)
      return value?.includes(',') ? AMBIGUOUS : value
    },
    remove: ({ headers }) => headers.delete(name),
    close: (request) => closeField(request, name),
  }
}

function schemePlace(name: string, scheme: string): CredentialReader {
  return {
    read({ headers }) {
      const value = headers.get(name)
      if (value === null) return null
      if (hasScheme(value, scheme)) {
        return value.includes(',') ? AMBIGUOUS : value.slice(scheme.length).trimStart()
      }
      // Another scheme is somebody else's, such as the upstream's own Basic; but not if ours is on a second line.
      return value.includes(',') && headers.getAll(name).some((line) => hasScheme(line, scheme))
        ? AMBIGUOUS
        : null
    },
    remove({ headers }) {
      const value = headers.get(name)
      // Also where there is none: it is not to come in the trailers.
      if (value === null || hasScheme(value, scheme)) headers.delete(name)
    },
    close: (request) => closeField(request, name),
  }
}

/** What is in the head cannot be added to by trailers, and what was deleted from it neither. */
function closeField({ headers }: Request, name: string): void {
  if (!headers.has(name)) headers.delete(name)
}

const SPACE = 0x20
const TAB = 0x09
const UPPER_A = 0x41
const UPPER_Z = 0x5a
const LOWER_CASE_BIT = 0x20

function hasScheme(value: string, scheme: string): boolean {
  const { length } = scheme
  // A tab is no separator (RFC 9110, 11.4), but there are servers that take it for one.
  const next = value.length === length ? SPACE : value.charCodeAt(length)
  if (next !== SPACE && next !== TAB) return false
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i)
    const isUpperCase = code >= UPPER_A && code <= UPPER_Z
    if ((isUpperCase ? code | LOWER_CASE_BIT : code) !== scheme.charCodeAt(i)) return false
  }
  return true
}

function queryPlace(name: string): CredentialReader {
  return {
    read(request) {
      // Most requests have no query, and parsing it is the dearest part.
      if (!request.url.includes('?')) return null
      const values = request.query.getAll(name)
      return values.length > 1 ? AMBIGUOUS : (values[0] ?? null)
    },
    remove(request) {
      if (request.url.includes('?') && request.query.has(name)) request.query.delete(name)
      cleanReferer(request.headers, name)
    },
    close() {},
  }
}

/** A page that was asked for with the parameter sends it along with all that it loads from its own origin. */
function cleanReferer(headers: Fields, name: string): void {
  const lines = headers.getAll('referer')
  const clean = lines.map((line) => withoutParameter(line, name))
  if (clean.every((line, index) => line === lines[index])) return
  headers.delete('referer')
  for (const line of clean) headers.append('referer', line)
}

/** The rest of the address stays as it is written. */
function withoutParameter(address: string, name: string): string {
  const question = address.indexOf('?')
  if (question === -1) return address
  const pairs = address.slice(question + 1).split('&')
  // With a question mark of its own, for URLSearchParams leaves out one that comes first.
  const kept = pairs.filter((pair) => !new URLSearchParams(`?${pair}`).has(name))
  if (kept.length === pairs.length) return address
  return kept.length === 0 ? address.slice(0, question) : `${address.slice(0, question + 1)}${kept.join('&')}`
}

function cookiePlace(name: string): CredentialReader {
  return {
    read({ headers }) {
      const values = cookiesOf(headers.getAll('cookie')).filter((cookie) => cookieName(cookie) === name)
      if (values.length > 1) return AMBIGUOUS
      const [only] = values
      return only === undefined ? null : cookieValue(only)
    },
    remove({ headers }) {
      const cookies = cookiesOf(headers.getAll('cookie'))
      const kept = cookies.filter((cookie) => cookieName(cookie) !== name)
      if (kept.length === cookies.length) return
      if (kept.length === 0) headers.delete('cookie')
      else headers.set('cookie', kept.join('; '))
    },
    // No trailers may have cookies (RFC 9110, 6.5.1).
    close() {},
  }
}

/** The pairs of all Cookie lines, as they stand (RFC 6265, 4.2). */
function cookiesOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(';')).map((pair) => pair.trim())
}

function cookieName(pair: string): string {
  const equals = pair.indexOf('=')
  return equals === -1 ? pair : pair.slice(0, equals).trimEnd()
}

/** Without the quotes that a value may stand in. */
function cookieValue(pair: string): string {
  const equals = pair.indexOf('=')
  const value = equals === -1 ? '' : pair.slice(equals + 1).trimStart()
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}
