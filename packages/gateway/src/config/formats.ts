import { isIP, isIPv4, isIPv6 } from 'node:net'
import validVersion from 'semver/functions/valid.js'
import validRange from 'semver/ranges/valid.js'
import { DURATION_FORM, parseDuration, parseSize, SIZE_FORM } from './units.ts'

/** The formats of JSON Schema that Cardea knows, for its own files and for plugins' configs. */

interface Format {
  /** What it asks for, in words. */
  readonly form: string
  readonly validate: (text: string) => boolean
}

const UNITS: Readonly<Record<string, (text: string) => number | null>> = {
  duration: parseDuration,
  bytes: parseSize,
}

/** A format that is not here makes a schema invalid. */
export const FORMATS: Readonly<Record<string, Format>> = {
  duration: { form: DURATION_FORM, validate: (text) => parseDuration(text) !== null },
  bytes: { form: SIZE_FORM, validate: (text) => parseSize(text) !== null },
  semver: { form: 'a version such as "1.0.0" (semver.org)', validate: (text) => validVersion(text) !== null },
  'semver-range': { form: 'a version range such as "^1.0.0"', validate: (text) => validRange(text) !== null },
  uri: { form: 'an absolute URL', validate: (text) => URL.canParse(text) },
  ipv4: { form: 'an IPv4 address', validate: isIPv4 },
  ipv6: { form: 'an IPv6 address', validate: isIPv6 },
  hostname: { form: 'a host name', validate: isHostname },
  uuid: {
    form: 'a UUID',
    validate: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
  },
  'date-time': {
    form: 'a date and time such as "2026-01-31T12:00:00Z" (RFC 3339)',
    validate: isDateTime,
  },
  regex: { form: 'a regular expression', validate: isRegex },
}

/** A host name by RFC 1123, or an underscore where DNS allows one; no port, no trailing dot. */
export function isHostname(text: string): boolean {
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i
  return text.length <= 253 && text.split('.').every((part) => label.test(part))
}

/** An address, or an address and a prefix length that its family has. */
export function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  if (prefix === undefined) return true
  return /^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)
}

/** To Date.parse 30 February is 2 March: a key would let in for two days longer than somebody has thought. */
function isDateTime(text: string): boolean {
  const [, day] = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i.exec(text) ?? []
  if (day === undefined || Number.isNaN(Date.parse(text))) return false
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)
}

function isRegex(text: string): boolean {
  try {
    new RegExp(text, 'u')
    return true
  } catch {
    return false
  }
}

/**
 * Whether a text in a format with a unit is at least (`sign` 1) or at most (-1) `bound`. True of what is not in that
 * format: there is an error of the format already.
 */
export function isWithin(text: string, bound: string, format: unknown, sign: number): boolean {
  const parse = UNITS[String(format)]
  const [value, limit] = [parse?.(text), parse?.(bound)]
  return typeof value !== 'number' || typeof limit !== 'number' || (value - limit) * sign >= 0
}
