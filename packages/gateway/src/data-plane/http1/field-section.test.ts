import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FieldLines } from '../fields.ts'
import { FieldRole, knownNameAt, roleOf } from './field-names.ts'
import {
  listHas,
  parseContentLength,
  readScannedFields,
  scanFields,
  trimWhiteSpace,
} from './field-section.ts'
import { REQUEST_CODES, RESPONSE_CODES } from './malformed.ts'

const scan = (text: string, linesMax = 10) =>
  scanFields(Buffer.from(text, 'latin1'), 0, text.length, linesMax, REQUEST_CODES)

describe('scanFields()', () => {
  it('throws the codes of its direction', () => {
    const buffer = Buffer.from('a : b\r\n\r\n')
    assert.throws(() => scanFields(buffer, 0, buffer.length, 10, RESPONSE_CODES), {
      code: 'UPSTREAM_RESPONSE_INVALID',
    })
    assert.throws(() => scanFields(buffer, 0, buffer.length, 10, REQUEST_CODES), {
      code: 'REQUEST_MALFORMED',
    })
    assert.throws(() => scan('a:b\r\nc:d\r\n\r\n', 1), { code: 'REQUEST_HEAD_TOO_LARGE' })
  })

  it('says which rule a line breaks', () => {
    const rules: [string, RegExp][] = [
      ['a: b\r\n c\r\n\r\n', /obs-fold/],
      ['a : b\r\n\r\n', /before the colon/],
      ['a\r\n\r\n', /no token/],
      ['a: b\nc: d\r\n\r\n', /bare LF/],
      ['a: b\rc: d\r\n\r\n', /bare CR/],
      ['a: b\r\n\rx', /without LF/],
    ]
    for (const [text, message] of rules) assert.throws(() => scan(text), message)
  })

  it('ends after the empty line, whatever follows', () => {
    assert.equal(scan('\r\nabc'), 2)
    assert.equal(scan('a:b\r\n\r\n : '), 7)
  })

  it('looks neither before its start nor at its end and behind', () => {
    const buffer = Buffer.from('\0 a:b\r\n\r\n\0')
    assert.equal(scanFields(buffer, 2, 9, 10, REQUEST_CODES), 9)
    for (let end = 2; end < 9; end++) assert.equal(scanFields(buffer, 2, end, 10, REQUEST_CODES), -1)
  })
})

describe('readScannedFields()', () => {
  it('hands known fields to the reader, which decides whether to keep them', () => {
    const text = 'Host: a\r\nX-Other: b\r\nVIA: c\r\n\r\n'
    const buffer = Buffer.from(`123${text}`)
    scanFields(buffer, 3, buffer.length, 10, REQUEST_CODES)
    const fields = new FieldLines()
    const seen: [number, string][] = []
    readScannedFields(buffer, text, 3, {
      fields,
      readKnown: (role, value) => seen.push([role, value]) === 2,
    })
    assert.deepEqual(seen, [
      [FieldRole.host, 'a'],
      [FieldRole.forwarding, 'c'],
    ])
    assert.deepEqual(fields.lines, ['x-other', 'b', 'via', 'c'])
  })
})

describe('knownNameAt()', () => {
  const find = (name: string) => {
    const buffer = Buffer.from(`(${name})`, 'latin1')
    return knownNameAt(buffer, 1, buffer.length - 1)
  }
  const SPECIAL = [
    'host',
    'content-length',
    'transfer-encoding',
    'connection',
    'upgrade',
    'expect',
    'te',
    'via',
  ]

  it('knows the fields with a meaning in any case', () => {
    for (const name of SPECIAL) {
      for (const written of [name, name.toUpperCase(), `${name.charAt(0).toUpperCase()}${name.slice(1)}`]) {
        assert.deepEqual([find(written)?.name, find(written)?.role], [name, roleOf(name)])
      }
      assert.notEqual(roleOf(name), FieldRole.none)
    }
  })

  it('takes no other token for one of them', () => {
    const tokens = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter((character) =>
      /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(character),
    )
    for (const name of SPECIAL) {
      for (let i = 0; i < name.length; i++) {
        for (const token of tokens) {
          const changed = name.slice(0, i) + token + name.slice(i + 1)
          if (changed.toLowerCase() !== name) assert.notEqual(find(changed)?.name, name, changed)
        }
      }
      assert.notEqual(find(`${name}s`)?.name, name)
      assert.notEqual(find(name.slice(1))?.name, name)
    }
  })

  it('finds exactly what lower case makes equal', () => {
    const token = fc.string({
      unit: fc.constantFrom(..."abcHOSTte-_!^~'`@".replace('@', '')),
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(token, (name) => {
        const known = find(name)
        assert.equal(known?.name ?? name.toLowerCase(), name.toLowerCase())
        assert.equal(known?.role ?? FieldRole.none, roleOf(name.toLowerCase()))
      }),
    )
  })
})

describe('parseContentLength()', () => {
  it('refuses all but 1 to 15 digits', () => {
    for (const value of [
      '',
      ' 1',
      '1 ',
      '+1',
      '-0',
      '1,1',
      '0x1',
      '1e3',
      '1.',
      '\u0661',
      '\xb9',
      '1'.repeat(16),
    ]) {
      assert.equal(parseContentLength(value), -1, JSON.stringify(value))
    }
  })

  it('counts exactly', () => {
    for (const value of ['0', '7', '0042', '123456789012345', '999999999999999']) {
      assert.equal(parseContentLength(value), Number(value))
    }
  })
})

describe('trimWhiteSpace()', () => {
  it('takes SP and HTAB from the ends, nothing else', () => {
    assert.equal(trimWhiteSpace(' \ta \t b\t '), 'a \t b')
    assert.equal(trimWhiteSpace('\xa0a\v'), '\xa0a\v')
    assert.equal(trimWhiteSpace(' \t '), '')
    assert.equal(trimWhiteSpace(''), '')
  })
})

describe('listHas()', () => {
  it('finds a whole element only', () => {
    for (const list of ['', 'h2', 'h2c2', 'xh2c', 'h2c x', '"h2c"', 'h2c\xa0', 'h2c;q=1']) {
      assert.equal(listHas(list, 'h2c'), false, list)
    }
    for (const list of ['h2c', 'H2C', 'x, h2c', 'h2c,x', ',\t h2c ,', ',,h2c']) {
      assert.equal(listHas(list, 'h2c'), true, list)
    }
  })
})
