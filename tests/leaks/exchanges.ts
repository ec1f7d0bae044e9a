import { type RawExchangeOptions, rawExchange } from '../support/raw-exchange.ts'

/** One way in which an exchange may go. */
export interface ExchangeKind {
  /** How many requests the gateway gets. */
  readonly requests: number
  readonly send: string | readonly string[]
  readonly options?: RawExchangeOptions
  /** What the client gets, in all. */
  readonly gets: RegExp
}

const CLOSE = 'Host: a\r\nConnection: close\r\n'
const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\n${CLOSE}${lines}\r\n`
const post = (path: string, lines: string, body: string): string =>
  `POST ${path} HTTP/1.1\r\n${CLOSE}${lines}\r\n${body}`
const POST_3 = 'Content-Length: 3\r\n'
const CHUNKED = 'Transfer-Encoding: chunked\r\n'

const answered = (status: number): RegExp => new RegExp(`^HTTP/1.1 ${status} .*\r\n\r\n`, 's')
const kind = (
  send: ExchangeKind['send'],
  status: number,
  more: Partial<ExchangeKind> = {},
): ExchangeKind => ({
  requests: 1,
  send,
  gets: answered(status),
  ...more,
})
/** The client goes away: by FIN as soon as everything is sent. */
const gone = (send: ExchangeKind['send']): ExchangeKind =>
  kind(send, 0, { gets: /^/, options: { halfClose: true } })

/** The same with and without a chain of plugins. */
const onBothRoutes = (path: string): ExchangeKind[] => [
  kind(get(path), 200, { gets: /^HTTP\/1.1 200/ }),
  kind(get(`/p${path}`), 200, { gets: /^HTTP\/1.1 200/ }),
]

export const KINDS: readonly ExchangeKind[] = [
  // Good ones.
  ...onBothRoutes('/x'),
  ...onBothRoutes('/interim').map((one) => ({ ...one, gets: /^HTTP\/1.1 103 .*HTTP\/1.1 200 /s })),
  ...onBothRoutes('/chunks'),
  ...onBothRoutes('/close'),
  ...onBothRoutes('/surplus'),
  kind(`HEAD /x HTTP/1.1\r\n${CLOSE}\r\n`, 200),
  kind(post('/x', POST_3, 'abc'), 200),
  kind(post('/p/x', POST_3, 'abc'), 200),
  kind([post('/x', CHUNKED, '3\r\nabc\r\n'), '0\r\nX: y\r\n\r\n'], 200),
  kind(post('/x', `${POST_3}Expect: 100-continue\r\n`, 'abc'), 200),
  kind('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(9) + get('/x'), 200, { requests: 10 }),
  kind('GET /p/1 HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(9) + get('/p/x'), 200, { requests: 10 }),
  kind(get('/respond'), 204),
  // Plugins at work.
  kind(post('/p/gather', POST_3, 'abc'), 200, { gets: /ABC$/ }),
  kind([post('/p/gather', CHUNKED, '3\r\nabc\r\n'), '0\r\n\r\n'], 200, { gets: /ABC\r\n0\r\n\r\n$|ABC$/ }),
  kind(post('/p/transform', POST_3, 'abc'), 200, { gets: /ABC/ }),
  kind(post('/p/stream', POST_3, 'abc'), 200, { gets: /abc/ }),
  kind(get('/p/answer'), 418),
  kind(get('/p/throw'), 503),
  kind(get('/p/late'), 200),
  // Tunnels.
  kind('GET /switch HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 101, {
    options: { until: (received) => received.endsWith('hello') },
  }),
  kind('GET /p/switch HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nping', 101, {
    options: { until: (received) => received.endsWith('hello') },
  }),
  // Bad clients.
  kind(get('/x', ' X: y\r\n'), 400, { requests: 0 }),
  kind(get('/x', `X: ${'y'.repeat(40_000)}\r\n`), 431, { requests: 0 }),
  kind(post('/x', CHUNKED, '3\r\nabcdef'), 400),
  kind(post('/p/gather', CHUNKED, '3\r\nabcdef'), 400),
  kind(post('/small', 'Content-Length: 9\r\n', 'abcdefghi'), 413),
  kind([post('/small', CHUNKED, '5\r\nabcde\r\n'), '5\r\nabcde\r\n0\r\n\r\n'], 413),
  kind(get('//x'), 400),
  gone('GET /x HTT'),
  gone(post('/x', 'Content-Length: 9\r\n', 'abc')),
  gone(post('/p/gather', 'Content-Length: 9\r\n', 'abc')),
  gone(post('/p/stream', 'Content-Length: 9\r\n', 'abc')),
  gone(get('/never')),
  gone(get('/p/never')),
  gone(get('/x')),
  // Bad upstreams.
  kind(get('/bad'), 502),
  kind(get('/p/bad'), 502),
  kind(get('/cut'), 200, { gets: /^(HTTP\/1.1 200 .*)?$/s }),
  kind(get('/p/cut'), 200, { gets: /^(HTTP\/1.1 200 .*)?$/s }),
  kind(post('/reset', POST_3, 'abc'), 502),
  kind(get('/nobody'), 502),
  kind(get('/p/nobody'), 502),
]

/** Ended by a deadline of the gateway's. */
export const TIMED_OUT: readonly ExchangeKind[] = [
  kind('GET /x HTT', 408),
  kind(post('/x', 'Content-Length: 9\r\n', 'abc'), 408),
  kind(post('/p/gather', CHUNKED, '3\r\nabc'), 408),
  kind(get('/never'), 504),
  kind(get('/p/never'), 504),
  kind(get('/p/stuck'), 503),
  kind('', 0, { gets: /^$/ }),
]

/** Holds the exchange to what it is to get. Resolves with the number of requests in it. */
export async function exchange(
  port: number,
  { requests, send, options, gets }: ExchangeKind,
): Promise<number> {
  const { text } = await rawExchange(port, send, options)
  if (!gets.test(text)) throw new Error(`${JSON.stringify(send)} got ${JSON.stringify(text)}, not ${gets}`)
  return requests
}
