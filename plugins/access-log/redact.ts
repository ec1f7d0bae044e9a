import { type Context, secretParametersOf } from '@cardea/sdk'

/** What stands in the place of a secret. */
const REDACTED = '[redacted]'

/** Names of parameters whose secrecy is known; anyone can send any name. */
const KEPT_MAX = 1_000
/** Names that other plugins have noted. */
const NOTED_MAX = 100

/**
 * Keys as `cardea key new` makes them, and JWTs (JWS or JWE, RFC 7515 and 7516), wherever they stand; also behind or with
 * characters that are percent-encoded. None begins within a word, so that no text is gone through twice.
 */
const KEY_OR_JWT =
  /(?<=^|[^A-Za-z0-9]|%[0-9A-Fa-f]{2})ck(?:_|%5[Ff])(?:[\w-]|%[0-9A-Fa-f]{2}){20,}|(?<=^|[^\w-]|%[0-9A-Fa-f]{2})eyJ[\w-]{5,}(?:\.|%2[Ee])[\w-]+(?:(?:\.|%2[Ee])[\w-]*)+/g

/** From the scheme, or the two slashes of an address without one, to the last `@` before path, query or fragment. */
const USERINFO = /^((?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\/)[^/?#]*@/

/** What of a request is never written. */
export interface Redaction {
  /** The value of a header with what looks like a secret replaced, or what stands for it. `name` in lower case. */
  header(name: string, value: string): string
  /**
   * Path and query, or an absolute address, with the values of secret parameters replaced, what stands before an `@` in its
   * authority, and what looks like a secret.
   */
  url(url: string, ctx: Pick<Context, 'values'>): string
  /** A path, with what looks like a secret replaced. */
  path(path: string): string
}

export function redactionOf(headers: readonly string[], queryWords: readonly string[]): Redaction {
  const secretHeaders = new Set(headers.map((name) => name.toLowerCase()))
  const secretWords = new Set(queryWords.map((word) => word.toLowerCase()))
  const known = new Map<string, boolean>()
  // Remembered, since an exchange may end before the plugin that could note them has its turn.
  const noted = new Set<string>()
  const learn = (names: readonly string[]): void => {
    if (names.every((name) => noted.has(name))) return
    if (noted.size + names.length > NOTED_MAX) noted.clear()
    for (const name of names) noted.add(name)
    known.clear()
  }
  const isSecret = (name: string): boolean => {
    const before = known.get(name)
    if (before !== undefined) return before
    const words = wordsOf(name)
    const secret =
      words.some((word) => secretWords.has(word)) ||
      secretWords.has(words.join('')) ||
      noted.has(parameterName(name))
    if (known.size >= KEPT_MAX) known.clear()
    if (name.length <= 100) known.set(name, secret)
    return secret
  }
  return {
    header: (name, value) => (secretHeaders.has(name) ? REDACTED : withoutSecrets(value)),
    path: withoutSecrets,
    url(url, ctx) {
      learn(secretParametersOf(ctx))
      const hash = url.indexOf('#')
      const before = hash === -1 ? url : url.slice(0, hash)
      const at = before.indexOf('?')
      const text = withoutUserinfo(at === -1 ? before : redactedQuery(before, at + 1, isSecret))
      // Authorization servers answer by parameters in a fragment too (RFC 6749, 4.2.2).
      return withoutSecrets(hash === -1 ? text : text + redactedQuery(url.slice(hash), 1, isSecret))
    },
  }
}

/** A name and a password, or a token in the place of the name (RFC 3986, 3.2.1 and 7.5). */
function withoutUserinfo(url: string): string {
  return url.includes('@') ? url.replace(USERINFO, `$1${REDACTED}@`) : url
}

/** Most texts have none, and that is seen fast. */
function withoutSecrets(text: string): string {
  const mayHave = text.includes('eyJ') || text.includes('ck_') || text.includes('ck%5')
  return mayHave ? text.replaceAll(KEY_OR_JWT, REDACTED) : text
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

/** As plugins see it: by the URL Standard, also where it is not UTF-8. */
function parameterName(name: string): string {
  if (!name.includes('%') && !name.includes('+')) return name
  const [decodedName = ''] = new URLSearchParams(`?${name}`).keys()
  return decodedName
}

/**
 * `accessToken`, `access_token`, `user[token]` and `access%5Ftoken` are all of the words access (or user) and token, and
 * `APIToken` of api and token.
 */
function wordsOf(name: string): string[] {
  return decoded(name)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2')
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
