/** Without the root's dot: 255 octets on the wire, each label with its length before it (RFC 1035, 2.3.4). */
export const HOST_NAME_CHARS_MAX = 253

/**
 * Whether a host whose last label this is, is an IPv4 address to those who read it as part of a URL (URL Standard, "ends in
 * a number checker"): `127.1`, `0x7f000001` and `2130706433` are all 127.0.0.1 to them, and `web.1` is nothing.
 */
export function isNumberLabel(label: string): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/i.test(label)
}
