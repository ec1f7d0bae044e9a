import { flatText } from '../fields.ts'
import type { AddressBlocks } from './cidr.ts'
import {
  type ClientView,
  canonicalPeer,
  type FieldReader,
  type ForwardedHops,
  lastMember,
  readHops,
} from './client-address.ts'
import { type ForwardedElement, formatElement, isHostText, schemeOf } from './forwarded-syntax.ts'

/** Who the client of one request is, and the lines that tell the upstream. Never changes; may be kept. */
export interface Forwarding extends ClientView {
  /** Complete lines, each with CRLF: X-Forwarded-For, -Proto, -Host, -Port, and Forwarded. */
  readonly lines: string
}

/** Whom to believe now. One object for all connections of a worker: what it says may change while they live. */
export interface TrustedProxies {
  readonly blocks: AddressBlocks
}

export interface ConnectionFacts {
  /** As the socket says it; '' if it says none. */
  readonly peerAddress: string
  /** Of our end. */
  readonly localPort: number
  readonly scheme: 'http' | 'https'
}

/**
 * Whether an incoming field must not be copied to the upstream: what {@link ForwardingFields} writes itself, and from
 * peers that are not trusted every other X-Forwarded-* too. `name` is in lower case.
 */
export function isForwardingField(name: string, trusted: boolean): boolean {
  if (name === 'forwarded') return true
  if (!name.startsWith('x-forwarded-')) return false
  return !trusted || WRITTEN.has(name)
}

const WRITTEN: ReadonlySet<string> = new Set([
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
])

/**
 * The forwarding fields of one client connection. What the client sent in them is thrown away unless the peer is a
 * trusted proxy; then its hops are parsed, and written anew with the peer behind them.
 */
export class ForwardingFields {
  /** Whether the peer was in `trusted_proxies` when `of` was last called. */
  trusted: boolean
  /** The address that the connection comes from. */
  readonly peer: string
  readonly #port: string
  readonly #scheme: 'http' | 'https'
  readonly #trust: TrustedProxies
  #proxies: AddressBlocks
  #lastHost = ''
  #last: Forwarding | null = null

  constructor({ peerAddress, localPort, scheme }: ConnectionFacts, trust: TrustedProxies) {
    this.peer = canonicalPeer(peerAddress)
    this.#port = String(localPort)
    this.#scheme = scheme
    this.#trust = trust
    this.#proxies = trust.blocks
    this.trusted = trust.blocks.contains(this.peer)
  }

  /**
   * Client and lines for a request. `host` is its Host field's value, '' if there is none; `fields` are read only if
   * the peer is trusted. Costs two comparisons when the host is that of the request before.
   */
  of(host: string, fields: FieldReader): Forwarding {
    const { blocks } = this.#trust
    if (blocks !== this.#proxies) this.#judge(blocks)
    if (this.trusted) return this.#told(host, fields, blocks)
    if (this.#last !== null && host === this.#lastHost) return this.#last
    // A copy: the text may be a slice that keeps the whole head in memory while the connection is idle.
    this.#lastHost = flatText(host)
    this.#last = this.#make(this.#lastHost, NO_HOPS, this.#scheme, '')
    return this.#last
  }

  #judge(blocks: AddressBlocks): void {
    this.#proxies = blocks
    this.trusted = blocks.contains(this.peer)
    this.#last = null
  }

  #told(host: string, fields: FieldReader, blocks: AddressBlocks): Forwarding {
    const hops = readHops(fields, blocks)
    const element = hops.elements[hops.client]
    // The element's own word first: where Forwarded is the source, X-Forwarded-* may be the client's.
    const toldHost = element?.host || (lastMember(fields.get('x-forwarded-host')) ?? '')
    const toldScheme = element?.scheme || schemeOf(lastMember(fields.get('x-forwarded-proto')) ?? '')
    const port = lastMember(fields.get('x-forwarded-port')) ?? ''
    return this.#make(
      isHostText(toldHost) ? toldHost : host,
      hops,
      toldScheme || this.#scheme,
      isPort(port) ? port : '',
    )
  }

  #make(host: string, hops: ForwardedHops, scheme: 'http' | 'https', toldPort: string): Forwarding {
    const ip = hops.elements[hops.client]?.node ?? this.peer
    const knownHost = isHostText(host) ? host : ''
    const direct = hops.client === -1 && scheme === this.#scheme
    const port = toldPort || (direct ? this.#port : portOf(knownHost, scheme))
    let lines = `x-forwarded-for: ${this.#addresses(hops.elements)}\r\nx-forwarded-proto: ${scheme}\r\n`
    if (knownHost !== '') lines += `x-forwarded-host: ${knownHost}\r\n`
    lines += `x-forwarded-port: ${port}\r\nforwarded: ${this.#elements(hops, knownHost, scheme)}\r\n`
    return { ip, scheme, host: knownHost, port, lines: flatText(lines) }
  }

  #addresses(elements: readonly ForwardedElement[]): string {
    let text = ''
    for (const { node } of elements) text += node.startsWith('_') ? 'unknown, ' : `${node}, `
    return text + this.peer
  }

  /** Host and scheme stand in the client's element: that is where readers of the field look for them. */
  #elements({ elements, client }: ForwardedHops, host: string, scheme: 'http' | 'https'): string {
    let text = ''
    for (const [index, element] of elements.entries()) {
      text += `${formatElement(index === client ? { node: element.node, host, scheme } : element)}, `
    }
    const own =
      client === -1 ? { node: this.peer, host, scheme } : { node: this.peer, host: '', scheme: '' as const }
    return text + formatElement(own)
  }
}

const NO_HOPS: ForwardedHops = { elements: [], client: -1 }

function isPort(text: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535
}

/** The port that a client of the outermost proxy must have used. */
function portOf(host: string, scheme: 'http' | 'https'): string {
  const port = /:([0-9]+)$/.exec(host)?.[1] ?? ''
  return isPort(port) ? port : scheme === 'https' ? '443' : '80'
}
