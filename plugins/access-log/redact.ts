/** What stands in the place of a secret. */
const REDACTED = '[redacted]'

/** Names of parameters whose secrecy is known; anyone can send any name. */
const KEPT_MAX = 1_000

/** What of a request is never written. */
export interface Redaction {
  /** The value of a header, or what stands for it. `name` in lower case. */
  header(name: string, value: string): string
  /** Path and query, or an absolute address, with the values of secret parameters replaced. */
  url(url: string): string
}

export function redactionOf(headers: readonly string[], queryWords: readonly string[]): Redaction {
  const secretHeaders = new Set(headers.map((name) => name.toLowerCase()))
  const secretWords = new Set(queryWords.map((word) => word.toLowerCase()))
  const known = new Map<string, boolean>()
  const isSecret = (name: string): boolean => {
    const before = known.get(name)
    if (before !== undefined) return before
    const secret = wordsOf(name).some((word) => secretWords.has(word))
    if (known.size >= KEPT_MAX) known.clear()
    if (name.length <= 100) known.set(name, secret)
    return secret
  }
  return {
    header: (name, value) => (secretHeaders.has(name) ? REDACTED : value),
    url(url) {
      if (secretWords.size === 0) return url
      const hash = url.indexOf('#')
      const before = hash === -1 ? url : url.slice(0, hash)
      const at = before.indexOf('?')
      const text = at === -1 ? before : redactedQuery(before, at + 1, isSecret)
      // Authorization servers answer by parameters in a fragment too (RFC 6749, 4.2.2).
      return hash === -1 ? text : text + redactedQuery(url.slice(hash), 1, isSecret)
    },
  }
}

/** Most queries hold no secret, and are given back as they are. */
function redactedQuery(url: string, from: number, isSecret: (name: string) => boolean): string {
  let text = ''
  let copied = 0
  // Looked for again only when it has been passed: else a query of nothing but `&` took n² steps.
  let equals = from - 1
  for (let start = from; start < url.length && equals !== -1; ) {
    const ampersand = url.indexOf('&', start)
    const end = ampersand === -1 ? url.length : ampersand
    if (equals < start) equals = url.indexOf('=', start)
    if (equals !== -1 && equals < end && isSecret(url.slice(start, equals))) {
      text += `${url.slice(copied, equals + 1)}${REDACTED}`
      copied = end
    }
    start = end + 1
  }
  return copied === 0 ? url : text + url.slice(copied)
}

/** `accessToken`, `access_token`, `user[token]` and `access%5Ftoken` are all of the words access (or user) and token. */
function wordsOf(name: string): string[] {
  return decoded(name)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.toLowerCase())
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
