import fc from 'fast-check'

/**
 * What requests and responses have in common, as pieces of latin1 text: mutations remove, repeat and replace whole
 * pieces, which finds more than flipping bytes does.
 */
export type Pieces = readonly string[]

const chars = (...ranges: (string | [from: number, to: number])[]): string[] =>
  ranges.flatMap((range) =>
    typeof range === 'string'
      ? [...range]
      : Array.from({ length: range[1] - range[0] + 1 }, (_, i) => String.fromCharCode(range[0] + i)),
  )

const TOKEN_CHARS = chars("!#$%&'*+-.^_`|~", [0x30, 0x39], [0x41, 0x5a], [0x61, 0x7a])
const VALUE_CHARS = chars([0x21, 0x7e], '\x80\xa0\xc0\xff')

const text = (characters: readonly string[], minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength, maxLength })

export const token = text(TOKEN_CHARS, 1, 6)
const value = fc.oneof(
  { weight: 3, arbitrary: text(VALUE_CHARS, 0, 8) },
  {
    weight: 1,
    arbitrary: fc.tuple(text(VALUE_CHARS, 1, 4), text(VALUE_CHARS, 1, 4)).map((two) => two.join(' \t ')),
  },
)
export const content = text(chars('ab0;:,"\\\r\n \t\0\xff'), 0, 12)
const whiteSpace = fc.constantFrom('', ' ', ' ', ' ', '\t', ' \t ')

/** One of the words, or rarely one of the others. */
export function mostly(words: readonly string[], others: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...words) }, { weight: 1, arbitrary: others })
}

/** The name in lower case, in upper case, or as written. */
export function inAnyCase(name: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(name, fc.nat(5))
    .map(([written, how]) =>
      how === 0 ? written.toUpperCase() : how === 1 ? written.toLowerCase() : written,
    )
}

/** One field line. */
export function line(name: fc.Arbitrary<string>, given: fc.Arbitrary<string>): fc.Arbitrary<Pieces> {
  return fc
    .tuple(inAnyCase(name), whiteSpace, given, whiteSpace)
    .map(([written, before, text, after]) => [written, ':', before, text, after, '\r\n'])
}

/** Any line that says nothing of the framing. */
export const plainLine = line(mostly(PLAIN_NAMES(), token), value)

function PLAIN_NAMES(): string[] {
  return [
    ...[
      'Accept',
      'Cookie',
      'Set-Cookie',
      'Content-Type',
      'User-Agent',
      'Date',
      'Via',
      'X-Forwarded-For',
      'X-A',
      'X-B',
    ],
    ...[
      'Forwarded',
      'Keep-Alive',
      'Proxy-Connection',
      'HTTP2-Settings',
      'TE',
      'ETag',
      'Range',
      'Content-Encoding',
    ],
    ...[
      'Authorization',
      'Trailer',
      'X-Request-Id',
      'Location',
      'X-Content-Length',
      'Content-Lengt',
      'Hos',
      'Upgrade-',
    ],
  ]
}

export const connectionLine = line(
  mostly(['Connection'], fc.constant('Proxy-Connection')),
  fc.constantFrom(
    ...[
      'keep-alive',
      'Keep-Alive',
      'close',
      'CLOSE',
      'x-a',
      'X-A, x-b',
      'close, x-a',
      'keep-alive ,close',
      '',
    ],
    ...[
      ',keep-alive,',
      'te',
      'content-length',
      'host',
      'close\xa0',
      'keep-alive\tx',
      'upgrade',
      'cookie,te',
      '"close"',
    ],
  ),
)

const extensionValue = fc.oneof(
  fc.constant(''),
  token.map((written) => `=${written}`),
  fc.constantFrom('=""', '="a b"', '="\t\\"\\\\"', '=";\xff"'),
)
const extension = fc.tuple(token, extensionValue).map(([name, given]) => [';', name, given])
const extensions = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Pieces>([]) },
  { weight: 1, arbitrary: fc.array(extension, { minLength: 1, maxLength: 2 }).map((list) => list.flat()) },
)

const size = (length: number, how: number) => {
  const digits = length.toString(16)
  return how === 0 ? digits.toUpperCase() : how === 1 ? `0${digits}` : digits
}

const chunk = fc
  .tuple(content, fc.nat(5), extensions)
  .map(
    ([data, how, said]): Pieces =>
      data === '' ? [] : [size(data.length, how), ...said, '\r\n', data, '\r\n'],
  )

export const chunkedBody: fc.Arbitrary<Pieces> = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    fc.constantFrom('0', '0', '000'),
    extensions,
    fc.oneof(
      { weight: 3, arbitrary: fc.constant<Pieces[]>([]) },
      { weight: 1, arbitrary: fc.array(plainLine, { maxLength: 2 }) },
    ),
  )
  .map(([chunks, zero, said, trailers]) => [
    ...chunks.flat(),
    zero,
    ...said,
    '\r\n',
    ...trailers.flat(),
    '\r\n',
  ])

/** How a body is framed: the field line, and the body. */
export interface Framing {
  readonly line: Pieces
  readonly body: Pieces
}

const LENGTH_NAME = fc.constant('Content-Length')
const CODING_NAME = fc.constant('Transfer-Encoding')

export const lengthFraming: fc.Arbitrary<Framing> = fc.tuple(content, fc.nat(4)).chain(([data, how]) =>
  line(LENGTH_NAME, fc.constant(how === 0 ? `0${data.length}` : String(data.length))).map((written) => ({
    line: written,
    body: [data],
  })),
)

export const chunkedFraming: fc.Arbitrary<Framing> = fc
  .tuple(line(CODING_NAME, fc.constantFrom('chunked', 'chunked', 'Chunked')), chunkedBody)
  .map(([written, body]) => ({ line: written, body }))

/** A head from its lines in any order, and its body. */
export function assemble(
  startLine: Pieces,
  lines: readonly Pieces[],
  order: number,
  framing: Framing,
): Pieces {
  const ordered =
    framing.line.length === 0 ? lines : lines.toSpliced(order % (lines.length + 1), 0, framing.line)
  return [...startLine, ...ordered.flat(), '\r\n', ...framing.body]
}
