const LINE_FEED = 0x0a

/** A line is longer than it may be. What came of it is thrown away, and the cutter is not usable any more. */
export class LineTooLong extends Error {
  constructor(lineBytesMax: number) {
    super(`a line is longer than ${lineBytesMax} bytes`)
    this.name = 'LineTooLong'
  }
}

/** Cuts what arrives in pieces into lines of text; memory is bounded by the longest line and one piece. */
export class LineCutter {
  readonly #lineBytesMax: number
  #pieces: Buffer[] = []
  #bytes = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** The lines that end in this piece, without their line feeds. Throws LineTooLong. */
  push(piece: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (;;) {
      const end = piece.indexOf(LINE_FEED, start)
      this.#keep(piece.subarray(start, end === -1 ? undefined : end))
      if (end === -1) return lines
      lines.push(this.#take())
      start = end + 1
    }
  }

  /** What came after the last line feed. */
  end(): string {
    return this.#take()
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return
    this.#bytes += piece.length
    if (this.#bytes > this.#lineBytesMax) {
      this.#pieces = []
      throw new LineTooLong(this.#lineBytesMax)
    }
    this.#pieces.push(piece)
  }

  /** Decoded as a whole: a character may arrive in two pieces. */
  #take(): string {
    const text = Buffer.concat(this.#pieces, this.#bytes).toString('utf8')
    this.#pieces = []
    this.#bytes = 0
    return text
  }
}
