import { digestIndex } from '@cardea/sdk'

interface Kept<Entry> {
  readonly digest: string
  readonly entry: Entry
}

/**
 * What was found out of tokens, by their digests, bounded. Two halves: what is asked for moves to the young one, and when
 * that is full, the old one goes. So what is in use stays, and neither a lookup nor an insertion ever walks. Of two digests
 * that have one index the later one stays.
 */
export class TokenCache<Entry> {
  readonly #halfMax: number
  #young = new Map<number, Kept<Entry>>()
  #old = new Map<number, Kept<Entry>>()

  /** 0: nothing is kept. */
  constructor(entriesMax: number) {
    this.#halfMax = Math.floor(entriesMax / 2)
  }

  get(digest: string): Entry | undefined {
    const index = digestIndex(digest)
    const young = this.#young.get(index)
    if (young?.digest === digest) return young.entry
    const old = this.#old.get(index)
    if (old?.digest !== digest) return undefined
    this.#set(index, old)
    return old.entry
  }

  set(digest: string, entry: Entry): void {
    this.#set(digestIndex(digest), { digest, entry })
  }

  #set(index: number, kept: Kept<Entry>): void {
    if (this.#halfMax === 0) return
    if (this.#young.size >= this.#halfMax && !this.#young.has(index)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(index, kept)
  }

  delete(digest: string): void {
    const index = digestIndex(digest)
    for (const half of [this.#young, this.#old]) if (half.get(index)?.digest === digest) half.delete(index)
  }

  /** At most twice the half: an entry may be in both. */
  get size(): number {
    return this.#young.size + this.#old.size
  }
}
