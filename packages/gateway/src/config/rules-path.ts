import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'
import { isHostname } from './validator.ts'

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

/** What is wrong with a path pattern, or null. Paths are compared in normalised form, so others could never match. */
export function pathFault(path: string): string | null {
  if (!path.startsWith('/')) return 'it must start with "/"'
  const segments = path.slice(1).split('/')
  const names = new Set<string>()
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1
    if (segment === '*' && isLast) continue
    if (segment === '' && isLast) continue
    if (segment.includes('*')) return '"*" may only be the whole last segment, as in "/api/*"'
    const fault = segment.startsWith(':') ? paramFault(segment, names) : segmentFault(segment)
    if (fault !== null) return fault
  }
  return null
}

function paramFault(segment: string, names: Set<string>): string | null {
  const name = PARAM.exec(segment)?.[1]
  if (name === undefined) return `"${segment}" is not a parameter: write ":name" as a whole segment`
  if (names.has(name)) return `it has two parameters ":${name}"`
  names.add(name)
  return null
}

function segmentFault(segment: string): string | null {
  if (segment === '') return 'it has an empty segment ("//")'
  if (segment === '.' || segment === '..') return `it has a dot segment ("${segment}")`
  if (/[?#]/.test(segment)) return 'a path ends before "?" and "#"'
  if (/[^\x21-\x7e]|["<>\\^`{|}]/.test(segment)) return 'it has characters that must be percent-encoded'
  if (/%(?![0-9A-F]{2})/.test(segment)) return 'a "%" must be followed by two hexadecimal digits in capitals'
  const encoded = segment.match(/%[0-9A-F]{2}/g) ?? []
  const needless = encoded.find((code) => /[A-Za-z0-9._~-]/.test(decodeURIComponentSafely(code)))
  return needless === undefined
    ? null
    : `"${needless}" must be written as "${decodeURIComponentSafely(needless)}"`
}

function decodeURIComponentSafely(code: string): string {
  return String.fromCharCode(Number.parseInt(code.slice(1), 16))
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
  const name = host.startsWith('*.') ? host.slice(2) : host
  if (isHostname(name) || isIPv4(host) || (/^\[.*\]$/.test(host) && isIPv6(host.slice(1, -1)))) return null
  const withoutPort = /^(.+):\d+$/.exec(host)?.[1]
  if (isIPv6(host)) return { reason: 'an IPv6 address stands in brackets', nearest: `[${host}]` }
  if (withoutPort !== undefined) {
    const nearest = hostFault(withoutPort)?.nearest ?? withoutPort
    return { reason: 'a route sees the host without its port', nearest }
  }
  const ascii = domainToASCII(name)
  if (ascii !== '' && ascii !== name && isHostname(ascii)) {
    return { reason: 'requests carry the ASCII form', nearest: host.replace(name, () => ascii) }
  }
  return { reason: 'it is neither a host name nor "*." before one', nearest: null }
}
