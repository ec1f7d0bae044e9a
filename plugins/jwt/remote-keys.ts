import type { Host, State } from '@cardea/sdk'
import type { Bounds } from './config.ts'
import { freshnessOf, KeptKeys } from './kept-keys.ts'
import { type Key, KeySet } from './key-set.ts'
import { type KeySource, KeysUnavailable } from './key-source.ts'

/** What is known of one URL. All instances of a worker share it, and no swap forgets it. */
export interface RemoteSet {
  set: KeySet | null
  /** Unix milliseconds; 0: never. */
  fetchedAt: number
  triedAt: number
  hasFailed: boolean
  /** How long the issuer says that they are good; null: it does not say. */
  maxAgeMs: number | null
  pending: Promise<void> | null
  /** Looking on the disk; settled once that was done, which is once in the life of a worker. */
  reading: Promise<void> | null
}

export type RemoteSets = Map<string, RemoteSet>

const SETS_MAX = 100
const SET_BYTES_MAX = 1024 * 1024
/** While there are no keys at all, every request waits for some: so often is the URL asked then. */
const RETRY_MS = 1_000

/**
 * The JWK Set behind a URL: fetched when first needed, again in time, and used on while the URL is down, from the disk too
 * when the gateway was started meanwhile.
 */
export class RemoteKeys implements KeySource {
  readonly #url: URL
  readonly #host: Host
  readonly #bounds: Bounds
  readonly #sets: State<RemoteSets>
  readonly #kept: KeptKeys

  constructor(url: URL, host: Host, bounds: Bounds) {
    this.#url = url
    this.#host = host
    this.#bounds = bounds
    this.#sets = host.state('jwks', 2, (): RemoteSets => new Map())
    this.#kept = new KeptKeys(host, url)
  }

  isReady(nowMs: number): boolean {
    const remote = this.#remote
    if (this.#usable(remote, nowMs) === null) return false
    if (nowMs - remote.fetchedAt >= this.#ageOf(remote) && nowMs - remote.triedAt >= this.#bounds.cooldownMs)
      void this.#fetch(remote)
    return true
  }

  /** After which time they are fetched again: what the issuer says, within bounds. */
  #ageOf({ maxAgeMs }: RemoteSet): number {
    const { keysAgeMs, keysAgeLongestMs, cooldownMs } = this.#bounds
    return maxAgeMs === null ? keysAgeMs : Math.min(Math.max(maxAgeMs, cooldownMs), keysAgeLongestMs)
  }

  async find(alg: string, kid: string | null): Promise<readonly Key[]> {
    const now = Date.now()
    this.isReady(now)
    const remote = this.#remote
    const known = this.#usable(remote, now)?.find(alg, kid) ?? []
    if (known.length > 0) return known
    if (remote.set === null) {
      // At once, and whichever comes first: neither is sure to answer.
      const refreshing = this.#refresh(remote)
      const reading = this.#read(remote)
      await Promise.race([refreshing, reading])
      const first = this.#usable(remote, Date.now())?.find(alg, kid) ?? []
      if (first.length > 0) return first
      await refreshing
      if (remote.set === null) await reading
    } else await this.#refresh(remote)
    const set = this.#usable(remote, Date.now())
    if (set === null) throw new KeysUnavailable()
    const found = set.find(alg, kid)
    // The signer may be new, and the URL cannot be asked: not known is not the same as not trusted.
    if (found.length === 0 && remote.hasFailed) throw new KeysUnavailable()
    return found
  }

  get #remote(): RemoteSet {
    const sets = this.#sets.value
    const { href } = this.#url
    const known = sets.get(href)
    if (known !== undefined) return known
    const made = newRemoteSet()
    // Of URLs that no config names any more; one that is still in use is fetched again.
    const [oldest] = sets.keys()
    if (sets.size >= SETS_MAX && oldest !== undefined) sets.delete(oldest)
    sets.set(href, made)
    return made
  }

  #usable({ set, fetchedAt }: RemoteSet, nowMs: number): KeySet | null {
    return nowMs - fetchedAt < this.#bounds.keysStaleMs ? set : null
  }

  /** Takes what an earlier gateway has kept, with the age that it has. Never rejects. */
  #read(remote: RemoteSet): Promise<void> {
    remote.reading ??= this.#kept.read().then((kept) => {
      // What was fetched meanwhile is newer.
      if (kept === null || remote.set !== null) return
      try {
        remote.set = KeySet.parse(kept.text, null)
      } catch {
        // Nothing of use on the disk is as good as nothing.
        return
      }
      // A clock that was set back would make them younger than they are.
      remote.fetchedAt = Math.min(kept.fetchedAt, Date.now())
      remote.maxAgeMs = kept.maxAgeMs
    })
    return remote.reading
  }

  /** Asks for the keys, unless that was done just now: tokens with made-up key ids must not become requests to the URL. */
  async #refresh(remote: RemoteSet): Promise<void> {
    if (remote.pending !== null) {
      await remote.pending
      // It was another instance's, and ended with that; or somebody who waited too asks again already.
      if (remote.triedAt === 0 || remote.pending !== null) await this.#refresh(remote)
      return
    }
    const now = Date.now()
    const pauseMs = this.#usable(remote, now) === null ? RETRY_MS : this.#bounds.cooldownMs
    // A clock that was set back would otherwise keep it from asking for as long.
    const isRecent = now >= remote.triedAt && now - remote.triedAt < pauseMs
    if (!isRecent) await this.#fetch(remote)
  }

  #fetch(remote: RemoteSet): Promise<void> {
    remote.pending ??= this.#fetchAlone(remote).finally(() => {
      remote.pending = null
    })
    return remote.pending
  }

  /** Never rejects. */
  async #fetchAlone(remote: RemoteSet): Promise<void> {
    remote.triedAt = Date.now()
    try {
      const { text, headers } = await this.#download()
      remote.set = KeySet.parse(text, remote.set)
      remote.fetchedAt = remote.triedAt
      remote.hasFailed = false
      const { maxAgeMs, mayBeStored } = freshnessOf(headers)
      remote.maxAgeMs = maxAgeMs
      const answer = { text: remote.set.text, fetchedAt: remote.fetchedAt, maxAgeMs }
      if (mayBeStored) void this.#kept.write(answer, this.#bounds.keysStaleMs)
      else void this.#kept.forget()
    } catch (error) {
      remote.hasFailed = true
      // Another instance may ask at once: that this one ended says nothing of the URL.
      if (this.#host.signal.aborted) remote.triedAt = 0
      else {
        const { origin, pathname } = this.#url
        const reason = `${reasonOf(error)}; ${this.#leftOf(remote)}`
        this.#host.log.warn(`Cannot fetch the keys from ${origin}${pathname}: ${reason}`)
      }
    }
  }

  /** What tokens are checked with when the URL did not help. */
  #leftOf(remote: RemoteSet): string {
    if (remote.set === null) return 'there are none yet'
    if (this.#usable(remote, Date.now()) !== null) return 'those from before are used on'
    return 'those from before are older than `keys.stale_max`, so requests with a token get 503'
  }

  async #download(): Promise<{ readonly text: string; readonly headers: Headers }> {
    const late = new AbortController()
    const { fetchTimeoutMs } = this.#bounds
    const timer = this.#host.setTimeout(
      () => late.abort(new Error(`it took longer than ${fetchTimeoutMs} ms`)),
      fetchTimeoutMs,
    )
    try {
      const response = await this.#host.fetch(this.#url, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        redirect: 'error',
        signal: late.signal,
      })
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Error(`the answer is ${response.status}`)
      }
      return { text: await textOf(response), headers: response.headers }
    } finally {
      timer.cancel()
    }
  }
}

function newRemoteSet(): RemoteSet {
  return {
    set: null,
    fetchedAt: 0,
    triedAt: 0,
    hasFailed: false,
    maxAgeMs: null,
    pending: null,
    reading: null,
  }
}

/** Of a fetch that failed its cause: its own words, "fetch failed", say neither what happened nor what to mend. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  // Where several addresses were tried, there is an error without words for all of them.
  const code = 'code' in cause ? String(cause.code) : cause.name
  return `${error.message}, ${cause.message === '' ? code : cause.message}`
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > SET_BYTES_MAX) throw new Error(`it has more than ${SET_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
