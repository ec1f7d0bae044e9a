import type { Context } from './index.ts'

/** Why a request is refused, for programs and for people (RFC 9457). */
export interface Problem {
  /** 400 to 599. */
  readonly status: number
  /** What it is, in a word that stays: clients go by it. In capitals by custom, as the gateway's own. */
  readonly code: string
  /** One sentence. It goes to the client: say nothing that helps those who try to get in. */
  readonly detail: string
}

/** The reason phrases of RFC 9110, 15 and RFC 6585: the title of a problem without a type is that of its status. */
const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/**
 * Answers with a problem as the gateway itself does: a JSON body with title, status, code, detail and the request's id, which no
 * cache keeps. `headers` come besides. Only in `handle`; returns false, as that should then:
 *
 *     return sendProblem(ctx, { status: 403, code: 'NOT_FROM_HERE', detail: 'Requests from there are not served.' })
 */
export function sendProblem(
  ctx: Pick<Context, 'id' | 'response'>,
  { status, code, detail }: Problem,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): false {
  const title = TITLES[status] ?? (status < 500 ? 'Bad Request' : 'Internal Server Error')
  const problem = { type: 'about:blank', title, status, code, detail, id: ctx.id }
  return ctx.response.send(`${JSON.stringify(problem)}\n`, {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
  })
}
