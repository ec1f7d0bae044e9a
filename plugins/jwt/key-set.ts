import type { JWK } from 'jose'

/** One public key, or the secret of an HMAC. */
export interface Key {
  /** Null: it has none, and only tokens without one are tried with it. */
  readonly kid: string | null
  /** What jose takes for it. The object itself is the key of jose's cache of imported keys. */
  readonly material: JWK | Uint8Array
  /** False once the source has it no more: then what it has signed is not believed any more either. */
  isLive: boolean
}

const KEYS_MAX = 100
const RSA_BITS_MIN = 2_048
const RSA_BITS_MAX = 8_192

interface Member {
  readonly key: Key
  readonly jwk: JWK
  /** Equal for equal keys, whatever the order of their members. */
  readonly identity: string
}

/** The public keys of a JWK Set (RFC 7517, 5). */
export class KeySet {
  readonly #members: readonly Member[]
  /** How many members of the set are of no use, by what is wrong with them. */
  readonly ignored: ReadonlyMap<Fault, number>

  private constructor(members: readonly Member[], ignored: ReadonlyMap<Fault, number>) {
    this.#members = members
    this.ignored = ignored
  }

  /**
   * Reads a JWK Set. What `before` has too stays the same key; what it has alone is not live any more. Throws an Error,
   * which quotes nothing of the text, when there is no set, or no key of use in it; then `before` is as it was.
   */
  static parse(text: string, before: KeySet | null): KeySet {
    const listed = listedKeys(text)
    const old = before === null ? [] : before.#members
    const known = new Map(old.map((member) => [member.identity, member]))
    const usable: JWK[] = []
    const ignored = new Map<Fault, number>()
    for (const given of listed) {
      const fault = faultOf(given)
      if (fault === null) usable.push(given as JWK)
      else ignored.set(fault, (ignored.get(fault) ?? 0) + 1)
    }
    if (usable.length === 0) {
      const why = ignored.size === 0 ? '' : ` (${faultsText(ignored)})`
      throw new Error(
        `it has ${listed.length} keys, and none that can verify: public ones of kind RSA, EC or OKP${why}`,
      )
    }
    const members = usable.map((jwk): Member => {
      const identity = JSON.stringify(Object.entries(jwk).sort(([a], [b]) => (a < b ? -1 : 1)))
      const kid = typeof jwk.kid === 'string' ? jwk.kid : null
      return known.get(identity) ?? { key: { kid, material: jwk, isLive: true }, jwk, identity }
    })
    const kept = new Set(members)
    for (const member of old) if (!kept.has(member)) member.key.isLive = false
    return new KeySet(members, ignored)
  }

  /** The usable keys as a JWK Set, for `parse`. */
  get text(): string {
    return JSON.stringify({ keys: this.#members.map(({ jwk }) => jwk) })
  }

  /** The keys with which a token of that header may have been signed; none: the signer is not known. */
  find(alg: string, kid: string | null): readonly Key[] {
    const fitting = this.#members.filter(
      ({ key, jwk }) =>
        (kid === null || key.kid === kid) && (jwk.alg === undefined || jwk.alg === alg) && fits(jwk, alg),
    )
    return fitting.map(({ key }) => key)
  }
}

function listedKeys(text: string): readonly unknown[] {
  let value: unknown
  try {
    // Some editors and servers put a byte order mark in front, which readers may ignore (RFC 8259, 8.1).
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw new Error('it is not JSON')
  }
  const keys: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'keys') : undefined
  if (!Array.isArray(keys)) throw new Error('it is no JWK Set: it has no list of keys')
  if (keys.length > KEYS_MAX) throw new Error(`it has ${keys.length} keys, more than ${KEYS_MAX}`)
  return keys
}

/** What may be wrong with a member of a set. */
export type Fault = keyof typeof FAULTS

const FAULTS = {
  shape: 'not a public key with all its members',
  secret: 'private or secret',
  purpose: 'for something else by its use, key_ops or alg',
  kind: 'of a kind or curve that signs nothing here',
  size: `RSA of less than ${RSA_BITS_MIN} or more than ${RSA_BITS_MAX} bits`,
}

/** Each fault with its number, for a message. */
export function faultsText(faults: ReadonlyMap<Fault, number>): string {
  return [...faults].map(([fault, count]) => `${count} ${FAULTS[fault]}`).join(', ')
}

const CURVES: Readonly<Record<string, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
  Ed25519: 'Ed25519',
}

const SIGNATURES = /^(?:(?:RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519)$/

/**
 * What a set holds for others is passed over (RFC 7517, 5). Secrets have no place in a set that is public, and private keys
 * are not taken for public ones.
 */
function faultOf(given: unknown): Fault | null {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return 'shape'
  const { kty, use, key_ops: operations, alg, d, k, crv, n, e, x, y } = given as JWK
  if (d !== undefined || k !== undefined) return 'secret'
  if (use !== undefined && use !== 'sig') return 'purpose'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'purpose'
  if (alg !== undefined && !(typeof alg === 'string' && SIGNATURES.test(alg))) return 'purpose'
  if (kty === 'RSA') {
    if (typeof n !== 'string' || typeof e !== 'string') return 'shape'
    const bits = Buffer.from(n, 'base64url').length * 8
    return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? null : 'size'
  }
  if ((kty !== 'EC' && kty !== 'OKP') || !Object.values(CURVES).includes(String(crv))) return 'kind'
  return typeof x === 'string' && (kty === 'OKP' || typeof y === 'string') ? null : 'shape'
}

/** A key is used with algorithms of its own kind only, whatever the token says (RFC 8725, 3.1). */
function fits({ kty, crv }: JWK, alg: string): boolean {
  if (alg.startsWith('RS') || alg.startsWith('PS')) return kty === 'RSA'
  const kind = alg.startsWith('ES') ? 'EC' : 'OKP'
  return kty === kind && crv !== undefined && crv === CURVES[alg]
}
