/** UTF-8 takes no more for a UTF-16 code unit. */
const BYTES_PER_UNIT_MAX = 3
export const LF = 0x0a

/** Lines as they go to a file in one write, each encoded where it is to stand. */
export class LineChunk {
  readonly #buffer: Buffer
  #byteCount = 0

  constructor(capacityBytes: number) {
    // Not of Node's pool: it is kept for long, and used again.
    this.#buffer = Buffer.allocUnsafeSlow(capacityBytes)
  }

  get capacityBytes(): number {
    return this.#buffer.length
  }

  get byteCount(): number {
    return this.#byteCount
  }

  /** Valid until `clear`. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#byteCount)
  }

  /** Returns whether there was room. */
  add(line: string): boolean {
    const roomBytes = this.#buffer.length - this.#byteCount - 1
    if (line.length * BYTES_PER_UNIT_MAX > roomBytes && Buffer.byteLength(line) > roomBytes) return false
    this.#byteCount += this.#buffer.write(line, this.#byteCount)
    this.#buffer[this.#byteCount++] = LF
    return true
  }

  clear(): void {
    this.#byteCount = 0
  }
}
