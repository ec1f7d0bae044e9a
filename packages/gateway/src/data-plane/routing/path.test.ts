import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { PathOddity } from '../../protocol/generation.ts'
import { foldReservedEscapes, normalizePath, PathFindings, pathOddityMask, pathOddityNames } from './path.ts'

const findings = new PathFindings()

/** Encodes the digits of escapes of escapes, so often: one decoding takes back one time. */
function encodedDigits(path: string, times: number): string {
  let encoded = path
  for (let time = 0; time < times; time++) {
    encoded = encoded.replace(
      /%25(.)(.)/g,
      (_, one: string, two: string) => `%25${doubly(one)}${doubly(two)}`,
    )
  }
  return encoded
}

const doubly = (char: string): string => `%25${char.charCodeAt(0).toString(16)}`

describe('normalizePath() refuses', () => {
  const malformed: readonly [path: string, reason: RegExp][] = [
    ['', /start with/],
    ['a', /start with/],
    ['*', /start with/],
    ['http://a/', /start with/],
    ['/%', /hexadecimal/],
    ['/%4', /hexadecimal/],
    ['/%4g', /hexadecimal/],
    ['/%g4', /hexadecimal/],
    ['/%%34', /hexadecimal/],
    ['/%2%35', /hexadecimal/],
    ['/a%', /hexadecimal/],
    ['/%\u01304', /hexadecimal/],
    ['/..', /above its root/],
    ['/../', /above its root/],
    ['/../a', /above its root/],
    ['/a/../..', /above its root/],
    ['/%2e%2E/a', /above its root/],
    ['/./../a', /above its root/],
    ['/a/..;/admin', /hides a dot segment/],
    ['/a/..;x=1/admin', /hides a dot segment/],
    ['/a/..%3b/admin', /hides a dot segment/],
    ['/a/.;/b', /hides a dot segment/],
    ['/a/..%2fadmin', /hides a dot segment/],
    ['/a/%2e%2e%2fadmin', /hides a dot segment/],
    ['/a/..%5cadmin', /hides a dot segment/],
    ['/a/..\\admin', /hides a dot segment/],
    ['/a%2f..', /hides a dot segment/],
    ['/a%2f../b', /hides a dot segment/],
    ['/a%5c.%5cb', /hides a dot segment/],
    ['/a\\..\\b', /hides a dot segment/],
    ['/a/..%00', /hides a dot segment/],
    ['/a/%252e%252e/admin', /hides a dot segment/],
    ['/a/%25252E./admin', /hides a dot segment/],
    ['/a/..%252fadmin', /hides a dot segment/],
    ['/a/..%25253badmin', /hides a dot segment/],
    ['/a/%25%32%65%25%32%65/admin', /hides a dot segment/],
    ['/a/%25%2532%2565./admin', /hides a dot segment/],
    [encodedDigits('/a%2541', 5), /over and over/],
    ['/a/%c0%ae%c0%ae/admin', /overlong/],
    ['/%c1%a1dmin', /overlong/],
    ['/a%e0%80%afb', /overlong/],
    ['/a%f0%80%80%afb', /overlong/],
    ['/a%25c0%25afb', /overlong/],
    ['/a b', /percent-encoded/],
    ['/a\tb', /percent-encoded/],
    ['/a\r\nb', /percent-encoded/],
    ['/a\0b', /percent-encoded/],
    ['/a\x7f', /percent-encoded/],
    ['/a?b', /percent-encoded/],
    ['/a#b', /percent-encoded/],
    ['/caf\u00e9', /percent-encoded/],
    ['/\u4e2d', /percent-encoded/],
    ['/\ud800', /percent-encoded/],
  ]
  for (const [path, reason] of malformed) {
    it(JSON.stringify(path), () => {
      assert.equal(normalizePath(path, findings), '')
      assert.match(findings.fault, reason)
    })
  }
})

describe('normalizePath() turns', () => {
  const normal: readonly [path: string, expected: string, oddities?: PathOddity[]][] = [
    ['/', '/'],
    ['/a/b.c', '/a/b.c'],
    ['/a/', '/a/'],
    ["/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"],
    ['/%61dmin', '/admin'],
    ['/%41%5A%61%7a%30%39%2d%2e%5f%7E', '/AZaz09-._~'],
    ['/%c3%a9', '/%C3%A9'],
    ['/%ff', '/%FF'],
    ['/%40', '/%40'],
    ['/a%252eb/', '/a%252eb/'],
    ['/a%25%32%65', '/a%252e'],
    ['/%0d%0a', '/%0D%0A'],
    ['/"<>[]^`{|}', '/%22%3C%3E%5B%5D%5E%60%7B%7C%7D'],
    ['/.', '/'],
    ['/./', '/'],
    ['/a/.', '/a/'],
    ['/a/..', '/'],
    ['/a/b/..', '/a/'],
    ['/a/b/../', '/a/'],
    ['/a/./b', '/a/b'],
    ['/x/../admin', '/admin'],
    ['/x/%2e%2e/admin', '/admin'],
    ['/x/.%2E/admin', '/admin'],
    ['/a/b/c/./../../g', '/a/g'],
    ['/mid/content=5/../6', '/mid/6'],
    ['/.well-known/acme', '/.well-known/acme'],
    ['/...', '/...'],
    ['/..a/a../.b', '/..a/a../.b'],
    ['/a;v=1/..', '/'],
    ['/a%2561', '/a%2561'],
    [encodedDigits('/a%2541', 2), encodedDigits('/a%2541', 2)],
    ['/100%25', '/100%25'],
    ['/100%2520off', '/100%2520off'],
    ['/a;b/c;', '/a;b/c;'],
    ['/%c3%80%c0', '/%C3%80%C0'],
    ['/%e0%a0%80', '/%E0%A0%80'],
    ['/a%252Fb', '/a%252Fb', ['encoded_slash']],
    ['/a%25255cb', '/a%25255cb', ['encoded_backslash']],
    ['/a%2500', '/a%2500', ['encoded_null']],
    ['/;a/b', '/;a/b', ['empty_segment']],
    ['/a/;', '/a/;', ['empty_segment']],
    ['/%3ba/b', '/%3Ba/b', ['empty_segment']],
    ['/%253ba/b', '/%253ba/b', ['empty_segment']],
    ['/a%2Fb', '/a%2Fb', ['encoded_slash']],
    ['/a%2fb', '/a%2Fb', ['encoded_slash']],
    ['/a%5cb', '/a%5Cb', ['encoded_backslash']],
    ['/a\\b', '/a%5Cb', ['encoded_backslash']],
    ['/a%00', '/a%00', ['encoded_null']],
    ['//', '//', ['empty_segment']],
    ['//admin', '//admin', ['empty_segment']],
    ['/a//', '/a//', ['empty_segment']],
    ['/a//%62', '/a//b', ['empty_segment']],
    ['/.//a', '//a', ['empty_segment']],
    ['/a/..//b', '//b', ['empty_segment']],
    ['/a//../b', '/a/b', ['empty_segment']],
    ['/a/x%2fy/../b', '/a/b', ['encoded_slash']],
    ['/%2f%5c%00//', '/%2F%5C%00//', ['encoded_slash', 'encoded_backslash', 'encoded_null', 'empty_segment']],
  ]
  for (const [path, expected, oddities = []] of normal) {
    it(`${JSON.stringify(path)} into ${expected}`, () => {
      assert.equal(normalizePath(path, findings), expected)
      assert.deepEqual(pathOddityNames(findings.oddities), oddities)
      assert.equal(findings.fault, '')
    })
  }
})

/** Pieces that matter to some rule, so that random paths meet every rule often. */
const pathText = fc
  .array(
    fc.oneof(
      fc.constantFrom('/', '/', '.', '..', '%2e', '%2E', '%2f', '%5c', '\\', '%00', '%25', '%', ';', '%3b'),
      fc.constantFrom('%25', '%252e', '%252f', '%25253b', '%255c', '25', '2e'),
      fc.constantFrom('a', 'B', '%61', '%c3%a9', '@', '%40', '|', '%7c', '[', '2', 'e', 'f'),
      fc.string({ maxLength: 2 }),
    ),
    { maxLength: 14 },
  )
  .map((pieces) => `/${pieces.join('')}`)

describe('normalizePath()', () => {
  it('clears the findings of the call before', () => {
    normalizePath('/..', findings)
    normalizePath('/a//b', findings)
    normalizePath('/a', findings)
    assert.deepEqual({ ...findings }, { oddities: 0, fault: '' })
  })

  it('is idempotent', () => {
    fc.assert(
      fc.property(pathText, (path) => {
        const once = normalizePath(path, findings)
        fc.pre(once !== '')
        assert.equal(normalizePath(once, findings), once)
        assert.equal(findings.fault, '')
      }),
      { numRuns: 3_000 },
    )
  })

  it('leaves only path characters, upper-case escapes and no dot segments', () => {
    fc.assert(
      fc.property(pathText, (path) => {
        const normal = normalizePath(path, findings)
        fc.pre(normal !== '')
        assert.match(normal, /^(\/([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})*)+$/)
        assert.doesNotMatch(normal, /\/\.\.?(\/|$)/)
      }),
      { numRuns: 3_000 },
    )
  })

  it('means the same path to a server that decodes it: no dot segment appears by one more decoding', () => {
    fc.assert(
      fc.property(pathText, (path) => {
        const normal = normalizePath(path, findings)
        fc.pre(normal !== '')
        const decoded = normal
          .replace(/%(25)*2F|%(25)*5C/gi, '/')
          .replace(/%(25)*2E/gi, '.')
          .replace(/(;|%(25)*3B)[^/]*/gi, '')
        assert.doesNotMatch(decoded, /\/\.\.?(\/|$)/)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('foldReservedEscapes()', () => {
  for (const [path, expected] of [
    ['/a', '/a'],
    ['/%40admin', '/@admin'],
    ['/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40', "/!$&'()*+,;=:@"],
    ['/%2F%5C%00%25%C3%A9', '/%2F%5C%00%25%C3%A9'],
    ['/%2540', '/@'],
    ['/%252540%2561%25C3%25a9', '/@a%C3%A9'],
    ['/%252F%255c%2500%2525', '/%2F%5C%00%25'],
    ['/a%3Ab%2F%40', '/a:b%2F@'],
  ] as const) {
    it(`reads ${path} as ${expected}`, () => assert.equal(foldReservedEscapes(path), expected))
  }
})

describe('pathOddityMask()', () => {
  it('is undone by pathOddityNames()', () => {
    const names: PathOddity[] = ['encoded_slash', 'empty_segment']
    assert.deepEqual(pathOddityNames(pathOddityMask(names)), names)
    assert.equal(pathOddityMask([]), 0)
  })
})
