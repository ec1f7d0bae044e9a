const NOTHING = Buffer.alloc(0)

/**
 * How far a connection has read the buffer at hand, noted only where a plugin may be called: while a head is passed on.
 * Usually that is known to a loop's variables; they are gone when a plugin blocks and is ended (see broken-off.ts).
 */
export class ReadCursor {
  #buffer: Buffer = NOTHING
  #from = 0
  #to = 0

  /** A head is passed on; what comes after it is not read yet. */
  enter(buffer: Buffer, from: number, to: number): void {
    this.#buffer = buffer
    this.#from = from
    this.#to = to
  }

  leave(): void {
    this.#buffer = NOTHING
    this.#from = this.#to
  }

  /** Bytes after the head that is passed on. */
  get unreadBytes(): number {
    return this.#to - this.#from
  }

  /**
   * The reading was ended in the middle. Returns a copy of what is not read yet, null for nothing; or false when content
   * was being decoded: how much of it has been passed on nobody knows.
   */
  breakOff(): Buffer | null | false {
    const { unreadBytes } = this
    const buffer = this.#buffer
    if (buffer === NOTHING) return false
    this.#buffer = NOTHING
    return unreadBytes === 0 ? null : Buffer.from(buffer.subarray(this.#from, this.#to))
  }
}
