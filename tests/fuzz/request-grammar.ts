import { METHODS } from 'node:http'
import fc from 'fast-check'
import {
  assemble,
  chunkedFraming,
  connectionLine,
  type Framing,
  lengthFraming,
  line,
  mostly,
  type Pieces,
  plainLine,
  token,
} from './grammar.ts'
import { sent } from './mutations.ts'

const OTHER_METHODS = METHODS.filter((method) => method !== 'CONNECT')

const method = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS') },
  { weight: 3, arbitrary: fc.constantFrom(...OTHER_METHODS) },
)

const segment = fc.constantFrom(
  'a',
  'b',
  '.',
  '..',
  '%41',
  '%2f',
  "~!$&'()*+,;=:@-._",
  '%',
  '',
  '{x}',
  '\\',
  '|',
  '"<>^`',
)
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`)
const query = fc.constantFrom('', '', '', '?', '?a=b', '?a=/?b&c', '?[]{}|')
const authority = fc.constantFrom(
  'b',
  'B.example',
  'b:80',
  '[::1]',
  '[2001:db8::1]:8080',
  'b%41',
  '127.0.0.1',
  'b:',
)

const target = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(path, query).map((parts) => parts.join('')) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('http://', 'https://', 'HTTP://'),
        authority,
        fc.oneof(path, fc.constant('')),
        query,
      )
      .map((parts) => parts.join('')),
  },
)

const startLine = fc.tuple(mostly(['/'], target), method, fc.nat(20)).chain(([simple, verb, how]) =>
  fc
    .oneof({ weight: 2, arbitrary: target }, { weight: 1, arbitrary: fc.constant(simple) })
    .map((where): Pieces => {
      // "*" is for OPTIONS alone.
      const asked = verb === 'OPTIONS' && how < 5 ? '*' : where
      return [how === 20 ? '\r\n' : '', verb, ' ', asked, ' ', how === 0 ? 'HTTP/1.0' : 'HTTP/1.1', '\r\n']
    }),
)

const host = line(
  fc.constant('Host'),
  fc.constantFrom('a', 'A.example', 'a:80', '[::1]', '[::1]:80', "a_!$&'()*+;=", 'a:'),
)
const upgradeLine = line(fc.constant('Upgrade'), fc.constantFrom('websocket', 'h2c', 'x/1', 'x, y', ''))
const expectLine = line(fc.constant('Expect'), fc.constantFrom('100-continue', '100-Continue', 'x'))

const otherLine = fc.oneof(
  { weight: 20, arbitrary: plainLine },
  { weight: 3, arbitrary: connectionLine },
  { weight: 1, arbitrary: upgradeLine },
  { weight: 1, arbitrary: expectLine },
  { weight: 1, arbitrary: line(token, token) },
)

const framing: fc.Arbitrary<Framing> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Framing>({ line: [], body: [] }) },
  { weight: 1, arbitrary: lengthFraming },
  { weight: 1, arbitrary: chunkedFraming },
)

const message = fc
  .tuple(startLine, host, fc.array(otherLine, { maxLength: 4 }), framing, fc.nat(9))
  .map(([start, hostLine, lines, framed, order]): Pieces => {
    const old = start.includes('HTTP/1.0') && framed.line[0]?.toLowerCase() === 'transfer-encoding'
    const used: Framing = old ? { line: [], body: [] } : framed
    return assemble(start, lines.toSpliced(order % (lines.length + 1), 0, hostLine), order, used)
  })

/** One request in most cases, or up to four pipelined ones. */
export const sentRequests = sent(
  fc.oneof(
    { weight: 2, arbitrary: message.map((one) => [one]) },
    { weight: 1, arbitrary: fc.array(message, { minLength: 2, maxLength: 4 }) },
  ),
)
