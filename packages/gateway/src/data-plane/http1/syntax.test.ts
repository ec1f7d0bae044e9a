import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HEX_VALUE, IS_TARGET, IS_TOKEN, IS_VALUE, isHost } from './syntax.ts'

/** The bytes of a table as text, to be compared with what the RFC lists. */
const bytesOf = (table: Uint8Array) =>
  Array.from(table, (allowed, byte) => (allowed === 1 ? String.fromCharCode(byte) : '')).join('')

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCharCode(from + i)).join('')
const sorted = (text: string) => [...text].sort().join('')

describe('byte tables', () => {
  it('IS_TOKEN holds tchar (RFC 9110, 5.6.2)', () => {
    const tchar = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert.equal(sorted(bytesOf(IS_TOKEN)), sorted(tchar))
  })

  it('IS_VALUE holds VCHAR, obs-text, SP and HTAB (RFC 9110, 5.5)', () => {
    assert.equal(bytesOf(IS_VALUE), `\t${range(0x20, 0x7e)}${range(0x80, 0xff)}`)
  })

  it('IS_TARGET holds VCHAR without "#"', () => {
    assert.equal(bytesOf(IS_TARGET), range(0x21, 0x7e).replace('#', ''))
  })

  it('HEX_VALUE knows the digits in both cases and nothing else', () => {
    for (let byte = 0; byte < 256; byte++) {
      const character = String.fromCharCode(byte)
      const value = /^[0-9a-fA-F]$/.test(character) ? Number.parseInt(character, 16) : 255
      assert.equal(HEX_VALUE[byte], value, character)
    }
  })
})

describe('isHost()', () => {
  const REFUSED = [
    '',
    ':80',
    'a b',
    'a/b',
    'a\\b',
    'a?b',
    'a#b',
    'a@b',
    'a,b',
    'a\tb',
    'a\0',
    'a"b',
    'a<b',
    'a|b',
    'a^b',
    'a{b}',
    'é',
    '\u2100',
    '\u0130',
    'a:80:80',
    'a:8o',
    'a:-1',
    'a:+1',
    'a: 80',
    'a:123456',
    '%',
    'a%',
    'a%2',
    'a%2:',
    'a%zz',
    'a%2é',
    '[',
    ']',
    '[]',
    '[]:80',
    '[:',
    '[::1',
    '::1]',
    '::1',
    '[::1]]',
    '[[::1]]',
    'a[::1]',
    '[::1]a',
    '[::1]a:80',
    '[::1]80',
    '[::1]:8a',
    '[::1]:80:80',
    '[127.0.0.1]',
    '[abc]',
    '[1.2.3]',
    '[1::2::3]',
    '[12345::]',
    '[1:2:3:4:5:6:7:8:9]',
    '[::1%25eth0]',
    '[::1%lo]',
    '[v1.x]',
    '[::g]',
    'a[',
    'a]',
    'a]:80',
    'a'.repeat(262),
    // Other spellings of a host: a server may read it as the one that a plugin is bound to.
    'a%2eb',
    'a%41%fF',
    'a%EF%BC%8Eb',
    '%61',
    '.',
    '..',
    '.a',
    'a..b',
    'a..',
    '.:80',
    '.a:80',
    'a..:80',
    'a'.repeat(254),
    `${'a'.repeat(254)}.`,
    `${'a'.repeat(254)}:80`,
    '127.1',
    '127.0.0.01',
    '127.0.0.256',
    '127.0.0.0x1',
    '0x7f000001',
    '0X',
    '2130706433',
    '1',
    '127.1.',
    '127.1.:80',
    'web.1',
    'a:65536',
    'a:99999',
  ]
  for (const text of REFUSED) it(`refuses ${JSON.stringify(text)}`, () => assert.equal(isHost(text), false))

  const ACCEPTED = [
    'a',
    'A.Example.',
    'a-b_c~d',
    "!$&'()*+;=",
    '127.0.0.1',
    '127.0.0.1.:80',
    '1.a',
    '0xg',
    'a.',
    'a:',
    'a:0',
    'a:65535',
    'a:00080',
    '[::]',
    '[::1]',
    '[::1]:',
    '[::1]:8080',
    '[2001:DB8::1]',
    '[::ffff:127.0.0.1]:80',
    'a'.repeat(253),
    `${'a'.repeat(253)}.`,
    `${'a'.repeat(253)}.:65535`,
  ]
  for (const text of ACCEPTED) it(`takes ${JSON.stringify(text)}`, () => assert.equal(isHost(text), true))
})
