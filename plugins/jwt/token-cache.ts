/**
 * What was found out of tokens, bounded. Two halves: what is asked for moves to the young one, and when that is full, the
 * old one goes. So what is in use stays, and neither a lookup nor an insertion ever walks.
 */
export class TokenCache<Entry> {
  readonly #halfMax: number
  #young = new Map<string, Entry>()
  #old = new Map<string, Entry>()

  /** 0: nothing is kept. */
  constructor(entriesMax: number) {
    this.#halfMax = Math.floor(entriesMax / 2)
  }

  get(digest: string): Entry | undefined {
    const young = this.#young.get(digest)
    if (young !== undefined) return young
    const old = this.#old.get(digest)
    if (old !== undefined) this.set(digest, old)
    return old
  }

  set(digest: string, entry: Entry): void {
    if (this.#halfMax === 0) return
    if (this.#young.size >= this.#halfMax && !this.#young.has(digest)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(digest, entry)
  }

  delete(digest: string): void {
    this.#young.delete(digest)
    this.#old.delete(digest)
  }

  /** At most twice the half: an entry may be in both. */
  get size(): number {
    return this.#young.size + this.#old.size
  }
}
