import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AMBIGUOUS, type CredentialSource, credentialReader } from './credentials.ts'
import { type TestRequestInit, testGateway } from './testing/index.ts'

interface Taken {
  readonly found: string | null | typeof AMBIGUOUS
  readonly url: string
  readonly headers: Headers
}

/** What a reader of `sources` finds in a request, and what the upstream gets of it afterwards. */
async function take(sources: readonly CredentialSource[], init: TestRequestInit, url = '/'): Promise<Taken> {
  const reader = credentialReader(sources)
  let found: Taken['found'] = null
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'reader',
          handle({ request }) {
            found = reader.read(request)
            reader.remove(request)
            return true
          },
        }),
      },
    ],
  })
  await gateway.fetch(url, init)
  const seen = gateway.upstreamRequests[0]
  assert.ok(seen !== undefined, gateway.logs.map(({ message }) => message).join('\n'))
  return { found, url: seen.url, headers: new Headers([...seen.headers]) }
}

const KEY: CredentialSource = { header: 'X-API-Key' }
const BEARER: CredentialSource = { header: 'Authorization', scheme: 'Bearer' }
const QUERY: CredentialSource = { query: 'api_key' }
const COOKIE: CredentialSource = { cookie: 'key' }

const FOUND: [what: string, CredentialSource[], string, TestRequestInit['headers'], unknown][] = [
  ['a field', [KEY], '/', { 'x-api-key': 'a' }, 'a'],
  ['no field', [KEY], '/', {}, null],
  ['an empty field', [KEY], '/', { 'x-api-key': '' }, ''],
  [
    'two lines of a field',
    [KEY],
    '/',
    [
      ['x-api-key', 'a'],
      ['X-Api-Key', 'b'],
    ],
    AMBIGUOUS,
  ],
  [
    'two equal lines of a field',
    [KEY],
    '/',
    [
      ['x-api-key', 'a'],
      ['x-api-key', 'a'],
    ],
    AMBIGUOUS,
  ],
  ['a list in a field', [KEY], '/', { 'x-api-key': 'a,b' }, AMBIGUOUS],
  ['a scheme', [BEARER], '/', { authorization: 'Bearer a.b.c' }, 'a.b.c'],
  ['a scheme in other case', [BEARER], '/', { authorization: 'bEARER   a.b.c' }, 'a.b.c'],
  ['a scheme and a tab', [BEARER], '/', { authorization: 'Bearer\ta.b.c' }, 'a.b.c'],
  ['a scheme alone', [BEARER], '/', { authorization: 'Bearer' }, ''],
  ['a longer scheme', [BEARER], '/', { authorization: 'Bearers a' }, null],
  ['another scheme', [BEARER], '/', { authorization: 'Basic YTpi' }, null],
  ['another scheme with commas', [BEARER], '/', { authorization: 'Digest a="Bearer", b="c"' }, null],
  [
    'two tokens',
    [BEARER],
    '/',
    [
      ['authorization', 'Bearer a'],
      ['authorization', 'Bearer b'],
    ],
    AMBIGUOUS,
  ],
  [
    'a scheme behind another',
    [BEARER],
    '/',
    [
      ['authorization', 'Basic a'],
      ['authorization', 'bearer b'],
    ],
    AMBIGUOUS,
  ],
  ['a parameter', [QUERY], '/?x=1&api_key=a%2Bb&y', {}, 'a+b'],
  ['a parameter by an encoded name', [QUERY], '/?api%5Fkey=a', {}, 'a'],
  ['a parameter twice', [QUERY], '/?api_key=a&api%5fkey=a', {}, AMBIGUOUS],
  ['a parameter in other case', [QUERY], '/?API_KEY=a', {}, null],
  ['an empty parameter', [QUERY], '/?api_key', {}, ''],
  ['a cookie', [COOKIE], '/', { cookie: 'a=b; key="v"; c=d' }, 'v'],
  ['a cookie without a value', [COOKIE], '/', { cookie: 'key' }, ''],
  ['a cookie twice', [COOKIE], '/', { cookie: 'key=a; key=a' }, AMBIGUOUS],
  [
    'a cookie on two lines',
    [COOKIE],
    '/',
    [
      ['cookie', 'key=a'],
      ['cookie', 'key=b'],
    ],
    AMBIGUOUS,
  ],
  ['a cookie whose name ends alike', [COOKIE], '/', { cookie: 'monkey=a' }, null],
  ['the one place of several', [KEY, BEARER, QUERY, COOKIE], '/?z=1', { cookie: 'key=c' }, 'c'],
  ['two places', [KEY, QUERY], '/?api_key=a', { 'x-api-key': 'a' }, AMBIGUOUS],
  ['two places, one of them empty', [KEY, QUERY], '/?api_key', { 'x-api-key': 'a' }, AMBIGUOUS],
  ['one place with two', [KEY, QUERY], '/?api_key=a&api_key=b', {}, AMBIGUOUS],
]

for (const [what, sources, url, headers, expected] of FOUND) {
  test(`credentialReader() reads ${what}`, async () => {
    const { found } = await take(sources, { headers: headers ?? {} }, url)
    assert.equal(found, expected)
  })
}

test('credentialReader() takes the credential off, wherever it stood, and leaves all else', async () => {
  const sources = [KEY, BEARER, QUERY, COOKIE]
  const { url, headers } = await take(
    sources,
    {
      headers: [
        ['x-api-key', 'a'],
        ['x-api-key', 'b'],
        ['authorization', 'bearer c'],
        ['cookie', 'a=b; key=d; c=d'],
        ['cookie', 'key=e'],
        ['x-other', 'stays'],
      ],
    },
    '/p?x=1&api_key=f&y=2&api%5Fkey=g',
  )
  assert.equal(url, '/p?x=1&y=2')
  assert.equal(headers.get('x-api-key'), null)
  assert.equal(headers.get('authorization'), null)
  assert.equal(headers.get('cookie'), 'a=b; c=d')
  assert.equal(headers.get('x-other'), 'stays')
})

test('credentialReader() removes the Cookie field when nothing is left of it, and no foreign scheme', async () => {
  const { headers, url } = await take(
    [COOKIE, BEARER, QUERY],
    { headers: { cookie: 'key=d', authorization: 'Basic YTpi' } },
    '/?a=b+c&d=%7E',
  )
  assert.equal(headers.get('cookie'), null)
  assert.equal(headers.get('authorization'), 'Basic YTpi')
  assert.equal(url, '/?a=b+c&d=%7E')
})

/** By the URL Standard, and not by its implementation that the reader has too. */
function nameOf(pair: string): string {
  const [name = ''] = pair.replaceAll('+', ' ').split('=')
  const bytes = name.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

test('credentialReader() leaves no spelling of a parameter in the query, and every other pair as it is written', async () => {
  const name = 'a k'
  const reader = credentialReader([{ query: name }])
  await using gateway = await testGateway({
    plugins: [{ main: () => ({ name: 'reader', handle: ({ request }) => reader.remove(request) ?? true }) }],
  })
  const letter = (plain: string, ...others: string[]) => fc.constantFrom(plain, plain, ...others)
  const spelling = fc
    .tuple(letter('a', '%61'), letter('+', '%20'), letter('k', '%6b', '%6B', 'K'))
    .map((parts) => parts.join(''))
  const text = fc.stringMatching(/^([ak+;?~]|%[0-9a-fA-F]{2}|%){0,4}$/)
  const pair = fc
    .tuple(
      fc.oneof(spelling, text),
      fc.oneof(
        fc.constant(''),
        text.map((value) => `=${value}`),
      ),
    )
    .map((parts) => parts.join(''))
  await fc.assert(
    fc.asyncProperty(fc.array(pair, { maxLength: 7 }), async (pairs) => {
      const seen = gateway.upstreamRequests.length
      await gateway.fetch(`/p?${pairs.join('&')}`)
      const url = gateway.upstreamRequests[seen]?.url ?? ''
      assert.equal(new URLSearchParams(url.slice('/p'.length)).has(name), false)
      const kept = pairs.filter((one) => nameOf(one) !== name)
      const isWhole = kept.length === pairs.length
      assert.equal(url, kept.length === 0 && !isWhole ? '/p' : `/p?${kept.join('&')}`)
    }),
    { numRuns: 300 },
  )
})

test('credentialReader() refuses at the start a field that nothing can be taken off', () => {
  assert.throws(
    () => credentialReader([{ header: 'Host' }]),
    /^TypeError: A credential cannot stand in the field "host": it is one that the gateway writes itself$/,
  )
})

test('credentialReader() refuses at the start two sources that read one place', () => {
  const pairs: [CredentialSource, CredentialSource][] = [
    [KEY, { header: 'x-api-key' }],
    [BEARER, { header: 'authorization', scheme: 'bearer' }],
    [BEARER, { header: 'Authorization' }],
    [QUERY, { query: 'api_key' }],
    [COOKIE, { cookie: 'key' }],
  ]
  for (const [one, other] of pairs) {
    assert.throws(
      () => credentialReader([{ cookie: 'a' }, one, other]),
      /^TypeError: The sources .* read one place, so that what both read would be two credentials; leave one of them out$/,
    )
  }
  credentialReader([
    BEARER,
    { header: 'Authorization', scheme: 'ApiKey' },
    { query: 'key' },
    COOKIE,
    { cookie: 'Key' },
  ])
})

const REFERERS: [sent: string, received: string][] = [
  ['http://gateway.test/p?api_key=k', 'http://gateway.test/p'],
  ['http://gateway.test/p?a=%7E&api%5Fkey=k&b=c+d', 'http://gateway.test/p?a=%7E&b=c+d'],
  ['http://gateway.test/p?api_key=k&api_key=l&', 'http://gateway.test/p?'],
  ['http://gateway.test/p?a=api_key&api_keys=b', 'http://gateway.test/p?a=api_key&api_keys=b'],
  ['http://gateway.test/p?a=b&?api_key=k', 'http://gateway.test/p?a=b&?api_key=k'],
  ['http://gateway.test/api_key=k', 'http://gateway.test/api_key=k'],
]

for (const [sent, received] of REFERERS) {
  test(`credentialReader() takes a parameter out of Referer too: ${sent}`, async () => {
    const { headers } = await take([QUERY], { headers: { referer: sent } }, '/app.js')
    assert.equal(headers.get('referer'), received)
  })
}

test('credentialReader() takes a parameter out of every line of Referer', async () => {
  const referers: [string, string][] = ['/?api_key=k', '/?a=b', '/?c=d&api_key=k'].map((one) => [
    'referer',
    one,
  ])
  const { headers } = await take([QUERY], { headers: referers }, '/?api_key=k')
  assert.equal(headers.get('referer'), '/, /?a=b, /?c=d')
})
