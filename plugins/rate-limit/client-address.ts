/** How many bits of an address make a client. */
export interface AddressPrefixes {
  readonly ipv4: number
  readonly ipv6: number
}

/**
 * The network that a client's address belongs to, as a short text: a client has all addresses of it. An IPv4 address in
 * one of IPv6's forms is the IPv4 address. What is no address stands for itself.
 */
export function networkOf(address: string, { ipv4, ipv6 }: AddressPrefixes): string {
  if (!address.includes(':')) return ipv4 === 32 ? address : ipv4Network(address, ipv4)
  const groups = groupsOf(address)
  if (groups === null) return address
  const embedded = embeddedIpv4(groups)
  if (embedded !== null) return ipv4Network(embedded, ipv4)
  let network = ''
  for (let at = 0, bits = ipv6; bits > 0; at += 1, bits -= 16) {
    network += `${(maskOf(bits) & (groups[at] ?? 0)).toString(16)}:`
  }
  return network
}

/** Of a group of 16 bits, the first `bits`. */
function maskOf(bits: number): number {
  return bits >= 16 ? 0xffff : (0xffff << (16 - bits)) & 0xffff
}

function ipv4Network(address: string, prefix: number): string {
  if (prefix === 32) return address
  const bytes = address.split('.').map(Number)
  const [a = 0, b = 0, c = 0, d = 0] = bytes
  if (bytes.length !== 4 || bytes.some((byte) => !(byte >= 0 && byte <= 255))) return address
  const value = ((a << 24) | (b << 16) | (c << 8) | d) & (0xffffffff << (32 - prefix))
  return `${value >>> 0}/${prefix}`
}

/** The eight groups of an IPv6 address, or null. */
function groupsOf(address: string): number[] | null {
  const zone = address.indexOf('%')
  const text = zone < 0 ? address : address.slice(0, zone)
  const gap = text.indexOf('::')
  const front = partsOf(gap < 0 ? text : text.slice(0, gap))
  const back = gap < 0 ? [] : partsOf(text.slice(gap + 2))
  if (front === null || back === null) return null
  const missing = 8 - front.length - back.length
  if (gap < 0 ? missing !== 0 : missing < 0) return null
  for (let left = missing; left > 0; left -= 1) front.push(0)
  front.push(...back)
  return front
}

function partsOf(text: string): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  for (const part of text.split(':')) {
    if (part.includes('.')) {
      const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
      groups.push((a << 8) | b, (c << 8) | d)
      continue
    }
    const group = Number.parseInt(part, 16)
    if (Number.isNaN(group)) return null
    groups.push(group)
  }
  return groups
}

/** 0:0:0:0:0:ffff, in which IPv6 sockets show clients of IPv4 (RFC 4291, 2.5.5.2). */
const MAPPED = [0, 0, 0, 0, 0, 0xffff]
/**
 * 64:ff9b::, in which a translator (NAT64, SIIT) shows them (RFC 6052, 2.1): the first 64 bits are the same for all of IPv4,
 * which would be one client.
 */
const TRANSLATED = [0x64, 0xff9b, 0, 0, 0, 0]

/** The IPv4 address in the last 32 bits of an IPv6 address that holds one, or null. */
function embeddedIpv4(groups: readonly number[]): string | null {
  if (!beginsWith(groups, MAPPED) && !beginsWith(groups, TRANSLATED)) return null
  const [high = 0, low = 0] = groups.slice(6)
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

function beginsWith(groups: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((group, at) => groups[at] === group)
}
