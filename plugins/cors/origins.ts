import type { Pattern } from './pattern.ts'

/** What an origin of a browser looks like: a scheme and a host of at most 253 characters, with or without a port. */
const ORIGIN_LENGTH_MAX = 300
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@:[\]\s]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/
/** Labels before the host of a wildcard: `a`, `a.b`. */
const SUBDOMAIN = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/
const PORT = /^:[0-9]{1,5}$/

/** Answers of patterns that are kept; then all are forgotten. */
const KEPT_MAX = 1_000

/** Who may read answers. */
export class Origins {
  /** Everyone: nothing is asked, and nothing varies by Origin. */
  readonly isAny: boolean
  readonly #exact = new Set<string>()
  readonly #wildcards: ((origin: string) => boolean)[] = []
  /** What patterns said of an origin. Bounded, for anyone can send any. */
  readonly #known = new Map<string, boolean>()

  /** Throws an Error, for the user, on what is no origin. */
  constructor(origins: readonly string[], patterns: readonly Pattern[]) {
    if (origins.length + patterns.length === 0) {
      throw new Error('it names no origin: set "origins", or "origin_patterns"')
    }
    this.isAny = origins.includes('*')
    if (this.isAny && origins.length + patterns.length > 1) {
      throw new Error(
        '"origins" holds "*", which is everyone, and others besides: keep the one or the others',
      )
    }
    for (const text of this.isAny ? [] : origins) this.#add(text)
    this.#wildcards.push(...patterns.map(({ matches }) => matches))
  }

  allows(origin: string): boolean {
    return this.#exact.has(origin) || (this.#wildcards.length > 0 && this.#isMatched(origin))
  }

  #isMatched(origin: string): boolean {
    if (origin.length > ORIGIN_LENGTH_MAX) return false
    const known = this.#known.get(origin)
    if (known !== undefined) return known
    const isMatched = ORIGIN.test(origin) && this.#wildcards.some((matches) => matches(origin))
    if (this.#known.size >= KEPT_MAX) this.#known.clear()
    this.#known.set(origin, isMatched)
    return isMatched
  }

  #add(text: string): void {
    if (text.includes('*')) this.#wildcards.push(wildcardOf(text))
    else this.#exact.add(exactOrigin(text))
  }
}

/** The text, if browsers send this origin in this form. */
function exactOrigin(text: string): string {
  if (text === 'null') {
    throw new Error(
      '"origins" holds "null", which every sandboxed page and local file sends; "*" says that openly',
    )
  }
  const sent = serialized(text)
  if (sent === text) return text
  const hint = sent === null ? 'write it as https://app.example.com' : `write ${JSON.stringify(sent)}`
  throw new Error(`${JSON.stringify(text)} in "origins" is no origin as browsers send it; ${hint}`)
}

/** What a browser would send for a page at this address; null: it is no address. */
function serialized(text: string): string | null {
  if (/^https?:/i.test(text)) {
    const url = URL.parse(text)
    return url === null ? null : url.origin
  }
  return ORIGIN.test(text) ? text : null
}

/** `https://*.example.com` with or without a port, and `http://localhost:*` or `http://[::1]:*`; both together, too. */
function wildcardOf(text: string): (origin: string) => boolean {
  const [, scheme = '', star = '', host = '', port = ''] =
    /^([a-z][a-z0-9+.-]*:\/\/)(\*\.)?([^*:/[\]]+|\[[0-9a-f:]+\])(:\*|:[0-9]+)?$/.exec(text) ?? []
  const anyPort = port === ':*'
  const fixed = `${scheme}${host}${anyPort ? '' : port}`
  if (host === '' || serialized(fixed) !== fixed) {
    throw new Error(
      `${JSON.stringify(text)} in "origins" is no wildcard; write https://*.example.com, or http://localhost:* or ` +
        'http://[::1]:* for any port',
    )
  }
  if (star !== '' && !host.includes('.') && host !== 'localhost') {
    throw new Error(`${JSON.stringify(text)} in "origins" is every host below ".${host}"; name a domain`)
  }
  return (origin) => {
    if (!origin.startsWith(scheme)) return false
    const at = origin.lastIndexOf(host)
    if (at < scheme.length) return false
    const before = origin.slice(scheme.length, at)
    const after = origin.slice(at + host.length)
    const isHost = star === '' ? before === '' : before.endsWith('.') && SUBDOMAIN.test(before.slice(0, -1))
    return isHost && (anyPort ? after === '' || PORT.test(after) : after === port)
  }
}
