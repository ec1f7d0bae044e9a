import { addressGroups, formatAddress, parseAddress } from './address.ts'
import type { AddressBlocks } from './cidr.ts'
import { type ForwardedElement, parseForwarded, splitPort } from './forwarded-syntax.ts'

/**
 * Who the client is, by what trusted proxies say. Only the fields of a peer in `trusted_proxies` are read at all.
 *
 * The client is the rightmost hop that is not itself a trusted proxy: everything left of it was written by someone
 * who may lie. A hop that is no address (`unknown`, an obfuscated name, garbage) ends the search at the proxy that told
 * of it. If all hops are trusted, the client is the leftmost.
 *
 * X-Forwarded-For wins over Forwarded (RFC 7239): nearly every proxy writes the former, and passes a Forwarded field of
 * the client on untouched. A proxy that writes only Forwarded must therefore remove X-Forwarded-For.
 */

/** What is believed of a request. */
export interface ClientView {
  /** Never with a port, IPv6 in the form of RFC 5952; `unknown` when the socket has no address. */
  readonly ip: string
  readonly scheme: 'http' | 'https'
  /** The host that the client asked for, with its port if it named one; '' if none is known. */
  readonly host: string
  /** The port that the client connected to, digits. */
  readonly port: string
}

export interface FieldReader {
  get(name: string): string | null
}

/** The hops that a trusted peer tells of, oldest first. */
export interface ForwardedHops {
  readonly elements: readonly ForwardedElement[]
  /** The index of the client among them; -1: the peer itself. */
  readonly client: number
}

/** Hops further back than this are forgotten. Protects CPU; real chains have a handful. */
const HOPS_MAX = 32

/** Reads X-Forwarded-For or, if that is not there, Forwarded. A Forwarded field that is malformed counts as absent. */
export function readHops(fields: FieldReader, proxies: AddressBlocks): ForwardedHops {
  const forwardedFor = fields.get('x-forwarded-for')
  const forwarded = forwardedFor === null ? fields.get('forwarded') : null
  const told =
    forwardedFor !== null
      ? readForwardedFor(forwardedFor)
      : forwarded !== null
        ? (parseForwarded(forwarded) ?? [])
        : []
  const elements = told.length > HOPS_MAX ? told.slice(-HOPS_MAX) : told
  return { elements, client: findClient(elements, proxies) }
}

function findClient(elements: readonly ForwardedElement[], proxies: AddressBlocks): number {
  let client = elements.length
  while (client > 0) {
    const node = elements[client - 1]?.node ?? ''
    if (!isAddress(node)) break
    client--
    if (!proxies.contains(node)) break
  }
  return client === elements.length ? -1 : client
}

/** Nodes are canonical addresses, `unknown`, or obfuscated names, which start with `_`. */
function isAddress(node: string): boolean {
  return node !== 'unknown' && node.charCodeAt(0) !== UNDERSCORE
}

const UNDERSCORE = 0x5f

function readForwardedFor(value: string): ForwardedElement[] {
  const elements: ForwardedElement[] = []
  // From the right, so that a list without end costs no more than the hops that count.
  let end = value.length
  while (end >= 0 && elements.length < HOPS_MAX) {
    const comma = end === 0 ? -1 : value.lastIndexOf(',', end - 1)
    const hop = value.slice(comma + 1, end).trim()
    // Empty list members mean nothing (RFC 9110, 5.6.1).
    if (hop !== '') elements.push({ node: canonicalNode(hop), host: '', scheme: '' })
    end = comma
  }
  return elements.reverse()
}

const scratch = addressGroups()

/** The address of `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`; `unknown` for anything else. */
function canonicalNode(text: string): string {
  if (parseAddress(text, scratch)) return formatAddress(scratch)
  const address = splitPort(text)?.address ?? ''
  return parseAddress(address, scratch) ? formatAddress(scratch) : 'unknown'
}

/** The peer's address as it goes into fields and logs: without zone, IPv4-mapped as IPv4. */
export function canonicalPeer(address: string): string {
  const zone = address.indexOf('%')
  return parseAddress(zone === -1 ? address : address.slice(0, zone), scratch)
    ? formatAddress(scratch)
    : 'unknown'
}

/** The last member of a list field: what the nearest proxy, the one we trust, added. Null when it is empty. */
export function lastMember(value: string | null): string | null {
  if (value === null) return null
  const member = value.slice(value.lastIndexOf(',') + 1).trim()
  return member === '' ? null : member
}
