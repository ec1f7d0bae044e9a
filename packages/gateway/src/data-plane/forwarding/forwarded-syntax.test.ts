import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type ForwardedElement,
  formatElement,
  isHostText,
  parseForwarded,
  splitPort,
} from './forwarded-syntax.ts'

describe('parseForwarded() refuses', () => {
  const malformed = [
    'for',
    'for=',
    '=1.2.3.4',
    'for=1.2.3.4;',
    ';for=1.2.3.4',
    'for=1.2.3.4,',
    ',for=1.2.3.4',
    'for =1.2.3.4',
  ]
  malformed.push(
    'for= 1.2.3.4',
    'for=1.2.3.4 ;proto=http',
    'for=1.2.3.4; proto=http',
    'for=1.2.3.4;for=5.6.7.8',
  )
  malformed.push(
    'for=1.2.3.4 for=5.6.7.8',
    'for=::1',
    'for=[::1]',
    'for="::1"',
    'for="[1.2.3.4]"',
    'for="[::1"',
    'for=1.2.3.4:80',
  )
  malformed.push(
    'for="1.2.3.4',
    'for="1.2.3.4\\',
    'for="1.2.3.4"x',
    'for=_',
    'for="_a b"',
    'for="_a:"',
    'for="_a:b c"',
    'for=example.com',
  )
  malformed.push(
    'for="1.2.3.4:123456"',
    'host="a b"',
    'host="a/b"',
    'host=""',
    'for=1.2.3.4,,for=5.6.7.8',
    'host="a\u00e9"',
  )
  for (const value of malformed) it(JSON.stringify(value), () => assert.equal(parseForwarded(value), null))
})

describe('parseForwarded() reads', () => {
  const unknown: ForwardedElement = { node: 'unknown', host: '', scheme: '' }
  const cases: readonly [string, Partial<ForwardedElement>[]][] = [
    ['', []],
    ['for=1.2.3.4', [{ node: '1.2.3.4' }]],
    ['For="[2001:DB8::1]:47011"', [{ node: '2001:db8::1' }]],
    ['for="1.2.3.4:80"', [{ node: '1.2.3.4' }]],
    ['for="[::ffff:1.2.3.4]"', [{ node: '1.2.3.4' }]],
    ['for=_gazonk', [{ node: '_gazonk' }]],
    ['for="_gaz.on-k:_port"', [{ node: '_gaz.on-k' }]],
    ['for=Unknown', [{}]],
    ['by=203.0.113.43', [{}]],
    [
      'for=1.2.3.4;proto=HTTPS;host="a.com:8080";by=_x;ext="a,b;c\\"d"',
      [{ node: '1.2.3.4', scheme: 'https', host: 'a.com:8080' }],
    ],
    ['proto=gopher', [{}]],
    ['for="1.2.\\3.4"', [{ node: '1.2.3.4' }]],
    [' for=1.2.3.4 ,\tfor=5.6.7.8 , for=_x ', [{ node: '1.2.3.4' }, { node: '5.6.7.8' }, { node: '_x' }]],
  ]
  for (const [value, expected] of cases) {
    it(JSON.stringify(value), () => {
      assert.deepEqual(
        parseForwarded(value),
        expected.map((element) => ({ ...unknown, ...element })),
      )
    })
  }

  it('what formatElement() writes', () => {
    const element = fc.record(
      {
        node: fc.constantFrom('1.2.3.4', '2001:db8::1', 'unknown', '_hidden'),
        host: fc.constantFrom('', 'a.com', 'a.com:80', '[::1]:80'),
        scheme: fc.constantFrom('http' as const, 'https' as const, '' as const),
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(fc.array(element), (elements) => {
        assert.deepEqual(parseForwarded(elements.map(formatElement).join(', ')), elements)
      }),
    )
  })
})

describe('formatElement()', () => {
  for (const [element, expected] of [
    [{ node: '1.2.3.4', host: '', scheme: '' }, 'for=1.2.3.4'],
    [{ node: '::1', host: 'a.com', scheme: 'http' }, 'for="[::1]";host=a.com;proto=http'],
    [{ node: '_x', host: 'a.com:80', scheme: 'https' }, 'for=_x;host="a.com:80";proto=https'],
  ] as const) {
    it(`writes ${expected}`, () => assert.equal(formatElement(element), expected))
  }
})

describe('splitPort()', () => {
  it('refuses what is neither', () => {
    for (const text of [
      '',
      ':',
      ':80',
      '::1',
      '::1:80',
      '[::1]80',
      '[::1]:',
      '[]:80',
      '[1.2.3.4]',
      '1.2.3.4:80:80',
    ]) {
      assert.equal(splitPort(text), null, text)
    }
  })

  it('takes both forms', () => {
    assert.deepEqual(splitPort('1.2.3.4:80'), { address: '1.2.3.4', port: '80' })
    assert.deepEqual(splitPort('[::1]:80'), { address: '::1', port: '80' })
    assert.deepEqual(splitPort('[::1]'), { address: '::1', port: '' })
  })
})

describe('isHostText()', () => {
  it('refuses what could end a value or a line', () => {
    for (const text of [
      '',
      'a b',
      'a,b',
      'a"b',
      'a\\b',
      'a\r\nb',
      'a/b',
      'a@b',
      'a\u00e9',
      'a'.repeat(261),
    ]) {
      assert.equal(isHostText(text), false, text)
    }
  })

  it('takes names, addresses and ports', () => {
    for (const text of ['a', 'a.com:80', '[::1]:80', 'a_b', 'x%20y'])
      assert.equal(isHostText(text), true, text)
  })
})
