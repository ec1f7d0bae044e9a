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
  /** How many members of the set are of no use: of another kind, private, too weak. */
  readonly ignored: number

  private constructor(members: readonly Member[], ignored: number) {
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
    const usable = listed.filter(isUsable)
    if (usable.length === 0) {
      throw new Error(
        `it has ${listed.length} keys, and none that can verify: public ones of kind RSA, EC or OKP`,
      )
    }
    const members = usable.map((jwk): Member => {
      const identity = JSON.stringify(Object.entries(jwk).sort(([a], [b]) => (a < b ? -1 : 1)))
      const kid = typeof jwk.kid === 'string' ? jwk.kid : null
      return known.get(identity) ?? { key: { kid, material: jwk, isLive: true }, jwk, identity }
    })
    const kept = new Set(members)
    for (const member of old) if (!kept.has(member)) member.key.isLive = false
    return new KeySet(members, listed.length - usable.length)
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
    value = JSON.parse(text)
  } catch {
    throw new Error('it is not JSON')
  }
  const keys: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'keys') : undefined
  if (!Array.isArray(keys)) throw new Error('it is no JWK Set: it has no list of keys')
  if (keys.length > KEYS_MAX) throw new Error(`it has ${keys.length} keys, more than ${KEYS_MAX}`)
  return keys
}

/** Secrets have no place in a set that is public, and private keys are not taken for public ones. */
function isUsable(given: unknown): given is JWK {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false
  const { kty, use, key_ops: operations, d, k, n } = given as JWK
  if (d !== undefined || k !== undefined || (use !== undefined && use !== 'sig')) return false
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return false
  if (kty === 'EC' || kty === 'OKP') return true
  if (kty !== 'RSA' || typeof n !== 'string') return false
  const bits = Buffer.from(n, 'base64url').length * 8
  return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX
}

const CURVES: Readonly<Record<string, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
  Ed25519: 'Ed25519',
}

/** A key is used with algorithms of its own kind only, whatever the token says (RFC 8725, 3.1). */
function fits({ kty, crv }: JWK, alg: string): boolean {
  if (alg.startsWith('RS') || alg.startsWith('PS')) return kty === 'RSA'
  const kind = alg.startsWith('ES') ? 'EC' : 'OKP'
  return kty === kind && crv !== undefined && crv === CURVES[alg]
}
