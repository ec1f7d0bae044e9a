/**
 * Field names that come up often, found by their bytes: the name's string is then shared instead of made anew, and
 * comparing it with a literal is a comparison of pointers.
 */

/** What the parsers do with a field besides keeping it. */
export const FieldRole = {
  none: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  /** Hop-by-hop, of no use to us: dropped (RFC 9110, 7.6.1). */
  dropped: 6,
  te: 7,
  expect: 8,
  /** The gateway writes its own: X-Forwarded-*, Forwarded, Via, X-Request-Id. */
  forwarding: 9,
  /** The name of a field with a role, `_` for some `-`. */
  alias: 10,
} as const
export type FieldRole = (typeof FieldRole)[keyof typeof FieldRole]

export interface KnownName {
  readonly name: string
  readonly role: FieldRole
}

const ROLES: Readonly<Record<string, FieldRole>> = {
  host: FieldRole.host,
  'content-length': FieldRole.contentLength,
  'transfer-encoding': FieldRole.transferEncoding,
  connection: FieldRole.connection,
  upgrade: FieldRole.upgrade,
  'keep-alive': FieldRole.dropped,
  'proxy-connection': FieldRole.dropped,
  'http2-settings': FieldRole.dropped,
  te: FieldRole.te,
  expect: FieldRole.expect,
  'x-forwarded-for': FieldRole.forwarding,
  'x-forwarded-proto': FieldRole.forwarding,
  'x-forwarded-host': FieldRole.forwarding,
  'x-forwarded-port': FieldRole.forwarding,
  forwarded: FieldRole.forwarding,
  via: FieldRole.forwarding,
  'x-request-id': FieldRole.forwarding,
}

const COMMON =
  `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc authorization
cache-control content-disposition content-encoding content-language content-location content-range
content-security-policy content-type cookie date dnt etag expires if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified link location origin pragma priority proxy-authenticate proxy-authorization range
referer referrer-policy retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept
sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing set-cookie
strict-transport-security traceparent tracestate trailer upgrade-insecure-requests user-agent vary warning
www-authenticate x-api-key x-content-type-options x-frame-options x-powered-by x-real-ip x-requested-with
x-xss-protection`.split(/\s+/)

interface Entry extends KnownName {
  readonly bytes: Uint8Array
}

const TABLE_SIZE = 1024
const table: (Entry[] | undefined)[] = new Array(TABLE_SIZE).fill(undefined)
const byName = new Map<string, KnownName>()

/** Length, first, middle and last byte, folded to lower case: spreads the names above over the table. */
function slotOf(length: number, first: number, middle: number, last: number): number {
  return (length * 37 + (first | 0x20) * 11 + (middle | 0x20) * 5 + (last | 0x20)) & (TABLE_SIZE - 1)
}

for (const name of new Set([...Object.keys(ROLES), ...COMMON])) {
  const bytes = Buffer.from(name, 'latin1')
  const entry: Entry = { name, role: ROLES[name] ?? FieldRole.none, bytes }
  const slot = slotOf(
    bytes.length,
    bytes[0] as number,
    bytes[bytes.length >> 1] as number,
    bytes[bytes.length - 1] as number,
  )
  const entries = table[slot]
  if (entries === undefined) table[slot] = [entry]
  else entries.push(entry)
  byName.set(name, entry)
}

/** The known name at these bytes, in any case, or null. The bytes must be token characters. */
export function knownNameAt(buffer: Uint8Array, start: number, end: number): KnownName | null {
  const length = end - start
  const entries =
    table[
      slotOf(
        length,
        buffer[start] as number,
        buffer[start + (length >> 1)] as number,
        buffer[end - 1] as number,
      )
    ]
  if (entries === undefined) return null
  next: for (const entry of entries) {
    const bytes = entry.bytes
    if (bytes.length !== length) continue
    // Among token characters only letters differ from a known name's byte in bit 0x20 alone.
    for (let i = 0; i < length; i++) {
      if (((buffer[start + i] as number) | 0x20) !== ((bytes[i] as number) | 0x20)) continue next
    }
    return entry
  }
  return null
}

/** What the gateway does with a field, by its lower-case name. */
export function roleOf(name: string): FieldRole {
  return byName.get(name)?.role ?? FieldRole.none
}

/**
 * Whether the name (lower case) is that of a field with a role but for `_` in place of `-`. Servers of the CGI kind (WSGI,
 * Rack, PHP) see one variable for both, and so another framing or another client than we do.
 */
export function isAlias(name: string): boolean {
  if (!name.includes('_')) return false
  const dashed = withDashes(name)
  return roleOf(dashed) !== FieldRole.none || isForwardedExtension(dashed)
}

/** The name with `-` for every `_`: equal for names that such servers see no difference between. */
export function withDashes(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name
}

/** Whether the name (lower case) is one of the X-Forwarded-* that proxies add besides those that the gateway writes. */
export function isForwardedExtension(name: string): boolean {
  return name.startsWith('x-forwarded-')
}
