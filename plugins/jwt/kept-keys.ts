import type { Host } from '@cardea/sdk'

/** What the last good answer of a URL was, as it is kept for a gateway that starts anew. */
export interface KeptAnswer {
  /** The keys of use as a JWK Set. */
  readonly text: string
  /** Unix milliseconds. */
  readonly fetchedAt: number
  /** How long the issuer says it is good; null: it does not say. */
  readonly maxAgeMs: number | null
}

/** `host.kv` takes 64 KiB. Larger sets are fetched again. */
const KEPT_CHARACTERS_MAX = 60_000

/**
 * The last good answer of each URL in `host.kv`: on disk, so that a gateway that starts while the URL is down still knows the
 * keys. They are public; the URL may hold a secret in its query, and is kept as a hash.
 */
export class KeptKeys {
  readonly #host: Host
  readonly #key: string

  constructor(host: Host, url: URL) {
    this.#host = host
    this.#key = `jwks:${host.hash('sha256', url.href, 'base64url')}`
  }

  /** Null: there is none, or none that can be read. Never rejects: without it the keys come from the URL. */
  async read(): Promise<KeptAnswer | null> {
    try {
      const value = await this.#host.kv.get(this.#key)
      return isKeptAnswer(value) ? value : null
    } catch (error) {
      this.#complain('read', error)
      return null
    }
  }

  /** Keeps it for `ttlMs`. Never rejects. */
  async write({ text, fetchedAt, maxAgeMs }: KeptAnswer, ttlMs: number): Promise<void> {
    try {
      if (text.length > KEPT_CHARACTERS_MAX) await this.#host.kv.delete(this.#key)
      else await this.#host.kv.set(this.#key, { text, fetchedAt, maxAgeMs }, { ttlMs })
    } catch (error) {
      this.#complain('keep', error)
    }
  }

  /** The issuer does not want it stored (RFC 9111, 5.2.2.5). Never rejects. */
  async forget(): Promise<void> {
    try {
      await this.#host.kv.delete(this.#key)
    } catch (error) {
      this.#complain('forget', error)
    }
  }

  #complain(what: string, error: unknown): void {
    if (this.#host.signal.aborted) return
    const reason = error instanceof Error ? error.message : String(error)
    this.#host.log.warn(
      `Cannot ${what} the keys on disk: ${reason}; a start while their URL is down lacks them`,
    )
  }
}

function isKeptAnswer(value: unknown): value is KeptAnswer {
  if (typeof value !== 'object' || value === null) return false
  const { text, fetchedAt, maxAgeMs } = value as Partial<Record<keyof KeptAnswer, unknown>>
  return (
    typeof text === 'string' &&
    Number.isFinite(fetchedAt) &&
    (maxAgeMs === null || (typeof maxAgeMs === 'number' && maxAgeMs >= 0))
  )
}

/** What Cache-Control and Age say of an answer (RFC 9111, 5.2.2 and 5.1). */
export interface Freshness {
  /** Null: it does not say. */
  readonly maxAgeMs: number | null
  readonly mayBeStored: boolean
}

export function freshnessOf(headers: Headers): Freshness {
  const directives = (headers.get('cache-control') ?? '').split(',').map((part) => part.trim().toLowerCase())
  const ages = directives.flatMap((directive) => /^max-age="?(\d+)"?$/.exec(directive)?.[1] ?? [])
  const age = Number(/^\d+$/.exec(headers.get('age') ?? '')?.[0] ?? 0)
  // Said twice, the shorter one counts; the digits may be too many for a number.
  const seconds = Math.min(...ages.map(Number)) - age
  return {
    maxAgeMs: ages.length === 0 ? null : Math.min(Math.max(seconds, 0) * 1_000, Number.MAX_SAFE_INTEGER),
    mayBeStored: !directives.includes('no-store'),
  }
}
