import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { addressGroups, formatAddress, parseAddress } from './address.ts'
import { AddressBlocks } from './cidr.ts'

describe('new AddressBlocks() refuses', () => {
  for (const [text, reason] of [
    ['', /does not start with an IP address/],
    ['localhost', /does not start with an IP address/],
    ['10.0.0/8', /does not start with an IP address/],
    ['/8', /does not start with an IP address/],
    ['10.0.0.0/', /from 0 to 32/],
    ['10.0.0.0/33', /from 0 to 32/],
    ['10.0.0.0/08', /from 0 to 32/],
    ['10.0.0.0/-1', /from 0 to 32/],
    ['10.0.0.0/8/8', /from 0 to 32/],
    ['10.0.0.0/255.0.0.0', /from 0 to 32/],
    ['::/129', /from 0 to 128/],
    ['10.0.0.1/8', /bits beyond the prefix/],
    ['2001:db8::1/32', /bits beyond the prefix/],
    ['::ffff:0:0/95', /wider than all of IPv4/],
  ] as const) {
    it(JSON.stringify(text), () => {
      assert.throws(() => new AddressBlocks(['::1', text]), { code: 'CONFIG_INVALID', message: reason })
    })
  }
})

describe('AddressBlocks.contains()', () => {
  const cases: readonly [blocks: string[], address: string, expected: boolean][] = [
    [[], '1.2.3.4', false],
    [['0.0.0.0/0'], '', false],
    [['0.0.0.0/0'], 'unknown', false],
    [['0.0.0.0/0'], '1.2.3.4', true],
    [['0.0.0.0/0'], '::1', false],
    [['::/0'], '::1', true],
    [['::/0'], '1.2.3.4', false],
    [['::/0'], '::ffff:1.2.3.4', false],
    [['10.0.0.0/8'], '10.255.255.255', true],
    [['10.0.0.0/8'], '11.0.0.0', false],
    [['10.0.0.0/8'], '::ffff:10.1.2.3', true],
    [['::ffff:10.0.0.0/104'], '10.1.2.3', true],
    [['::ffff:0:0/96'], '10.1.2.3', true],
    [['192.168.4.0/22'], '192.168.7.255', true],
    [['192.168.4.0/22'], '192.168.8.0', false],
    [['1.2.3.4'], '1.2.3.4', true],
    [['1.2.3.4'], '1.2.3.5', false],
    [['1.2.3.4/32'], '1.2.3.5', false],
    [['2001:db8::/33'], '2001:db8:7fff::1', true],
    [['2001:db8::/33'], '2001:db8:8000::1', false],
    [['::1'], '0:0:0:0:0:0:0:1', true],
    [['::1', '10.0.0.0/8'], '10.0.0.1', true],
  ]
  for (const [blocks, address, expected] of cases) {
    it(`${expected ? 'finds' : 'does not find'} ${JSON.stringify(address)} in ${blocks.join(' ') || 'none'}`, () => {
      assert.equal(new AddressBlocks(blocks).contains(address), expected)
    })
  }

  it('agrees with node:net BlockList', () => {
    const family = fc.constantFrom('ipv4' as const, 'ipv6' as const)
    fc.assert(
      fc.property(family, fc.ipV4(), fc.ipV6(), fc.nat(), fc.boolean(), (kind, four, six, seed, near) => {
        const base = kind === 'ipv4' ? four : six
        const bits = seed % (kind === 'ipv4' ? 33 : 129)
        const groups = addressGroups()
        assert.ok(parseAddress(base, groups))
        const kept = kind === 'ipv4' ? bits + 96 : bits
        // An address of the same family: one bit off at or after the prefix, or just before it.
        const bit = Math.min(127, Math.max(kind === 'ipv4' ? 96 : 0, near ? kept : kept - 1))
        const other = groups.slice()
        other[bit >> 4] = (other[bit >> 4] ?? 0) ^ (1 << (15 - (bit & 15)))
        for (let index = kept; index < 128; index++) {
          groups[index >> 4] = (groups[index >> 4] ?? 0) & ~(1 << (15 - (index & 15)))
        }
        const asked = formatAddress(other)
        const network = formatAddress(groups)
        fc.pre(network.includes(':') === asked.includes(':') && network.includes(':') === (kind === 'ipv6'))
        const list = new BlockList()
        list.addSubnet(network, bits, kind)
        assert.equal(new AddressBlocks([`${network}/${bits}`]).contains(asked), list.check(asked, kind))
      }),
      { numRuns: 2_000 },
    )
  })
})
