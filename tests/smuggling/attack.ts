import type { StrictRequest } from '../support/strict-http.ts'

/** What a client sends over one connection, and all that may come of it. */
export interface Attack {
  readonly name: string
  /** One character per byte. Each `id0000` becomes the number of the exchange, of the same length. */
  readonly send: string
  /** `METHOD target body` of every request that the upstream gets whole. */
  readonly seen: readonly string[]
  /** Status codes of all answers. */
  readonly answers: readonly number[]
  /** The gateway closes the connection; it serves another request on it; or it waits for more of this one. */
  readonly after: 'closed' | 'open' | 'waits'
  /** Further demands on what the upstream saw. */
  readonly check?: (request: StrictRequest) => void
}

/** What must never become a request of its own. */
export const SMUGGLED = 'GET /smuggled?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'

/** A request with these field lines after Host, as they are. */
export function post(
  fieldLines: readonly string[],
  body = '',
  startLine = 'POST /p?id0000 HTTP/1.1',
): string {
  return [startLine, 'Host: a', ...fieldLines, '', body].join('\r\n')
}

export const get = (fieldLines: readonly string[], after = ''): string =>
  post(fieldLines, after, 'GET /p?id0000 HTTP/1.1')

/** The upstream gets nothing whole; the client gets one answer, and the connection is closed. */
export function refused(name: string, send: string, status = 400): Attack {
  return { name, send, seen: [], answers: [status], after: 'closed' }
}

/** The upstream gets exactly these requests, and each is answered 200. */
export function served(name: string, send: string, seen: readonly string[], check?: Attack['check']): Attack {
  const answers = seen.map(() => 200)
  return { name, send, seen, answers, after: 'open', ...(check === undefined ? {} : { check }) }
}

export const shown = (text: string): string => {
  const quoted = JSON.stringify(text)
  return quoted.length > 60 ? `${quoted.slice(0, 57)}…` : quoted
}
