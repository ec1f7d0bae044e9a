import { type Cloneable, type CredentialSource, durationMs, sizeBytes } from '@cardea/sdk'

/** What config_schema describes, defaults filled in. */
export interface Config {
  readonly algorithms: readonly string[]
  readonly keys: KeysConfig
  readonly issuer?: string | readonly string[]
  readonly audience?: string | readonly string[]
  readonly typ?: string
  readonly clock_skew: string
  readonly allow_no_expiry: boolean
  readonly token_bytes_max: string
  readonly sources: readonly CredentialSource[]
  readonly remove_token: boolean
  readonly consumer: { readonly id: string; readonly groups: string; readonly metadata: readonly string[] }
  readonly scope_claims: readonly string[]
  readonly require: RequireConfig
  readonly upstream_headers: Readonly<Record<string, string>>
  readonly anonymous?: {
    readonly id: string
    readonly groups: readonly string[]
    readonly metadata: Readonly<Record<string, Cloneable>>
  }
  readonly cache: { readonly tokens_max: number; readonly max_age: string }
  readonly realm: string
}

export interface KeysConfig {
  readonly url?: string
  readonly jwks?: string
  readonly pem?: string
  readonly secret?: string
  readonly secret_encoding: 'utf8' | 'base64url'
  readonly max_age: string
  readonly max_age_longest: string
  readonly cooldown: string
  readonly stale_max: string
  readonly timeout: string
}

type Scalar = string | number | boolean

export interface RequireConfig {
  readonly scopes_all?: readonly string[]
  readonly scopes_any?: readonly string[]
  readonly groups_all?: readonly string[]
  readonly groups_any?: readonly string[]
  readonly claims?: Readonly<Record<string, Scalar | readonly Scalar[]>>
}

/** Sizes and times of a config, as numbers. */
export interface Bounds {
  /** How far the clock of who made a token may be off. */
  readonly clockSkewMs: number
  readonly tokenBytesMax: number
  /** How long a token is known that has been verified. */
  readonly cacheAgeMs: number
  /** Until keys are fetched again, where their issuer says nothing of it. */
  readonly keysAgeMs: number
  /** The longest time until then that their issuer can ask for. */
  readonly keysAgeLongestMs: number
  /** How long after their fetch keys are used, while they cannot be fetched again. */
  readonly keysStaleMs: number
  /** From one fetch to the next while there are keys to use, whatever the issuer or a token asks for. */
  readonly cooldownMs: number
  /** One fetch. */
  readonly fetchTimeoutMs: number
}

export function boundsOf({ clock_skew, token_bytes_max, cache, keys }: Config): Bounds {
  return {
    clockSkewMs: durationMs(clock_skew),
    tokenBytesMax: sizeBytes(token_bytes_max),
    cacheAgeMs: durationMs(cache.max_age),
    keysAgeMs: durationMs(keys.max_age),
    keysAgeLongestMs: Math.max(durationMs(keys.max_age_longest), durationMs(keys.max_age)),
    keysStaleMs: durationMs(keys.stale_max),
    cooldownMs: durationMs(keys.cooldown),
    fetchTimeoutMs: durationMs(keys.timeout),
  }
}

const KEY_KINDS = ['url', 'jwks', 'pem', 'secret'] as const

/**
 * Which of the four `keys` has. Throws when it is not one, or when an algorithm does not go with it: a public key taken for the
 * secret of an HMAC would let everybody sign (RFC 8725, 2.1).
 */
export function keyKindOf({ keys, algorithms }: Config): (typeof KEY_KINDS)[number] {
  const kinds = KEY_KINDS.filter((kind) => keys[kind] !== undefined)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) {
    throw new Error(
      `Cannot verify tokens: \`keys\` has ${kinds.length === 0 ? 'none' : kinds.join(' and ')} of url, jwks, pem and secret; ` +
        'say one.',
    )
  }
  const isWrong = (algorithm: string): boolean => algorithm.startsWith('HS') !== (kind === 'secret')
  const wrong = algorithms.find(isWrong)
  if (wrong === undefined) return kind
  throw new Error(
    kind === 'secret'
      ? `Cannot verify ${wrong} by a secret: it needs a public key. Say \`keys.url\`, \`keys.jwks\` or \`keys.pem\`, or HS256, HS384 or HS512.`
      : `Cannot verify ${wrong} by public keys: whoever reads them could sign. Say \`keys.secret\`, or take ${wrong} from \`algorithms\`.`,
  )
}
