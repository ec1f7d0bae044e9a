import {
  type Admission,
  type Cloneable,
  defineConsumer,
  fieldText,
  type Log,
  type Refusal,
} from '@cardea/sdk'
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { claimAt, consumerId, groupsOf, hasAll, scopesOf, wrongTimeIn } from './claims.ts'
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
  /** `reason`: what is wrong with the token, in no words of its own; null: nothing that is known. */
  | { readonly ok: false; readonly refusal: Refusal; readonly reason: string | null }

const CREDENTIAL_LENGTH_MAX = 200
/**
 * Keys that one token is tried with. Where the issuer says `kid`, as nearly all do, there is one; without it all of an algorithm
 * fit, of which issuers have two or three, and more only for the time of a rotation. Every forged token costs as many
 * verifications: measured 0.15 ms each for RS256, 0.3 for ES256, 1 for ES384 and 2.2 for ES512, beside the main thread. So
 * it takes 5 ms by ES256 and 35 by ES512 at most, and the set of 100 keys could make that a fifth of a second.
 */
export const CANDIDATES_MAX = 16

/** Verifies tokens: form, signature, claims; in this order, so that nothing that is not signed is believed. */
export class Verifier {
  readonly #config: Config
  readonly #bounds: Bounds
  readonly #keys: KeySource
  readonly #log: Log
  readonly #options: JWTVerifyOptions
  #hasToldOfMore = false

  constructor(config: Config, bounds: Bounds, keys: KeySource, log: Log) {
    this.#config = config
    this.#bounds = bounds
    this.#keys = keys
    this.#log = log
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
    if (form === null) return invalid('it is no JWS in compact form, or its typ, kid or crit is not taken')
    if (!this.#config.algorithms.includes(form.alg)) return invalid('its alg is not among `algorithms`')
    let candidates: readonly Key[]
    try {
      candidates = await this.#keys.find(form.alg, form.kid)
    } catch (error) {
      if (error instanceof KeysUnavailable) return refused(KEYS_UNAVAILABLE, null)
      throw error
    }
    for (const key of candidates.slice(0, CANDIDATES_MAX)) {
      const outcome = await this.#verifyWith(key, form.alg, token)
      if (outcome !== null) return outcome
    }
    if (candidates.length > CANDIDATES_MAX) this.#tellOfMore(candidates.length, form.alg)
    return invalid(
      candidates.length === 0
        ? 'no key is of its alg and kid'
        : 'its signature is by none of the keys that fit',
    )
  }

  /** Once: whoever makes up tokens must not fill the log. */
  #tellOfMore(fitting: number, alg: string): void {
    if (this.#hasToldOfMore) return
    this.#hasToldOfMore = true
    this.#log.warn(
      `A token by ${alg} was refused that ${fitting} keys fit: only the first ${CANDIDATES_MAX} are tried`,
      { hint: 'give every key of the issuer a `kid` of its own, and say it in its tokens' },
    )
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
      if (error instanceof errors.JWTExpired) {
        return faultOfTimes(error.payload) ?? refused(TOKEN_EXPIRED, error.message)
      }
      if (error instanceof errors.JOSEError) return invalid(error.message)
      // A key that the runtime cannot import, such as a point that is not on its curve: the source's fault, not a pass.
      if (error instanceof TypeError || error instanceof DOMException) return null
      throw error
    }
  }

  #judge(claims: JWTPayload, key: Key, now: number): Outcome {
    const config = this.#config
    const id = consumerId(claims, config)
    if (id === null) {
      return invalid(
        `its claim "${config.consumer.id}" (\`consumer.id\`) is missing, or not a text that can be an id`,
      )
    }
    const fault = faultOfTimes(claims)
    if (fault !== null) return fault
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

function refused(refusal: Refusal, reason: string | null): Outcome {
  return { ok: false, refusal, reason }
}

/** 1e999 is a number to JSON, and for ever; so is 1e306. */
function faultOfTimes(claims: JWTPayload): Outcome | null {
  const name = wrongTimeIn(claims)
  return name === null ? null : invalid(`its ${name} is no time`)
}

function invalid(reason: string): Outcome {
  return refused(TOKEN_INVALID, reason)
}
