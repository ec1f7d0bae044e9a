import { type Context, consumerOf, type FinishRecord } from '@cardea/sdk'
import type { Redaction } from './redact.ts'

/** One thing that a line can say of an exchange; null: there is none. */
export type Reader = (ctx: Context, record: FinishRecord) => string | number | boolean | null

/** A field by its name, as the config gives it. Throws an Error, for the user, when there is none. */
export function readerOf(name: string, redaction: Redaction): Reader {
  const [, side, header] = /^(request|response)_header\.([!#$%&'*+.^_`|~0-9A-Za-z-]+)$/.exec(name) ?? []
  if (header !== undefined)
    return headerReader(side === 'request' ? 'request' : 'response', header, redaction)
  const reader = Object.hasOwn(READERS, name)
    ? READERS[name as keyof typeof READERS]
    : redactedReader(name, redaction)
  if (reader !== null) return reader
  const names = [...Object.keys(READERS), 'path', 'url', 'query', 'referer'].toSorted().join(', ')
  throw new Error(
    `there is no field "${name}"; there are ${names}, request_header.NAME and response_header.NAME`,
  )
}

const READERS = {
  time: (_, record) => isoTime(record.startedAt),
  id: (_, record) => record.id,
  client_ip: (_, record) => record.clientIp,
  consumer: (ctx) => consumerOf(ctx)?.id ?? null,
  method: (_, record) => record.method,
  host: (_, record) => record.host,
  protocol: (_, record) => record.protocol,
  status: (_, record) => record.status,
  request_bytes: (_, record) => record.requestBytes,
  response_bytes: (_, record) => record.responseBytes,
  duration_ms: (_, { durations }) => rounded(durations.total),
  handle_ms: (_, { durations }) => rounded(durations.handle),
  connect_ms: (_, { durations }) => rounded(durations.connect),
  upstream_ms: (_, { durations }) => rounded(durations.upstream),
  response_ms: (_, { durations }) => rounded(durations.response),
  route: (_, record) => record.route,
  upstream: (_, record) => record.upstream,
  target: (_, record) => record.target,
  generation: (_, record) => record.generation,
  user_agent: (ctx) => ctx.request.headers.get('user-agent'),
  error: (_, record) => record.error,
  aborted: (_, record) => record.aborted,
} satisfies Record<string, Reader>

/** Those in which a client's secrets may stand. */
function redactedReader(name: string, redaction: Redaction): Reader | null {
  switch (name) {
    case 'url':
      return (ctx, record) => redaction.url(record.url, ctx)
    case 'path':
      return (_, record) => redaction.path(record.url.split('?', 1)[0] ?? '')
    case 'query':
      return (ctx, record) => {
        const url = redaction.url(record.url, ctx)
        const at = url.indexOf('?')
        return at === -1 ? null : url.slice(at + 1)
      }
    case 'referer':
      return (ctx) => {
        const referer = ctx.request.headers.get('referer')
        return referer === null ? null : redaction.url(referer, ctx)
      }
    default:
      return null
  }
}

/** Of a response: they lead on with codes and tokens. */
const ADDRESS_HEADERS: ReadonlySet<string> = new Set(['location', 'content-location'])

function headerReader(side: 'request' | 'response', header: string, redaction: Redaction): Reader {
  const name = header.toLowerCase()
  if (side === 'request' && name === 'referer') return redactedReader('referer', redaction) as Reader
  return (ctx) => {
    const value = ctx[side].headers.get(name)
    if (value === null) return null
    const text = redaction.header(name, value)
    return side === 'response' && ADDRESS_HEADERS.has(name) ? redaction.url(text, ctx) : text
  }
}

let millisecondOfIso = Number.NaN
let iso = ''

/** `2026-11-02T10:00:00.123Z`. The text of a millisecond is made once. */
function isoTime(unixMs: number): string {
  const millisecond = Math.floor(unixMs)
  if (millisecond !== millisecondOfIso) {
    millisecondOfIso = millisecond
    iso = new Date(millisecond).toISOString()
  }
  return iso
}

/** Microseconds are as fine as a log needs it. */
function rounded(durationMs: number): number {
  return Math.round(durationMs * 1000) / 1000
}
