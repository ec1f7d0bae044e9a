import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import { type LineFile, type LineFiles, STDOUT } from './line-file.ts'

/** Writes of several processes to one pipe stay whole up to this size (PIPE_BUF). */
const PIPE_WRITE_BYTES_MAX = 4_096
const FILE_WRITE_BYTES_MAX = 256 * 1_024
/** A pipe that nobody reads at the moment is tried again after this time. */
const AGAIN_DELAY_MS = 10

export interface SinkFileOptions {
  /** Below the folder of logs, or `-`. */
  readonly name: string
  readonly files: LineFiles
  readonly clock: NodeClock
  readonly log: Log
}

/** One file that this worker appends lines to: gathered for a moment, written in order, never more than one write at a time. */
export class SinkFile {
  readonly name: string
  readonly #options: SinkFileOptions
  #lines: string[] = []
  /** Of `#lines`. */
  #lineBytes = 0
  /** Of the lines that are not written yet, those on their way included. */
  #pendingBytes = 0
  #file: LineFile | null = null
  #flushing: Promise<void> | null = null
  #cancelTimer: (() => void) | null = null
  #mustReopen = false
  #dropped = 0
  #complainedAt = Number.NEGATIVE_INFINITY

  constructor(options: SinkFileOptions) {
    this.name = options.name
    this.#options = options
  }

  /** Lines that never came to the file. */
  get dropped(): number {
    return this.#dropped
  }

  /** False when there is no room. */
  write(line: string): boolean {
    const text = oneLine(line)
    const bytes = Buffer.byteLength(text) + 1
    if (this.#pendingBytes + bytes > SINK_LIMITS.pendingBytesMax) {
      this.#drop(1, 'more is written than the disk takes')
      return false
    }
    this.#lines.push(text)
    this.#lineBytes += bytes
    this.#pendingBytes += bytes
    if (this.#pendingBytes >= SINK_LIMITS.flushBytes) void this.flush()
    else this.#startTimer()
    return true
  }

  /** The file has been renamed: what comes from now on goes to a new one. */
  reopen(): void {
    this.#mustReopen = true
    void this.flush()
  }

  /** Resolves when all lines are written, or given up. Never rejects. */
  flush(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = null
    })
    return this.#flushing
  }

  /** What no write has begun with is written now: the process ends. Never throws. */
  flushSync(): void {
    if (this.#lines.length === 0) return
    const lines = this.#lines
    this.#lines = []
    this.#lineBytes = 0
    try {
      this.#file ??= this.#options.files.openSync(this.name)
      let rest: Uint8Array = Buffer.from(`${lines.join('\n')}\n`)
      this.#pendingBytes -= rest.length
      while (rest.length > 0) rest = rest.subarray(this.#file.appendSync(rest))
    } catch (thrown) {
      this.#drop(lines.length, messageOf(thrown))
    }
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#closeFile()
  }

  async #flush(): Promise<void> {
    // Lines that came while others were written follow at once.
    do {
      if (this.#mustReopen) await this.#closeFile()
      this.#mustReopen = false
      const count = this.#nextCount()
      if (count === 0) continue
      const lines = this.#lines.splice(0, count)
      const bytes = Buffer.from(`${lines.join('\n')}\n`)
      this.#lineBytes -= bytes.length
      try {
        this.#file ??= await this.#options.files.open(this.name)
        await this.#append(this.#file, bytes)
      } catch (thrown) {
        this.#drop(count, messageOf(thrown))
        // The next try begins anew: the folder may have been deleted.
        await this.#closeFile()
      } finally {
        this.#pendingBytes -= bytes.length
      }
    } while (this.#lines.length > 0 || this.#mustReopen)
  }

  async #append(file: LineFile, bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      try {
        rest = rest.subarray(await file.append(rest))
      } catch (thrown) {
        if (systemErrorCode(thrown) !== 'EAGAIN') throw thrown
        await new Promise<void>((resolve) => this.#options.clock.after(AGAIN_DELAY_MS, resolve))
      }
    }
  }

  /** How many lines go into the next write. */
  #nextCount(): number {
    const most = this.name === STDOUT ? PIPE_WRITE_BYTES_MAX : FILE_WRITE_BYTES_MAX
    if (this.#lineBytes <= most) return this.#lines.length
    let bytes = 0
    let count = 0
    for (const line of this.#lines) {
      bytes += Buffer.byteLength(line) + 1
      if (count > 0 && bytes > most) break
      count += 1
    }
    return count
  }

  async #closeFile(): Promise<void> {
    const file = this.#file
    this.#file = null
    // Its lines are written; what closing has to say helps nobody.
    await file?.close().catch(() => {})
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#options.clock.after(SINK_LIMITS.flushPeriodMs, () => void this.flush())
  }

  #drop(lines: number, reason: string): void {
    this.#dropped += lines
    const { clock, log } = this.#options
    if (clock.nowMs() - this.#complainedAt < SINK_LIMITS.complaintPeriodMs) return
    this.#complainedAt = clock.nowMs()
    log.warn(`Lines for "${this.name}" are dropped: ${reason}`, { dropped: this.#dropped })
  }
}

/** What a client sent must not begin a line of its own. */
function oneLine(line: string): string {
  if (!line.includes('\n') && !line.includes('\r')) return line
  return line.replaceAll('\n', '\\n').replaceAll('\r', '\\r')
}
