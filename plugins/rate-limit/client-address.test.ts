import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkOf } from './client-address.ts'

const PREFIXES = { ipv4: 32, ipv6: 64 }

test('networkOf() is the same for every way to write an address', () => {
  const same = [
    '2001:db8::1',
    '2001:DB8:0:0:0:0:0:1',
    '2001:0db8::',
    '2001:db8:0:0:ffff::',
    '2001:db8::1%eth0',
  ]
  assert.equal(new Set(same.map((address) => networkOf(address, PREFIXES))).size, 1)
  assert.notEqual(networkOf('2001:db8:0:1::1', PREFIXES), networkOf('2001:db8::1', PREFIXES))
  assert.equal(networkOf('::1', PREFIXES), networkOf('0:0:0:0:0:0:0:1', PREFIXES))
})

test('networkOf() cuts within a group', () => {
  const at = (address: string, ipv6: number): string => networkOf(address, { ipv4: 32, ipv6 })
  assert.equal(at('2001:db8:abcd:1200::', 56), at('2001:db8:abcd:12ff::', 56))
  assert.notEqual(at('2001:db8:abcd:1200::', 56), at('2001:db8:abcd:1300::', 56))
  assert.notEqual(at('2001:db8::1', 128), at('2001:db8::2', 128))
  assert.equal(at('2001:db8::2', 127), at('2001:db8::3', 127))
})

test('networkOf() takes an IPv4 address in the form of IPv6 for what it is', () => {
  assert.equal(networkOf('::ffff:192.0.2.1', PREFIXES), '192.0.2.1')
  assert.equal(networkOf('::ffff:c000:201', PREFIXES), '192.0.2.1')
  const wide = { ipv4: 24, ipv6: 64 }
  assert.equal(networkOf('::ffff:192.0.2.1', wide), networkOf('192.0.2.99', wide))
  assert.notEqual(networkOf('255.255.255.1', wide), networkOf('255.255.254.1', wide))
})

test('networkOf() takes an IPv4 address behind a translator (RFC 6052, 64:ff9b::/96) for what it is', () => {
  assert.equal(networkOf('64:ff9b::192.0.2.1', PREFIXES), '192.0.2.1')
  assert.equal(networkOf('64:ff9b::c000:201', PREFIXES), '192.0.2.1')
  assert.equal(networkOf('0064:FF9B:0:0:0:0:c000:0201', PREFIXES), '192.0.2.1')
  const wide = { ipv4: 24, ipv6: 64 }
  assert.equal(networkOf('64:ff9b::192.0.2.1', wide), networkOf('192.0.2.99', wide))
  // Only the /96 holds addresses in their last 32 bits for sure: beside it the prefix counts.
  for (const [one, other] of [
    ['64:ff9b:0:0:1::c000:201', '64:ff9b:0:0:1::c000:202'],
    ['64:ff9b:1::c000:201', '64:ff9b:1::c000:202'],
  ] as const) {
    assert.equal(networkOf(one, PREFIXES), networkOf(other, PREFIXES))
  }
})

test('networkOf() leaves alone what is no address', () => {
  for (const text of ['unknown', '', '1:2', 'x::y', '1:2:3:4:5:6:7:8:9', '_hidden']) {
    assert.equal(networkOf(text, { ipv4: 24, ipv6: 64 }), text)
  }
})
