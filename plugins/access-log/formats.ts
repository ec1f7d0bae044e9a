import { type Context, consumerOf, type FinishRecord } from '@cardea/sdk'
import { type Reader, readerOf } from './fields.ts'
import type { Redaction } from './redact.ts'
import { escaped } from './text.ts'

/** The line of one exchange, without its end. `dropped`: lines that were lost since the last one that was written. */
export type Format = (ctx: Context, record: FinishRecord, dropped: number) => string

/** The Common Log Format of NCSA httpd; the user is the consumer. */
export function commonFormat(redaction: Redaction): Format {
  return (ctx, record) => {
    const user = consumerOf(ctx)?.id ?? '-'
    // A reader splits at spaces.
    const name = escaped(user).replaceAll(' ', '\\x20')
    const bytes = record.responseBytes === 0 ? '-' : record.responseBytes
    const request = `${escaped(record.method)} ${escaped(redaction.url(record.url, ctx))} ${record.protocol}`
    return `${record.clientIp} - ${name} [${commonTime(record.startedAt)}] "${request}" ${record.status} ${bytes}`
  }
}

/** As common, with Referer and User-Agent. */
export function combinedFormat(redaction: Redaction): Format {
  const common = commonFormat(redaction)
  const referer = readerOf('referer', redaction)
  const agent = readerOf('user_agent', redaction)
  return (ctx, record, dropped) =>
    `${common(ctx, record, dropped)} "${textOf(referer(ctx, record))}" "${textOf(agent(ctx, record))}"`
}

/** Text with fields in braces. Throws an Error, for the user, on braces that do not fit. */
export function templateFormat(template: string, redaction: Redaction): Format {
  const parts = partsOf(template, redaction)
  if (!parts.some((part) => typeof part !== 'string')) {
    throw new Error('"template" names no field, so that all lines were the same: write {client_ip}, say')
  }
  return (ctx, record) => {
    let text = ''
    for (const part of parts) text += typeof part === 'string' ? part : textOf(part(ctx, record))
    return text
  }
}

function partsOf(template: string, redaction: Redaction): (string | Reader)[] {
  const parts: (string | Reader)[] = []
  for (const [piece] of template.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (piece === '{{' || piece === '}}') parts.push(piece.charAt(0))
    else if (piece === '{' || piece === '}') {
      throw new Error(
        `"template" has a "${piece}" without its other half; as text it is written "${piece}${piece}"`,
      )
    } else if (piece.startsWith('{')) parts.push(readerOf(piece.slice(1, -1), redaction))
    else parts.push(piece)
  }
  return parts
}

function textOf(value: ReturnType<Reader>): string {
  if (value === null || value === '') return '-'
  return typeof value === 'string' ? escaped(value) : String(value)
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
let secondOfCommon = Number.NaN
let commonSecond = ''

/** `02/Nov/2026:10:00:00 +0000`, in UTC: lines of several nodes are in one order. */
function commonTime(unixMs: number): string {
  const second = Math.floor(unixMs / 1000)
  if (second === secondOfCommon) return commonSecond
  const date = new Date(second * 1000)
  const [day, time] = [String(date.getUTCDate()).padStart(2, '0'), date.toISOString().slice(11, 19)]
  secondOfCommon = second
  commonSecond = `${day}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}:${time} +0000`
  return commonSecond
}
