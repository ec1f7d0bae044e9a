import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'
import { GatewayError } from '../../base/errors.ts'
import { HOST_NAME_CHARS_MAX, isNumberLabel } from '../../base/host-names.ts'
import { foldReservedEscapes, normalizePath, PathFindings } from './path.ts'

/** One entry of a route's `path:`, parsed. */
export interface PathPattern {
  /** As configured. */
  readonly text: string
  /** What stands between the slashes, in the folded form; null for a `:param` segment. Without the final `*`. */
  readonly segments: readonly (string | null)[]
  /** Names of the `:param` segments, in order. */
  readonly paramNames: readonly string[]
  /** Their positions among the segments. */
  readonly paramSegments: readonly number[]
  /** Ends with `/*`. */
  readonly prefix: boolean
  /** Bits of the oddities in the literal text. */
  readonly oddities: number
}

/** One entry of a route's `host:`, parsed. */
export interface HostPattern {
  /** Lower case; `.example.com` for `*.example.com`; '' for every host. */
  readonly name: string
  readonly wildcard: boolean
  /** Digits, or '' when the pattern names no port: then every port matches. */
  readonly port: string
}

/** Any identifier but the one that would not become a property of `params`. */
const PARAM_NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]*$/
const HOST_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/
const PORT = /^[1-9][0-9]{0,4}$/
/** Eight groups, the last two perhaps as an IPv4 address, in brackets. */
const IPV6_HOST_CHARS_MAX = 47

function invalid(message: string): GatewayError {
  return new GatewayError('CONFIG_INVALID', message)
}

/**
 * Parses an exact path, a `/prefix/*`, or one with `:param` segments. Literal parts are normalised as requests are.
 * Throws `CONFIG_INVALID` with a sentence that names the pattern.
 */
export function parsePathPattern(text: string): PathPattern {
  const findings = new PathFindings()
  const encoded = encodeNonAscii(text)
  const path = normalizePath(encoded, findings)
  if (path === '') throw invalid(`Path "${text}" cannot match any request: ${findings.fault}`)
  const parts = path.slice(1).split('/')
  const keptSegments = parts.length === encoded.slice(1).split('/').length
  if (!keptSegments || path.endsWith('/') !== encoded.endsWith('/')) {
    throw invalid(`Path "${text}" has dot segments, which requests lose before routing; write "${path}".`)
  }
  const prefix = parts.at(-1) === '*'
  if (prefix) parts.pop()
  const segments: (string | null)[] = []
  const paramNames: string[] = []
  const paramSegments: number[] = []
  for (const part of parts) {
    if (part.includes('*')) {
      throw invalid(
        `Path "${text}" has a "*" that is not its last segment; write "%2A" for the character itself.`,
      )
    }
    if (part.startsWith(':')) {
      paramNames.push(parseParamName(part.slice(1), text, paramNames))
      paramSegments.push(segments.length)
      segments.push(null)
    } else {
      segments.push(foldReservedEscapes(part))
    }
  }
  return { text, segments, paramNames, paramSegments, prefix, oddities: findings.oddities }
}

function parseParamName(name: string, text: string, taken: readonly string[]): string {
  if (!PARAM_NAME.test(name)) {
    throw invalid(
      `Path "${text}" has the parameter ":${name}"; a name has letters, digits and "_", and starts with no digit. Write "%3A" for a segment that starts with a colon.`,
    )
  }
  if (taken.includes(name))
    throw invalid(`Path "${text}" has the parameter ":${name}" twice; give each its own name.`)
  return name
}

/** Config files may say `/café`; requests say `/caf%C3%A9`. Throws `CONFIG_INVALID` on lone surrogates. */
export function encodeNonAscii(text: string): string {
  try {
    return text.replace(/[^\0-\x7f]+/gu, encodeURIComponent)
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `Path "${text}" is not valid Unicode.`, { cause })
  }
}

/**
 * Parses `example.com`, `*.example.com`, `[::1]`, `*`, each with or without `:port`.
 * Throws `CONFIG_INVALID` with a sentence that names the pattern.
 */
export function parseHostPattern(text: string): HostPattern {
  const colon = portColon(text)
  const port = colon === -1 ? '' : text.slice(colon + 1)
  if (colon !== -1 && (!PORT.test(port) || Number(port) > 65_535)) {
    throw invalid(`Host "${text}" has the port "${port}"; it must be a number from 1 to 65535.`)
  }
  const host = colon === -1 ? text : text.slice(0, colon)
  if (host === '*') return { name: '', wildcard: false, port }
  if (host.startsWith('[')) return { name: parseBracketed(host, text), wildcard: false, port }
  const wildcard = host.startsWith('*.')
  const bare = toAscii(wildcard ? host.slice(2) : host)
  const name = bare.endsWith('.') ? bare.slice(0, -1) : bare
  if (!isHostName(wildcard ? `x.${name}` : name)) {
    throw invalid(
      `Host "${text}" is neither a host name, "*." and a host name, nor an IPv4 address, nor an IPv6 address in brackets.`,
    )
  }
  return { name: wildcard ? `.${name}` : name, wildcard, port }
}

/** As it may stand in a request: what ends in a number is an IPv4 address in its one spelling. */
function isHostName(name: string): boolean {
  if (name.length > HOST_NAME_CHARS_MAX || !HOST_NAME.test(name)) return false
  return !isNumberLabel(name.slice(name.lastIndexOf('.') + 1)) || isIPv4(name)
}

function toAscii(host: string): string {
  return /^[\0-\x7f]*$/.test(host) ? host.toLowerCase() : domainToASCII(host)
}

function parseBracketed(host: string, text: string): string {
  const name = canonicalIpv6Host(host.toLowerCase())
  if (name === '') throw invalid(`Host "${text}" is not an IPv6 address in brackets.`)
  return name
}

/** `[2001:db8::1]` in the form of RFC 5952, so that every spelling of one address meets; '' if it is not one. */
export function canonicalIpv6Host(host: string): string {
  if (host.length > IPV6_HOST_CHARS_MAX || !host.endsWith(']')) return ''
  const url = URL.parse(`http://${host}/`)
  // Anything but an address in the text (user, port, path) would show up beside the host name.
  return url?.hostname.startsWith('[') && url.href === `http://${url.hostname}/` ? url.hostname : ''
}

/** The index of the colon before the port, -1 if there is none. Colons within brackets belong to the address. */
export function portColon(host: string): number {
  const colon = host.lastIndexOf(':')
  return colon === -1 || host.indexOf(']', colon) !== -1 ? -1 : colon
}

/** What wildcards that cover the name end in, the longest first. A label before it is required. */
export function suffixesOf(name: string): string[] {
  const suffixes: string[] = []
  for (let dot = name.indexOf('.', 1); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    suffixes.push(name.slice(dot))
  }
  return suffixes
}
