import { ERRORS, type ErrorCode } from '../base/errors.ts'
import { FieldLines } from './fields.ts'

/** A response that the gateway or a plugin makes itself. */
export interface Answer {
  readonly status: number
  readonly fields: FieldLines
  /** Null: no content at all. */
  readonly content: Buffer | null
}

export function answerOf(
  status: number,
  headers: Readonly<Record<string, string>>,
  content: string | Uint8Array | null,
): Answer {
  const fields = new FieldLines()
  for (const [name, value] of Object.entries(headers)) fields.append(name.toLowerCase(), value)
  return { status, fields, content: content === null ? null : toBuffer(content) }
}

/** The same answer with fields of its own, for hooks to change. */
export function copyAnswer(answer: Answer): Answer {
  const fields = new FieldLines()
  fields.lines.push(...answer.fields.lines)
  return { status: answer.status, fields, content: answer.content }
}

/** The bytes as a Buffer over the same memory; text as UTF-8. */
export function toBuffer(content: string | Uint8Array): Buffer {
  if (typeof content === 'string') return Buffer.from(content, 'utf8')
  return Buffer.isBuffer(content)
    ? content
    : Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}

/**
 * The answer to a fault: a short JSON problem body (RFC 9457) with the stable code and the request id. `detail` must
 * be a sentence of ours; what an upstream or a plugin said goes to the log instead.
 */
export function problemAnswer(code: ErrorCode, detail: string | null, id: string): Answer {
  const { status, title, retry } = ERRORS[code]
  const detailed = detail === null ? {} : { detail }
  const problem = { type: 'about:blank', title, status, code, ...detailed, id }
  const fields = new FieldLines()
  fields.append('content-type', 'application/problem+json')
  fields.append('cache-control', 'no-store')
  // Whoever follows it where nothing has healed sends all over again for nothing.
  if (status === 503 && retry !== 'never') fields.append('retry-after', '1')
  return { status, fields, content: toBuffer(`${JSON.stringify(problem)}\n`) }
}
