import { type Attack, post, refused, SMUGGLED, served, shown } from './attack.ts'

/** Disagreement about where a chunk ends. The head is sound: the upstream has its start, and never the end. */

const chunked = (body: string): string => post(['Transfer-Encoding: chunked'], body)
const NEXT = 'GET /second?id0000 HTTP/1.1\r\nHost: a\r\n\r\n'
const SEEN_NEXT = 'GET /second?id0000 '

/** First lines of a body, each followed by five bytes of content and the last chunk. */
const SIZE_LINES = [
  '0x5\r\n',
  '0X5\r\n',
  'x5\r\n',
  '+5\r\n',
  '-5\r\n',
  '-0\r\n',
  ' 5\r\n',
  '\t5\r\n',
  '5 \r\n',
  '5\t\r\n',
  '5 ;a\r\n',
  '5,5\r\n',
  '5.0\r\n',
  '5h\r\n',
  '"5"\r\n',
  '\r\n',
  '\r\n5\r\n',
  ';a\r\n',
  '5\n',
  '5\r',
  '5\r\r\n',
  '5\n\r\n',
  '5\0\r\n',
  '\x005\r\n',
  '5\x0b\r\n',
  '\xef\xbc\x95\r\n',
  '100000005\r',
  'fffffffffffffffb\r\n',
  '10000000000000005\r\n',
  `${'0'.repeat(40)}5\r\n`,
  `${'f'.repeat(300)}\r\n`,
]

/** After `5;`: what some take for the line's end and others for a part of the extension. */
const EXTENSIONS = [
  '\n',
  'a\n',
  'a\rb\r\n',
  'a\nb\r\n',
  'a\0\r\n',
  '\r\n',
  ' \r\n',
  ' a\r\n',
  'a \r\n',
  'a =b\r\n',
  'a= b\r\n',
  'a=\r\n',
  '=b\r\n',
  'a=b=c\r\n',
  'a="\r\n',
  'a="b\r\n"\r\n',
  'a="b\n"\r\n',
  'a="b"c\r\n',
  'a="\\\r\n"\r\n',
  'a;;b\r\n',
  'a;\r\n',
  'a\x7f\r\n',
  'a\xa0\r\n',
  `${'a'.repeat(20_000)}\r\n`,
]

/** After a chunk of the size 5 and its content. */
const CHUNK_ENDS = ['', '\n', '\r', 'x\r\n', '\r\r\n', '\n\r\n', ' \r\n', '\0\r\n', 'XX', '\r\n\r\n']

const FRAMING_TRAILERS = [
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Host: b',
  'content-length: 0',
  'TRANSFER-ENCODING: identity',
  'Content-Length : 5',
  'X: y\nContent-Length: 5',
  'X: y\rContent-Length: 5',
  'X: y\r\n Content-Length: 5',
  ' X: y',
  'X : y',
  'X',
  ': y',
  'X: \0',
]

const refusals: Attack[] = [
  ...SIZE_LINES.map((line) =>
    refused(`size ${shown(line)}`, chunked(`${line}abcde\r\n0\r\n\r\n${SMUGGLED}`)),
  ),
  ...EXTENSIONS.map((text) =>
    refused(`extension ${shown(text)}`, chunked(`5;${text}abcde\r\n0\r\n\r\n${SMUGGLED}`)),
  ),
  ...EXTENSIONS.slice(0, 8).map((text) =>
    refused(`extension of the last chunk ${shown(text)}`, chunked(`5\r\nabcde\r\n0;${text}\r\n${SMUGGLED}`)),
  ),
  ...CHUNK_ENDS.map((end) =>
    refused(`chunk end ${shown(end)}`, chunked(`5\r\nabcde${end}0\r\n\r\n${SMUGGLED}`)),
  ),
  ...FRAMING_TRAILERS.map((line) =>
    refused(`trailer ${shown(line)}`, chunked(`5\r\nabcde\r\n0\r\n${line}\r\n\r\n${SMUGGLED}`)),
  ),
  refused('a chunk longer than its size', chunked(`3\r\nabcde\r\n0\r\n\r\n${SMUGGLED}`)),
  refused('a chunk shorter than its size', chunked(`6\r\nabcde\r\n0\r\n\r\n${SMUGGLED}`)),
  refused('a last chunk with bare LF', chunked(`5\r\nabcde\r\n0\n\n${SMUGGLED}`)),
  refused('a last chunk that ends in LF', chunked(`5\r\nabcde\r\n0\r\n\n${SMUGGLED}`)),
  refused('a last chunk that ends in CR CR LF', chunked(`5\r\nabcde\r\n0\r\n\r\r\n${SMUGGLED}`)),
  refused('no last chunk', chunked(`5\r\nabcde\r\n\r\n${SMUGGLED}`)),
  refused('a request in place of the trailers', chunked(`0\r\n${SMUGGLED}`)),
  refused(
    'endless trailers',
    chunked(`0\r\n${'X: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(90)}${'Y: '.padEnd(9_000, 'y')}\r\n\r\n`),
    431,
  ),
]

const legitimate: Attack[] = [
  served('a size in either case', chunked(`A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n${NEXT}`), [
    'POST /p?id0000 01234567890123456789',
    SEEN_NEXT,
  ]),
  served('a size with zeros', chunked(`0005\r\nabcde\r\n000\r\n\r\n${NEXT}`), [
    'POST /p?id0000 abcde',
    SEEN_NEXT,
  ]),
  served('extensions', chunked(`5;a;b=c;d="e;\\"\t"\r\nabcde\r\n0;f\r\n\r\n${NEXT}`), [
    'POST /p?id0000 abcde',
    SEEN_NEXT,
  ]),
  served(
    'a request in an extension',
    chunked(`5;a="${SMUGGLED.split('\r\n')[0]}"\r\nabcde\r\n0\r\n\r\n${NEXT}`),
    ['POST /p?id0000 abcde', SEEN_NEXT],
  ),
  served('a last chunk in the content', chunked(`5\r\n0\r\n\r\n\r\n0\r\n\r\n${NEXT}`), [
    'POST /p?id0000 0\r\n\r\n',
    SEEN_NEXT,
  ]),
  served('trailers', chunked(`0\r\nX-Sum: 1\r\nCookie: a\r\n\r\n${NEXT}`), ['POST /p?id0000 ', SEEN_NEXT]),
  { name: 'no end of the trailers', send: chunked('0\r\nX: y\r\n'), seen: [], answers: [], after: 'waits' },
  { name: 'no end of the last chunk', send: chunked('0\r\n'), seen: [], answers: [], after: 'waits' },
  {
    name: 'a size beyond the content',
    send: chunked(`fff\r\n${SMUGGLED}`),
    seen: [],
    answers: [],
    after: 'waits',
  },
  {
    name: 'a size of 2^47',
    send: chunked(`800000000000\r\n${SMUGGLED}`),
    seen: [],
    answers: [],
    after: 'waits',
  },
]

export const CHUNKS: readonly Attack[] = [...refusals, ...legitimate]
