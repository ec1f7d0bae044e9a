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
      const at = url.indexOf('?')
      if (at === -1 || secretWords.size === 0) return url
      const query = url.slice(at + 1)
      const parts = query.split('&').map((part) => redactedPart(part, isSecret))
      return `${url.slice(0, at + 1)}${parts.join('&')}`
    },
  }
}

function redactedPart(part: string, isSecret: (name: string) => boolean): string {
  const equals = part.indexOf('=')
  if (equals === -1) return part
  const name = part.slice(0, equals)
  return isSecret(name) ? `${name}=${REDACTED}` : part
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
