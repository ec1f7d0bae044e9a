import assert from 'node:assert/strict'
import { isIP, SocketAddress } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { addressGroups, formatAddress, parseAddress } from './address.ts'

function canonical(text: string): string | null {
  const groups = addressGroups()
  return parseAddress(text, groups) ? formatAddress(groups) : null
}

const hex = fc.integer({ min: 0, max: 0xffff }).map((group) => group.toString(16))
const addressText = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc
    .array(fc.oneof(fc.constantFrom('0', '1', 'ffff', '', '::', '1.2.3.4', '01', '256', '12345', 'g'), hex), {
      maxLength: 10,
    })
    .map((parts) => parts.join(':')),
  fc
    .array(fc.constantFrom('0', '1', '255', '256', '01', '', '.', '1e1'), { maxLength: 5 })
    .map((parts) => parts.join('.')),
)

describe('parseAddress()', () => {
  const refused = [
    '',
    ' ',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '01.2.3.4',
    '1.2.3.00',
    '256.1.1.1',
  ]
  refused.push(
    '1.2.3.4 ',
    '1.2.3.0x4',
    '1.2.3.+4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1:',
  )
  refused.push(
    '1:2:3:4:5:6:7:8::',
    ':1::',
    '12345::',
    '::g',
    '[::1]',
    'fe80::1%eth0',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
  )
  refused.push('1:2:3:4:5:6:7:1.2.3.4', '::'.padEnd(60, '0'), '::1/128')
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(canonical(text), null))
  }

  it('accepts what node:net accepts, and nothing else', () => {
    fc.assert(
      fc.property(addressText, (text) => {
        // Zones are the one thing that node:net takes and we do not.
        fc.pre(!text.includes('%'))
        assert.equal(canonical(text) !== null, isIP(text) !== 0, text)
      }),
      { numRuns: 5_000 },
    )
  })
})

describe('formatAddress()', () => {
  for (const [text, expected] of [
    ['0.0.0.0', '0.0.0.0'],
    ['255.254.1.0', '255.254.1.0'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:0102:0304', '1.2.3.4'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ] as const) {
    it(`writes ${text} as ${expected}`, () => assert.equal(canonical(text), expected))
  }

  it('is read back as the same address', () => {
    fc.assert(
      fc.property(fc.uint16Array({ minLength: 8, maxLength: 8 }), (groups) => {
        const read = addressGroups()
        assert.ok(parseAddress(formatAddress(groups), read))
        assert.deepEqual([...read], [...groups])
      }),
    )
  })

  it('agrees with node:net on IPv6', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const text = canonical(address) ?? ''
        fc.pre(text.includes(':') && !address.includes('.'))
        // inet_ntop writes `::1:2` as `::0.1.0.2`, which RFC 5952 does not ask for.
        const node = new SocketAddress({ address, family: 'ipv6' }).address
        fc.pre(!node.includes('.'))
        assert.equal(text, node)
      }),
    )
  })
})
