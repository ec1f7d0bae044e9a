/**
 * What Cardea makes of a message that a plain parser has read, written once more as plainly as can be, so that the
 * fields of both can be compared.
 */

export type Lines = readonly (readonly [name: string, value: string])[]

export function linesOf(raw: readonly string[]): Lines {
  return Array.from({ length: raw.length / 2 }, (_, i) => [
    (raw[2 * i] ?? '').toLowerCase(),
    raw[2 * i + 1] ?? '',
  ])
}

const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
  'http2-settings',
]

const elementsOf = (values: readonly string[]) =>
  values.flatMap((value) =>
    value.split(',').map((element) => element.replace(/^[\t ]+|[\t ]+$/g, '').toLowerCase()),
  )

const valuesOf = (lines: Lines, wanted: string) =>
  lines.filter(([name]) => name === wanted).map(([, value]) => value)

/** What Connection lists, or a field used like it, in lower case. */
export function connectionOptions(lines: Lines, field = 'connection'): string[] {
  return elementsOf(valuesOf(lines, field))
}

/** `close` is an option and no field (RFC 9112, 9.6); the others are no hop's own to remove. */
const NAMES_NO_FIELD = ['close', 'host', 'content-length']

/** The lines that a gateway keeps: hop-by-hop fields and what Connection names are gone. */
export function endToEnd(lines: Lines, alsoDropped: readonly string[] = []): Lines {
  const named = connectionOptions(lines).filter((name) => !NAMES_NO_FIELD.includes(name))
  const dropped = new Set([...HOP_BY_HOP, ...alsoDropped, ...named])
  return lines.filter(([name]) => !dropped.has(name))
}

/** A request's target, and its lines with the Host that an absolute-form target sets. */
export function requestTarget(method: string, url: string, lines: Lines): { target: string; lines: Lines } {
  const parts = /^https?:\/\/([^/?]*)(.*)$/is.exec(url)
  if (parts === null) return { target: url, lines }
  const [, authority = '', rest = ''] = parts
  const target = rest === '' && method === 'OPTIONS' ? '*' : rest.startsWith('/') ? rest : `/${rest}`
  const hasHost = valuesOf(lines, 'host').length > 0
  const host: readonly [string, string] = ['host', authority]
  return { target, lines: hasHost ? lines.map((one) => (one[0] === 'host' ? host : one)) : [...lines, host] }
}

/** What the gateway writes itself. */
const FORWARDING =
  'forwarded via x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id'.split(' ')

/** RFC 7230, 4.1.2 still lists them one by one; RFC 9110, 6.5.1 says why. */
const TOO_LATE =
  `age authorization cache-control content-encoding content-range content-type cookie date expect expires
if-match if-modified-since if-none-match if-range if-unmodified-since location max-forwards pragma proxy-authenticate
proxy-authorization range retry-after set-cookie trailer vary warning www-authenticate x-cardea-generation`.split(
    /\s+/,
  )

const FRAMING = ['content-length', 'host']

const dashed = (name: string) => name.replaceAll('_', '-')

/** `head`: the lines of the message's head. With `_` for `-` names are the same to some servers (RFC 3875, 4.1.18). */
export function trailersKept(lines: Lines, head: Lines): Lines {
  const named = connectionOptions(head).map(dashed)
  const dropped = new Set([...TOO_LATE, ...HOP_BY_HOP, ...FORWARDING, ...FRAMING, ...named])
  // Whatever else claims to be of a proxy's making comes from trusted proxies' heads only.
  return lines.filter(([name]) => !dashed(name).startsWith('x-forwarded-') && !dropped.has(dashed(name)))
}
