import fc from 'fast-check'
import {
  assemble,
  chunkedFraming,
  connectionLine,
  content,
  type Framing,
  lengthFraming,
  line,
  type Pieces,
  plainLine,
} from './grammar.ts'
import { type Sent, sent } from './mutations.ts'

const status = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('200', '201', '206', '302', '404', '502') },
  { weight: 2, arbitrary: fc.constantFrom('204', '304', '205') },
  { weight: 1, arbitrary: fc.integer({ min: 200, max: 599 }).map(String) },
)
const reason = fc.constantFrom('OK', 'OK', '', 'Not Found', ' \t ', '\xff"', 'HTTP/1.1 200 OK')

const statusLine = (code: fc.Arbitrary<string>): fc.Arbitrary<Pieces> =>
  fc.tuple(code, reason, fc.nat(19)).map(([digits, phrase, how]) => {
    const version = how < 2 ? 'HTTP/1.0' : 'HTTP/1.1'
    return how === 2 ? [version, ' ', digits, '\r\n'] : [version, ' ', digits, ' ', phrase, '\r\n']
  })

const upgradeLine = line(fc.constant('Upgrade'), fc.constantFrom('websocket', 'h2c', ''))

const otherLine = fc.oneof(
  { weight: 20, arbitrary: plainLine },
  { weight: 3, arbitrary: connectionLine },
  { weight: 1, arbitrary: upgradeLine },
)

const untilClose: fc.Arbitrary<Framing> = content.map((data) => ({ line: [], body: [data] }))
const NOTHING: Framing = { line: [], body: [] }

const framing = fc.oneof(
  { weight: 1, arbitrary: untilClose },
  { weight: 2, arbitrary: lengthFraming },
  { weight: 2, arbitrary: chunkedFraming },
)

const interim = fc
  .tuple(
    statusLine(fc.constantFrom('100', '102', '103', '103', '199')),
    fc.array(otherLine, { maxLength: 2 }),
    fc.nat(9),
  )
  .map(([start, lines, order]) => assemble(start, lines, order, NOTHING))

const switching = fc
  .array(plainLine, { maxLength: 2 })
  .map(
    (lines): Pieces => [
      ...['HTTP/1.1', ' ', '101', ' ', 'Switching Protocols', '\r\n', ...lines.flat()],
      ...['Connection', ':', ' ', 'upgrade', '\r\n', 'Upgrade', ':', ' ', 'x', '\r\n', '\r\n', 'bytes'],
    ],
  )

const final = (method: string) =>
  fc
    .tuple(statusLine(status), fc.array(otherLine, { maxLength: 4 }), framing, fc.nat(9))
    .map(([start, lines, framed, order]): Pieces => {
      const withoutBody = method === 'HEAD' || start[2] === '204' || start[2] === '304'
      const chunked = framed.line[0]?.toLowerCase() === 'transfer-encoding'
      if (chunked && start[0] === 'HTTP/1.0') return assemble(start, lines, order, NOTHING)
      return assemble(start, lines, order, withoutBody ? { ...framed, body: [] } : framed)
    })

export interface SentResponses extends Sent {
  /** Of the request. */
  readonly method: string
}

const toMethod = (method: string): fc.Arbitrary<SentResponses> => {
  const last = fc.oneof({ weight: 12, arbitrary: final(method) }, { weight: 1, arbitrary: switching })
  const interims = fc.oneof(
    { weight: 2, arbitrary: fc.constant<Pieces[]>([]) },
    { weight: 1, arbitrary: fc.array(interim, { minLength: 1, maxLength: 2 }) },
  )
  return sent(fc.tuple(interims, last).map(([before, one]) => [...before, one])).map((all) => ({
    ...all,
    method,
  }))
}

/** One final response, after interim ones in a third of the cases. */
export const sentResponses = fc.oneof(
  { weight: 5, arbitrary: toMethod('GET') },
  { weight: 1, arbitrary: toMethod('HEAD') },
)
