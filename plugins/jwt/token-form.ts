/**
 * What a token must look like before any key is looked at: the compact form of RFC 7515, 7.1, in the one spelling that each
 * token has, with a header and claims that every reader understands alike.
 */

export interface TokenForm {
  readonly alg: string
  readonly kid: string | null
}

const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/
const KID_LENGTH_MAX = 512

/** Media types of tokens that let somebody in (RFC 7519, 5.1; RFC 9068, 2.1); those of other kinds are for other places. */
const TYPES_ALLOWED: ReadonlySet<string> = new Set(['jwt', 'at+jwt'])

/** Null: it is no token, or not of the type `typ` (null: JWT, at+jwt, or none said). */
export function readForm(token: string, typ: string | null): TokenForm | null {
  if (!COMPACT.test(token)) return null
  const [head = '', claims = '', signature = ''] = token.split('.')
  if (!isCanonical(signature)) return null
  const header = readObject(head)
  if (header === null || readObject(claims) === null) return null
  const { alg, kid, crit } = header
  // None of the extensions that crit could name is understood here (RFC 7515, 4.1.11).
  if (typeof alg !== 'string' || crit !== undefined || !isTypeAllowed(header.typ, typ)) return null
  if (kid === undefined) return { alg, kid: null }
  return typeof kid === 'string' && kid.length <= KID_LENGTH_MAX ? { alg, kid } : null
}

function isTypeAllowed(given: unknown, wanted: string | null): boolean {
  if (given === undefined) return wanted === null
  if (typeof given !== 'string') return false
  const type = shortType(given)
  return wanted === null ? TYPES_ALLOWED.has(type) : type === shortType(wanted)
}

/** `application/` may be left out (RFC 7515, 4.1.9). */
function shortType(type: string): string {
  return type.toLowerCase().replace(/^application\/(?=[^/]*$)/, '')
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The JSON object of a part; null for anything else, also for one that says a name twice (RFC 7519, 4). */
function readObject(part: string): Readonly<Record<string, unknown>> | null {
  if (!isCanonical(part)) return null
  try {
    const text = strictUtf8.decode(Buffer.from(part, 'base64url'))
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject && !saysNameTwice(text) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Whether the bits that base64url leaves over are zero: else one token had many spellings. */
function isCanonical(part: string): boolean {
  const over = part.length % 4
  if (over === 0) return true
  if (over === 1) return false
  const last = DIGITS.indexOf(part.charAt(part.length - 1))
  return (last & (over === 2 ? 0b1111 : 0b11)) === 0
}

/** Of a valid JSON text: whether some object in it has a name twice. Readers differ in which of the values counts. */
export function saysNameTwice(json: string): boolean {
  const open: (Set<string> | null)[] = []
  for (let at = 0; at < json.length; at++) {
    switch (json.charAt(at)) {
      case '{':
        open.push(new Set())
        break
      case '[':
        open.push(null)
        break
      case '}':
      case ']':
        open.pop()
        break
      case '"': {
        const end = endOfString(json, at)
        if (isName(json, end)) {
          const names = open.at(-1)
          const name = JSON.parse(json.slice(at, end)) as string
          if (names?.has(name)) return true
          names?.add(name)
        }
        at = end - 1
        break
      }
      default:
    }
  }
  return false
}

function endOfString(json: string, start: number): number {
  let at = start + 1
  while (json.charAt(at) !== '"') at += json.charAt(at) === '\\' ? 2 : 1
  return at + 1
}

function isName(json: string, end: number): boolean {
  let at = end
  while (' \t\n\r'.includes(json.charAt(at)) && at < json.length) at++
  return json.charAt(at) === ':'
}
