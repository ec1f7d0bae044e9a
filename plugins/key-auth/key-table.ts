import { digestIndex, type Host } from '@cardea/sdk'

type Hashing = Pick<Host, 'hash' | 'hmac'>

/** A hash as the config writes it. */
export interface KeyHash {
  readonly kind: 'sha256' | 'hmac-sha256'
  /** Hex. */
  readonly digest: string
}

/** As config_schema has checked it. */
export function parseHash(text: string): KeyHash {
  const colon = text.indexOf(':')
  return {
    kind: text.slice(0, colon) === 'sha256' ? 'sha256' : 'hmac-sha256',
    digest: text.slice(colon + 1),
  }
}

/** Longer ones are not hashed: that would cost what the client decides. */
const KEY_LENGTH_MAX = 512

interface Row<Entry> {
  /** base64url: a third shorter than hex, and so to compare. */
  readonly digest: string
  readonly entry: Entry
}

/**
 * Keys by their hash. The time of a lookup tells nothing that brings anybody closer to a key: it depends on digests, which
 * a client cannot steer towards one that is stored, and of these the candidates are compared to the end.
 */
export class KeyTable<Entry> {
  readonly #hashing: Hashing
  readonly #pepper: string | null
  readonly #plain = new Map<number, Row<Entry>[]>()
  readonly #peppered = new Map<number, Row<Entry>[]>()

  /** `pepper`: for hashes of kind hmac-sha256. */
  constructor(hashing: Hashing, pepper: string | null) {
    this.#hashing = hashing
    this.#pepper = pepper
  }

  /** False: the hash is there already. */
  add({ kind, digest: hex }: KeyHash, entry: Entry): boolean {
    const index = kind === 'sha256' ? this.#plain : this.#peppered
    const digest = base64urlOf(hex)
    const at = digestIndex(digest)
    const rows = index.get(at) ?? []
    if (rows.some((row) => row.digest === digest)) return false
    index.set(at, [...rows, { digest, entry }])
    return true
  }

  find(key: string): Entry | null {
    if (key === '' || key.length > KEY_LENGTH_MAX) return null
    if (this.#plain.size > 0) {
      const found = findRow(this.#plain, this.#hashing.hash('sha256', key, 'base64url'))
      if (found !== null) return found.entry
    }
    if (this.#peppered.size === 0 || this.#pepper === null) return null
    const digest = this.#hashing.hmac('sha256', this.#pepper, key, 'base64url')
    return findRow(this.#peppered, digest)?.entry ?? null
  }
}

function findRow<Entry>(index: ReadonlyMap<number, Row<Entry>[]>, digest: string): Row<Entry> | null {
  const rows = index.get(digestIndex(digest))
  if (rows === undefined) return null
  let found: Row<Entry> | null = null
  for (const row of rows) if (areEqual(row.digest, digest)) found = row
  return found
}

function base64urlOf(hex: string): string {
  const bytes = hex.match(/../g)?.map((byte) => String.fromCharCode(Number.parseInt(byte, 16))) ?? []
  return btoa(bytes.join('')).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

/** `host.timingSafeEqual` copies both into buffers first, which takes longer than the hash. Two digests have one length. */
function areEqual(a: string, b: string): boolean {
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
