import { type Admission, type Cloneable, defineConsumer, fieldText, type Refusal } from '@cardea/sdk'
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { claimAt, consumerId, groupsOf, hasAll, scopesOf } from './claims.ts'
import type { Bounds, Config } from './config.ts'
import type { Key } from './key-set.ts'
import { type KeySource, KeysUnavailable } from './key-source.ts'
import { KEYS_UNAVAILABLE, SCOPE_REQUIRED, TOKEN_EXPIRED, TOKEN_INVALID } from './refusals.ts'
import { readForm } from './token-form.ts'

/** All that a request with one token needs, so that the next one costs no verification. */
export interface Verdict extends Admission {
  /** What `require` has against it. */
  readonly refusal: Refusal | null
  /** Whose signature it has: when that is no longer live, neither is this. */
  readonly key: Key
  /** Unix milliseconds from which on the token is not valid any more, the allowed skew of clocks included. */
  readonly endsAt: number
  /** Unix milliseconds from which on it has to be verified again. */
  readonly recheckAt: number
}

export type Outcome =
  | { readonly ok: true; readonly verdict: Verdict }
  | { readonly ok: false; readonly refusal: Refusal }

const CREDENTIAL_LENGTH_MAX = 200

/** Verifies tokens: form, signature, claims; in this order, so that nothing that is not signed is believed. */
export class Verifier {
  readonly #config: Config
  readonly #bounds: Bounds
  readonly #keys: KeySource
  readonly #options: JWTVerifyOptions

  constructor(config: Config, bounds: Bounds, keys: KeySource) {
    this.#config = config
    this.#bounds = bounds
    this.#keys = keys
    const { issuer, audience, allow_no_expiry } = config
    this.#options = {
      ...(issuer === undefined ? {} : { issuer: typeof issuer === 'string' ? issuer : [...issuer] }),
      ...(audience === undefined
        ? {}
        : { audience: typeof audience === 'string' ? audience : [...audience] }),
      requiredClaims: allow_no_expiry ? [] : ['exp'],
      clockTolerance: bounds.clockSkewMs / 1_000,
    }
  }

  /** Never rejects for what a client sent. */
  async verify(token: string): Promise<Outcome> {
    const form = readForm(token, this.#config.typ ?? null)
    if (form === null || !this.#config.algorithms.includes(form.alg)) return refused(TOKEN_INVALID)
    let candidates: readonly Key[]
    try {
      candidates = await this.#keys.find(form.alg, form.kid)
    } catch (error) {
      if (error instanceof KeysUnavailable) return refused(KEYS_UNAVAILABLE)
      throw error
    }
    for (const key of candidates) {
      const outcome = await this.#verifyWith(key, form.alg, token)
      if (outcome !== null) return outcome
    }
    return refused(TOKEN_INVALID)
  }

  /** Null: that key has not signed it. */
  async #verifyWith(key: Key, alg: string, token: string): Promise<Outcome | null> {
    try {
      const now = Date.now()
      const options = { ...this.#options, algorithms: [alg], currentDate: new Date(now) }
      const { payload } = await jwtVerify(token, key.material, options)
      return this.#judge(payload, key, now)
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) return null
      if (error instanceof errors.JWTExpired) return refused(TOKEN_EXPIRED)
      if (error instanceof errors.JOSEError) return refused(TOKEN_INVALID)
      // A key that the runtime cannot import, such as a point that is not on its curve: the source's fault, not a pass.
      if (error instanceof TypeError || error instanceof DOMException) return null
      throw error
    }
  }

  #judge(claims: JWTPayload, key: Key, now: number): Outcome {
    const config = this.#config
    const id = consumerId(claims, config)
    // 1e999 is a number to JSON, and for ever.
    if (id === null || claims.exp === Number.POSITIVE_INFINITY) return refused(TOKEN_INVALID)
    const groups = groupsOf(claims, config)
    const expiresAt = claims.exp === undefined ? null : claims.exp * 1_000
    const { jti } = claims
    const isNamed = typeof jti === 'string' && jti.length <= CREDENTIAL_LENGTH_MAX
    const consumer = defineConsumer({
      id,
      groups,
      metadata: this.#metadata(claims),
      method: 'jwt',
      credential: isNamed ? jti : key.kid,
      expiresAt,
    })
    const isAllowed = hasAll(config.require, claims, scopesOf(claims, config), groups)
    const { clockSkewMs, cacheAgeMs } = this.#bounds
    const verdict = {
      consumer,
      refusal: isAllowed ? null : SCOPE_REQUIRED,
      fieldValues: Object.values(config.upstream_headers).map((name) => fieldText(claimAt(claims, name))),
      key,
      endsAt: expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt + clockSkewMs,
      recheckAt: now + cacheAgeMs,
    }
    return { ok: true, verdict }
  }

  #metadata(claims: JWTPayload): Readonly<Record<string, Cloneable>> {
    const entries = this.#config.consumer.metadata
      .map((name): [string, unknown] => [name, claimAt(claims, name)])
      .filter(([, value]) => value !== undefined)
    // Parsed from JSON, so it can be cloned.
    return Object.fromEntries(entries) as Record<string, Cloneable>
  }
}

function refused(refusal: Refusal): Outcome {
  return { ok: false, refusal }
}
