/** What the corpus is made of: requests, what the upstream answers to them, and what came of it. */

export interface CorpusRequest {
  /** GET unless said. */
  readonly method?: string
  /** Path and query. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Requests to routes of their own, sent one after another. */
export interface CorpusGroup {
  readonly routes: readonly Readonly<Record<string, unknown>>[]
  readonly requests: readonly CorpusRequest[]
}

export interface CorpusAnswer {
  readonly status: number
  /** Every field line in lower case, sorted. */
  readonly fields: readonly string[]
  readonly body: string
}

/** A request as the upstream has it. */
export interface UpstreamSaw {
  readonly method: string
  readonly url: string
  readonly headers: Iterable<readonly [name: string, value: string]>
  readonly body: string
}

export interface UpstreamSays {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** What the upstream answers depends on nothing but the request. By default it says what it was asked. */
export function upstreamAnswer(saw: UpstreamSaw): UpstreamSays {
  const [, kind = '', argument = ''] = /\/upstream-(status|own)\/([\w-]+)/.exec(saw.url) ?? []
  if (kind === 'status')
    return { status: Number(argument), headers: [], body: argument === '204' ? '' : 'as asked' }
  if (kind === 'own') return { status: 200, headers: OWN_FIELDS[argument] ?? [], body: `own ${argument}` }
  const { method, url, body } = saw
  const headers = [...saw.headers].filter(([name]) => !FRAMING.has(name)).sort()
  // Its length is compared, too.
  const echo = withoutChance(JSON.stringify({ method, url, headers, body }))
  return { status: 200, headers: [['content-type', 'application/json']], body: echo }
}

const OWN_FIELDS: Readonly<Record<string, [string, string][]>> = {
  cors: [
    ['access-control-allow-origin', '*'],
    ['access-control-allow-credentials', 'true'],
    ['access-control-expose-headers', 'x-secret'],
  ],
  vary: [['vary', 'Accept-Encoding']],
  varies: [
    ['vary', 'Accept'],
    ['vary', 'Origin'],
  ],
  cookies: [
    ['set-cookie', 'a=1; Path=/'],
    ['set-cookie', 'b=2; HttpOnly'],
  ],
  latin: [['x-name', 'caf\u00e9']],
}

/** Of one connection, and not of the exchange; Date is what the codec adds where nobody says it. */
const FRAMING = new Set(['connection', 'keep-alive', 'date'])

/** Without what differs from one run to the next: ids, times, ports. */
export function comparable(answer: CorpusAnswer): CorpusAnswer {
  const body = withoutChance(answer.body)
  const fields = answer.fields.filter((line) => !FRAMING.has(line.split(':', 1)[0] ?? '')).map(withoutChance)
  // An id has another length in every gateway, and so has the body that it is in.
  const isOfChance = (line: string): boolean => body !== answer.body && line.startsWith('content-length:')
  return { status: answer.status, fields: fields.filter((line) => !isOfChance(line)), body }
}

const CHANCE: [what: RegExp, instead: string][] = [
  [/("request_?id":\s*")[^"]*"/gi, '$1ID"'],
  [/(\["x-request-id",")[^"]*"/g, '$1ID"'],
  [/(\["x-forwarded-port",")[^"]*"/g, '$1PORT"'],
  [/("time":")[^"]*"/g, '$1TIME"'],
  [/("id":")[^"]*"/g, '$1ID"'],
  [/("\w+_ms":)[\d.]+/g, '$1MS'],
  [/("target":"http:\/\/)[^"]*"/g, '$1TARGET"'],
  [/\[\d\d\/[A-Z][a-z]{2}\/[^\]]*\]/g, '[TIME]'],
  // In the gateway's own bodies stands an id, which has another length in every gateway.
  [/("status":[45]\d\d,.*?"response_bytes":)\d+/g, '$1BYTES'],
  [/(" [45]\d\d )\d+/g, '$1BYTES'],
  // A window ends when it ends: one run is faster than the other.
  [/^(retry-after: )\d+$/g, '$1SECONDS'],
  [/(;t=)\d+/g, '$1SECONDS'],
]

export function withoutChance(text: string): string {
  return CHANCE.reduce((before, [what, instead]) => before.replaceAll(what, instead), text)
}
