/**
 * IP addresses as eight groups of sixteen bits; an IPv4 address is written as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2),
 * which is also how a dual-stack socket names it, so `1.2.3.4` and `::ffff:1.2.3.4` are one address everywhere.
 */

/** Room for one address; callers keep one and use it again. */
export function addressGroups(): Uint16Array {
  return new Uint16Array(8)
}

const MAPPED = 0xffff

export function isIpv4(groups: Uint16Array): boolean {
  return (
    groups[5] === MAPPED &&
    (groups[0] ?? 0) + (groups[1] ?? 0) + (groups[2] ?? 0) + (groups[3] ?? 0) + (groups[4] ?? 0) === 0
  )
}

/**
 * Reads an address strictly: no leading zeros or missing parts in IPv4, no zone, no brackets. False when the text is
 * not an address; `groups` is then undefined.
 */
export function parseAddress(text: string, groups: Uint16Array): boolean {
  if (text.length > ADDRESS_CHARS_MAX) return false
  groups.fill(0)
  if (text.indexOf(':') !== -1) return parseIpv6(text, groups)
  groups[5] = MAPPED
  return parseIpv4(text, 0, groups, 6)
}

/** Eight groups, the last two in IPv4 form. */
const ADDRESS_CHARS_MAX = 45
const ZERO = 0x30
const DOT = 0x2e
const COLON = 0x3a

/** Reads `text` from `at` to its end into two groups. */
function parseIpv4(text: string, at: number, groups: Uint16Array, group: number): boolean {
  let value = 0
  let parts = 0
  let digits = 0
  let part = 0
  for (let index = at; index <= text.length; index++) {
    const code = index === text.length ? DOT : text.charCodeAt(index)
    if (code === DOT) {
      if (digits === 0 || ++parts > 4) return false
      value = value * 256 + part
      part = 0
      digits = 0
    } else {
      const digit = code - ZERO
      if (digit < 0 || digit > 9 || (digits > 0 && part === 0)) return false
      part = part * 10 + digit
      digits++
      if (part > 255) return false
    }
  }
  if (parts !== 4) return false
  groups[group] = value / 65_536
  groups[group + 1] = value % 65_536
  return true
}

function hexDigit(code: number): number {
  if (code >= ZERO && code <= ZERO + 9) return code - ZERO
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function parseIpv6(text: string, groups: Uint16Array): boolean {
  let count = 0
  /** How many groups stood before `::`; -1 while there was none. */
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false
    gap = 0
    at = 2
  }
  while (at < text.length) {
    if (count === 8) return false
    let value = 0
    let end = at
    for (let digit = hexDigit(text.charCodeAt(end)); digit !== -1; digit = hexDigit(text.charCodeAt(end))) {
      value = value * 16 + digit
      if (++end - at > 4) return false
      if (end === text.length) break
    }
    if (text.charCodeAt(end) === DOT) {
      if (count > 6 || !parseIpv4(text, at, groups, count)) return false
      count += 2
      break
    }
    if (end === at) return false
    groups[count++] = value
    if (end === text.length) break
    if (text.charCodeAt(end) !== COLON) return false
    at = end + 1
    if (text.charCodeAt(at) === COLON) {
      if (gap !== -1) return false
      gap = count
      at++
    } else if (at === text.length) {
      return false
    }
  }
  return gap === -1 ? count === 8 : openGap(groups, gap, count)
}

/** Moves what stood behind `::` to the end. */
function openGap(groups: Uint16Array, gap: number, count: number): boolean {
  if (count === 8) return false
  const moved = count - gap
  groups.copyWithin(8 - moved, gap, count)
  groups.fill(0, gap, 8 - moved)
  return true
}

/** Dotted for IPv4, the form of RFC 5952 for IPv6. */
export function formatAddress(groups: Uint16Array): string {
  if (isIpv4(groups)) {
    const high = groups[6] ?? 0
    const low = groups[7] ?? 0
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  let gap = -1
  let gapLength = 1
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > gapLength) {
      gap = start
      gapLength = end - start
    }
  }
  const texts = Array.from(groups, (group) => group.toString(16))
  if (gap === -1) return texts.join(':')
  return `${texts.slice(0, gap).join(':')}::${texts.slice(gap + gapLength).join(':')}`
}
