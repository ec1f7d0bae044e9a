import { type FieldLines, flatText } from '../fields.ts'

/** Heads as text. What leaves is written anew from what was parsed, never copied raw. */

// An import would also load what stands behind each export: the WebSocket and fetch of undici, HTTP/2.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

const STATUS_LINES: readonly string[] = Array.from({ length: 600 }, (_, status) =>
  flatText(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`),
)

export function statusLine(status: number): string {
  return STATUS_LINES[status] ?? `HTTP/1.1 ${status} \r\n`
}

/**
 * The head of a final response, or of a 101, as a client gets it (RFC 9112, 4). `contentLength` -1: unknown. Connection is
 * one line: there are clients that read the first only.
 */
export function responseText(
  status: number,
  fields: FieldLines,
  contentLength: number,
  chunked: boolean,
  keepAlive: boolean,
  http10: boolean,
): string {
  let text = statusLine(status) + fields.text
  if (chunked) text += 'transfer-encoding: chunked\r\n'
  else if (contentLength !== -1 && status !== 204) text += `content-length: ${contentLength}\r\n`
  if (!fields.has('date')) text += dateLine()
  if (status === 101) return `${text}\r\n`
  if (status === 426 && fields.has('upgrade')) {
    text += keepAlive ? 'connection: upgrade\r\n' : 'connection: close, upgrade\r\n'
  } else if (!keepAlive) text += 'connection: close\r\n'
  else if (http10) text += 'connection: keep-alive\r\n'
  return `${text}\r\n`
}

/** The end of a chunked body (RFC 9112, 7.1). */
export function lastChunkText(trailers: FieldLines | null): string {
  return trailers === null ? '0\r\n\r\n' : `0\r\n${trailers.text}\r\n`
}

let dateSecond = -1
let dateText = ''

/** `date: …` CRLF for now (RFC 9110, 6.6.1), made once a second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = flatText(`date: ${new Date(second * 1000).toUTCString()}\r\n`)
  }
  return dateText
}
