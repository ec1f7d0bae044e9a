import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'
import { isNumberLabel } from '../base/host-names.ts'
import { isHostname } from './formats.ts'
import { LITERAL_ORIGIN } from './literal-origin.ts'

/** The forms of host and path patterns, and of the texts that are made from what they matched. */

export interface PathNames {
  readonly params: ReadonlySet<string>
  /** Ends in `/*`. */
  readonly rest: boolean
}

const PARAM = /^:([A-Za-z_][A-Za-z0-9_]*)$/
/** A name in a rewrite or a redirect. A port (`:8443`) starts with a digit, so it is none. */
const PARAM_USE = /:([A-Za-z_][A-Za-z0-9_]*)/g

export function pathNames(path: string): PathNames {
  const params = path.split('/').flatMap((segment) => PARAM.exec(segment)?.[1] ?? [])
  return { params: new Set(params), rest: path.endsWith('/*') }
}

/**
 * What is wrong with a path pattern, or null. Patterns are held to the normalised form that requests are compared in:
 * others could never match.
 *
 * @param allowed the route's `allow_in_path`.
 */
export function pathFault(path: string, allowed: readonly string[] = []): string | null {
  if (!path.startsWith('/')) return 'it must start with "/"'
  const segments = path.slice(1).split('/')
  const names = new Set<string>()
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1
    if (isLast && (segment === '*' || segment === '')) continue
    if (segment.includes('*')) return '"*" may only be the whole last segment, as in "/api/*"'
    const fault = segment.startsWith(':')
      ? paramFault(segment, names)
      : (literalFault(segment) ?? needlessEscape(segment) ?? oddityFault(segment, allowed))
    if (fault !== null) return fault
  }
  return null
}

/** What is wrong with a rewrite, or null. It is a path whose segments may hold names of the route's path anywhere. */
export function rewriteFault(rewrite: string): string | null {
  if (!rewrite.startsWith('/')) return 'it must start with "/"'
  if (/\*./s.test(rewrite)) return '"*" may only be its last character'
  const segments = rewrite.slice(1).split('/')
  for (const [index, segment] of segments.entries()) {
    const isEnd = segment === '' && index === segments.length - 1
    const fault = literalFault(segment) ?? (isEnd ? null : oddityFault(segment))
    if (fault !== null) return fault
  }
  return null
}

/**
 * What is wrong with the target of a redirect, or null. What a client sends may become a part of the path, never of
 * the scheme or the host: it could then send others to a server of its choice.
 */
export function redirectFault(location: string): string | null {
  const [, origin = '', path = ''] = /^((?:[^:/?#]+:)?(?:\/\/[^/?#]*)?)([^?#]*)/.exec(location) ?? []
  if (origin === '') return path.startsWith('/') ? null : 'it must start with "/", "http://" or "https://"'
  return LITERAL_ORIGIN.test(origin)
    ? null
    : 'its scheme and host must be literal, as in "https://example.com:8443/*"'
}

function paramFault(segment: string, names: Set<string>): string | null {
  const name = PARAM.exec(segment)?.[1]
  if (name === undefined) return `"${segment}" is not a parameter: write ":name" as a whole segment`
  if (name === '__proto__') return 'a parameter may not be called "__proto__"'
  if (names.has(name)) return `it has two parameters ":${name}"`
  names.add(name)
  return null
}

function literalFault(segment: string): string | null {
  if (segment === '.' || segment === '..') return `it has a dot segment ("${segment}")`
  if (/[?#]/.test(segment)) return 'a path ends before "?" and "#"'
  if (/[\x00-\x20\x7f"<>\\^`{|}]/.test(segment) || !segment.isWellFormed()) {
    return 'it has characters that must be percent-encoded'
  }
  return /%(?![0-9A-F]{2})/.test(segment)
    ? 'a "%" must be followed by two hexadecimal digits in capitals'
    : null
}

function needlessEscape(segment: string): string | null {
  for (const [code] of segment.matchAll(/%[0-9A-F]{2}/g)) {
    const character = String.fromCharCode(Number.parseInt(code.slice(1), 16))
    if (/[A-Za-z0-9._~-]/.test(character)) return `"${code}" must be written as "${character}"`
  }
  return null
}

/** What requests are refused for unless the route allows it. */
const ODDITIES = [
  { name: 'empty_segment', form: /^$/, shown: 'an empty segment ("//")' },
  { name: 'encoded_slash', form: /%2F/, shown: '"%2F"' },
  { name: 'encoded_backslash', form: /%5C/, shown: '"%5C"' },
  { name: 'encoded_null', form: /%00/, shown: '"%00"' },
] as const

/** @param allowed the route's `allow_in_path`; none where it does not count. */
function oddityFault(segment: string, allowed?: readonly string[]): string | null {
  const oddity = ODDITIES.find(({ name, form }) => form.test(segment) && allowed?.includes(name) !== true)
  if (oddity === undefined) return null
  return `it has ${oddity.shown}${allowed === undefined ? '' : `, which needs "${oddity.name}" in allow_in_path`}`
}

/** Which names a rewrite or redirect uses that not every one of the route's paths has, or null. */
export function unknownNames(text: string, paths: readonly string[]): string | null {
  const names = paths.map(pathNames)
  for (const [use, name = ''] of text.matchAll(PARAM_USE)) {
    if (!names.every(({ params }) => params.has(name))) return use
  }
  return text.includes('*') && !names.every(({ rest }) => rest) ? '*' : null
}

/** What is wrong with a host pattern, or null; `nearest` is what was probably meant. */
export function hostFault(host: string): { reason: string; nearest: string | null } | null {
  if (isIpv6(host)) return { reason: 'an IPv6 address stands in brackets', nearest: `[${host}]` }
  const [, name = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(host) ?? []
  if (port !== undefined && !(/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535)) {
    return { reason: 'its port is not a number from 1 to 65535', nearest: null }
  }
  if (name.startsWith('[') && isIpv6(name.slice(1, -1))) return null
  // Of the names below a wildcard's one is taken: others differ in length alone.
  const plain = asciiOf(name.startsWith('*.') ? `x${name.slice(1)}` : name)
  if (isHostname(plain)) return addressFault(plain)
  const root = /^(.*)\.$/s.exec(host)?.[1]
  return {
    reason: 'it is neither a host name nor "*." before one',
    nearest: root !== undefined && isHostname(root) ? root : null,
  }
}

/** Requests whose host ends in a number are refused unless it is an IPv4 address in its one spelling. */
function addressFault(name: string): { reason: string; nearest: string | null } | null {
  if (isIPv4(name) || !isNumberLabel(name.slice(name.lastIndexOf('.') + 1))) return null
  const meant = URL.parse(`http://${name}/`)?.hostname ?? null
  return {
    reason: 'a host that ends in a number is an IPv4 address, in four decimal numbers',
    nearest: meant !== null && isIPv4(meant) ? meant : null,
  }
}

/** A zone (`%eth0`) means nothing to another machine, so no request may have one. */
function isIpv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

/**
 * Unicode is a way to write a name; requests carry, and the router compares, its ASCII form. The conversion takes what it
 * gets for a part of a URL: of "a/b" it would make "a".
 */
function asciiOf(name: string): string {
  return /^[\0-\x7f]*$/.test(name) || /[\0-,/:-@[-^`{-\x7f]/.test(name) ? name : domainToASCII(name)
}
