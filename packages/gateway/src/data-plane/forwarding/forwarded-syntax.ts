import { addressGroups, formatAddress, parseAddress } from './address.ts'

/** Reading and writing the Forwarded field (RFC 7239) and its parts. */

export interface ForwardedElement {
  /** A canonical address without port, `unknown`, or an obfuscated name, which starts with `_`. */
  readonly node: string
  /** '' when the element does not tell. */
  readonly host: string
  readonly scheme: 'http' | 'https' | ''
}

const CHARS = new Uint8Array(256)
const TOKEN = 1
const OBFUSCATED = 2
const HOST = 4
function mark(kind: number, chars: string): void {
  for (const char of chars) CHARS[char.charCodeAt(0)] = (CHARS[char.charCodeAt(0)] ?? 0) | kind
}
const LETTERS_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
mark(TOKEN, `${LETTERS_DIGITS}!#$%&'*+-.^_\`|~`)
mark(OBFUSCATED, `${LETTERS_DIGITS}._-`)
mark(HOST, `${LETTERS_DIGITS}-._~!$&'()*+;=%:[]`)

function isAll(kind: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (((CHARS[text.charCodeAt(at)] ?? 0) & kind) === 0) return false
  }
  return text.length > 0
}

/** A name has 253 characters, a port five more. */
const HOST_CHARS_MAX = 260

/** Whether a text can stand in X-Forwarded-Host and Forwarded without being taken for anything else. */
export function isHostText(text: string): boolean {
  return text.length <= HOST_CHARS_MAX && isAll(HOST, text)
}

export function schemeOf(text: string): 'http' | 'https' | '' {
  const lower = text.toLowerCase()
  return lower === 'http' || lower === 'https' ? lower : ''
}

/** `1.2.3.4:80` and `[::1]:80` in their parts, the port as digits or ''. Null when it has another form. */
export function splitPort(text: string): { readonly address: string; readonly port: string } | null {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text)
  if (parts === null) return null
  const [, bracketed, plain = '', port = ''] = parts
  // Brackets mean IPv6, and only IPv6 has colons.
  if (bracketed !== undefined && !bracketed.includes(':')) return null
  return { address: bracketed ?? plain, port }
}

/**
 * Parses a Forwarded field value strictly. Null when any part of it breaks the grammar: half a field cannot be
 * trusted, since the broken half may hide a hop.
 */
export function parseForwarded(value: string): ForwardedElement[] | null {
  const elements: ForwardedElement[] = []
  const reader = new PairReader(value)
  while (!reader.atEnd) {
    const element = parseElement(reader)
    if (element === null) return null
    elements.push(element)
  }
  return reader.endsInComma ? null : elements
}

function parseElement(reader: PairReader): ForwardedElement | null {
  const seen = new Set<string>()
  let node = 'unknown'
  let host = ''
  let scheme: ForwardedElement['scheme'] = ''
  do {
    if (!reader.readPair() || seen.has(reader.name)) return null
    seen.add(reader.name)
    if (reader.name === 'for') {
      node = parseNode(reader.value)
      if (node === '') return null
    } else if (reader.name === 'host') {
      host = reader.value
      if (!isHostText(host)) return null
    } else if (reader.name === 'proto') {
      scheme = schemeOf(reader.value)
    }
  } while (reader.take(SEMICOLON))
  return reader.endElement() ? { node, host, scheme } : null
}

const scratch = addressGroups()

/** The node without its port; '' when it breaks the grammar of RFC 7239, 6. */
function parseNode(text: string): string {
  if (text.toLowerCase() === 'unknown') return 'unknown'
  if (text.startsWith('_')) {
    const colon = text.indexOf(':')
    const name = colon === -1 ? text : text.slice(0, colon)
    const port = colon === -1 ? '0' : text.slice(colon + 1)
    return name.length > 1 && isAll(OBFUSCATED, name) && isAll(OBFUSCATED, port) ? name : ''
  }
  const address = splitPort(text)?.address ?? ''
  return parseAddress(address, scratch) ? formatAddress(scratch) : ''
}

const QUOTE = 0x22
const COMMA = 0x2c
const SEMICOLON = 0x3b
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const SPACE = 0x20
const TAB = 0x09

/** Reads `name=value` pairs; spaces are allowed around commas only, as the list rule of RFC 9110, 5.6.1 says. */
class PairReader {
  readonly #text: string
  #at = 0
  endsInComma = false
  /** Lower case. */
  name = ''
  /** Unquoted. */
  value = ''

  constructor(text: string) {
    this.#text = text
    this.#skipSpace()
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length
  }

  take(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false
    this.#at++
    return true
  }

  /** After an element: the end, or a comma and what follows it. */
  endElement(): boolean {
    this.#skipSpace()
    this.endsInComma = this.take(COMMA)
    this.#skipSpace()
    return this.endsInComma || this.atEnd
  }

  readPair(): boolean {
    this.name = this.#token().toLowerCase()
    if (this.name === '' || !this.take(EQUALS)) return false
    if (this.take(QUOTE)) return this.#quoted()
    this.value = this.#token()
    return this.value !== ''
  }

  #token(): string {
    const start = this.#at
    while (((CHARS[this.#text.charCodeAt(this.#at)] ?? 0) & TOKEN) !== 0) this.#at++
    return this.#text.slice(start, this.#at)
  }

  #quoted(): boolean {
    this.value = ''
    while (!this.atEnd) {
      let code = this.#text.charCodeAt(this.#at++)
      if (code === QUOTE) return true
      if (code === BACKSLASH) {
        if (this.atEnd) return false
        code = this.#text.charCodeAt(this.#at++)
      }
      this.value += String.fromCharCode(code)
    }
    return false
  }

  #skipSpace(): void {
    while (this.#text.charCodeAt(this.#at) === SPACE || this.#text.charCodeAt(this.#at) === TAB) this.#at++
  }
}

/** One element in the form of RFC 7239: IPv6 bracketed and quoted, a host with a port quoted. */
export function formatElement({ node, host, scheme }: ForwardedElement): string {
  let text = `for=${node.includes(':') ? `"[${node}]"` : node}`
  if (host !== '') text += `;host=${isAll(TOKEN, host) ? host : `"${host}"`}`
  if (scheme !== '') text += `;proto=${scheme}`
  return text
}
