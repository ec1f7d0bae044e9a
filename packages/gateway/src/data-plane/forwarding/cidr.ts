import { GatewayError } from '../../base/errors.ts'
import { addressGroups, isIpv4, parseAddress } from './address.ts'

/** IPv4 prefixes count from the mapped address. */
const IPV4_OFFSET_BITS = 96

interface Block {
  readonly groups: Uint16Array
  readonly bits: number
  readonly ipv4: boolean
}

/**
 * A set of CIDR blocks. An IPv4 block holds IPv4-mapped IPv6 addresses too; an IPv6 block, even `::/0`, never holds
 * IPv4 addresses, so that nobody trusts the whole of IPv4 without writing it.
 */
export class AddressBlocks {
  readonly #blocks: readonly Block[]
  readonly #scratch = addressGroups()

  /** Takes `10.0.0.0/8`, `2001:db8::/32` and single addresses. Throws `CONFIG_INVALID` on anything else. */
  constructor(blocks: readonly string[]) {
    this.#blocks = blocks.map(parseBlock)
  }

  /** False for what is not an address. */
  contains(address: string): boolean {
    if (this.#blocks.length === 0 || !parseAddress(address, this.#scratch)) return false
    const ipv4 = isIpv4(this.#scratch)
    for (let index = 0; index < this.#blocks.length; index++) {
      const block = this.#blocks[index]
      if (block !== undefined && block.ipv4 === ipv4 && samePrefix(block, this.#scratch)) return true
    }
    return false
  }
}

function samePrefix({ groups, bits }: Block, address: Uint16Array): boolean {
  const whole = bits >> 4
  for (let group = 0; group < whole; group++) {
    if (groups[group] !== address[group]) return false
  }
  const rest = bits & 15
  if (rest === 0) return true
  return ((groups[whole] ?? 0) ^ (address[whole] ?? 0)) >> (16 - rest) === 0
}

function parseBlock(text: string): Block {
  const slash = text.indexOf('/')
  const groups = addressGroups()
  if (!parseAddress(slash === -1 ? text : text.slice(0, slash), groups)) {
    throw invalid(text, 'it does not start with an IP address; write 10.0.0.0/8 or 2001:db8::/32')
  }
  const ipv4 = isIpv4(groups)
  const dotted = ipv4 && !text.includes(':')
  const bits = slash === -1 ? 128 : parseBits(text, text.slice(slash + 1), dotted ? 32 : 128)
  const fromMapped = slash !== -1 && dotted ? bits + IPV4_OFFSET_BITS : bits
  if (ipv4 && fromMapped < IPV4_OFFSET_BITS) {
    throw invalid(text, 'its prefix is wider than all of IPv4; write the IPv4 block, such as 10.0.0.0/8')
  }
  // A stray bit is a slip: 10.1.2.3/8 trusts sixteen million addresses where one may have been meant.
  for (let bit = fromMapped; bit < 128; bit++) {
    if ((((groups[bit >> 4] ?? 0) >> (15 - (bit & 15))) & 1) === 1) {
      throw invalid(
        text,
        'the address has bits beyond the prefix; clear them, or leave the prefix out for one address',
      )
    }
  }
  return { groups, bits: fromMapped, ipv4 }
}

function parseBits(text: string, bits: string, bitsMax: number): number {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > bitsMax) {
    throw invalid(text, `the prefix must be a number from 0 to ${bitsMax}`)
  }
  return Number(bits)
}

function invalid(text: string, why: string): GatewayError {
  return new GatewayError('CONFIG_INVALID', `"${text}" is not a CIDR block: ${why}.`)
}
