import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import { LF, LineChunk } from './line-chunk.ts'
import { type LineFile, type LineFiles, STDOUT } from './line-file.ts'
import { SinkDrops } from './sink-drops.ts'

/** Writes of several processes to one pipe stay whole up to this size (PIPE_BUF). */
const PIPE_CHUNK_BYTES = 4_096
/** Room for the line with which it is time to write. */
const FILE_CHUNK_BYTES = SINK_LIMITS.flushBytes + 4_096
const LINE_END = Uint8Array.of(LF)
/** A pipe that nobody reads at the moment is tried again after this time. */
const AGAIN_DELAY_MS = 10
/** It is full, or has no reader. */
const FOR_NOW: ReadonlySet<string> = new Set(['EAGAIN', 'ENXIO'])

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
  readonly #drops: SinkDrops
  readonly #chunkBytes: number
  /** Takes the next lines. */
  #chunk: LineChunk | null = null
  /** Those before it, in order, that no write has begun with. */
  #full: LineChunk[] = []
  /** One that has been written. A new one for every write costs more than its lines: the kernel has to find the memory. */
  #spare: LineChunk | null = null
  /** Of the lines that are not written yet, those on their way included. */
  #pendingBytes = 0
  #file: LineFile | null = null
  #flushing: Promise<void> | null = null
  /** What is left of the chunk that is being written. */
  #unwritten: Uint8Array | null = null
  /** When the call into the system began that has not returned; null: there is none. */
  #callingSince: number | null = null
  /** Why nothing can be written for now. */
  #obstacle: string | null = null
  #hasGivenUp = false
  #cancelTimer: (() => void) | null = null
  #mustReopen = false
  /** The last write that was begun ended in the middle of a line. */
  #isTorn = false

  constructor(options: SinkFileOptions) {
    this.name = options.name
    this.#options = options
    this.#drops = new SinkDrops(options)
    this.#chunkBytes = options.name === STDOUT ? PIPE_CHUNK_BYTES : FILE_CHUNK_BYTES
  }

  /** Lines that never came to the file. */
  get dropped(): number {
    return this.#drops.count
  }

  /** False when there is no room. */
  write(line: string): boolean {
    const text = oneLine(line)
    if (this.#pendingBytes + text.length >= SINK_LIMITS.pendingBytesMax) {
      this.#drops.add(1, this.#obstacle ?? 'more is written than the disk takes')
      return false
    }
    this.#add(text)
    if (this.#pendingBytes >= SINK_LIMITS.flushBytes) void this.flush()
    else this.#startTimer()
    return true
  }

  #add(line: string): void {
    let chunk = this.#chunk ?? this.#newChunk(line)
    const bytesBefore = chunk.byteCount
    if (chunk.add(line)) {
      this.#chunk = chunk
      this.#pendingBytes += chunk.byteCount - bytesBefore
      return
    }
    this.#full.push(chunk)
    chunk = this.#newChunk(line)
    chunk.add(line)
    this.#chunk = chunk
    this.#pendingBytes += chunk.byteCount
  }

  /** Has room for the line. */
  #newChunk(line: string): LineChunk {
    const spare = this.#spare
    const bytes = Buffer.byteLength(line) + 1
    if (spare === null || bytes > this.#chunkBytes) return new LineChunk(Math.max(bytes, this.#chunkBytes))
    this.#spare = null
    return spare
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
    if (this.#flushing === null && this.#isDone) return Promise.resolve()
    this.#flushing ??= this.#flush()
    return this.#flushing
  }

  get #isDone(): boolean {
    return this.#chunk === null && this.#full.length === 0 && !this.#mustReopen
  }

  /** It was given up while the system had not answered. Node cannot end before it does. */
  get isStuck(): boolean {
    return this.#hasGivenUp && this.#callingSince !== null
  }

  /** The process ends and waits no longer: what is not written is dropped. Never throws. */
  giveUp(): void {
    if (this.#hasGivenUp) return
    this.#hasGivenUp = true
    let lines = this.#unwritten === null ? 0 : lineEndsIn(this.#unwritten)
    for (let chunk = this.#nextChunk(); chunk !== null; chunk = this.#nextChunk())
      lines += lineEndsIn(chunk.bytes)
    if (lines === 0) this.#drops.tellRest()
    else this.#drops.addLast(lines, this.#obstacle ?? 'writing them takes too long')
  }

  /** What no write has begun with is written now: the process ends. Never throws. */
  flushSync(): void {
    // What does not come back to one thread would not come back to this one.
    if (
      this.#callingSince !== null &&
      this.#options.clock.nowMs() - this.#callingSince > SINK_LIMITS.endFlushMs
    ) {
      this.giveUp()
      return
    }
    for (let chunk = this.#nextChunk(); chunk !== null; chunk = this.#nextChunk()) {
      let rest = chunk.bytes
      try {
        this.#file ??= this.#options.files.openSync(this.name)
        if (this.#isTorn) this.#file.appendSync(LINE_END)
        this.#isTorn = false
        while (rest.length > 0) rest = rest.subarray(this.#file.appendSync(rest))
      } catch (thrown) {
        this.#isTorn ||= isInLine(chunk.bytes, rest)
        this.#drops.add(lineEndsIn(rest), messageOf(thrown))
      }
      this.#pendingBytes -= chunk.byteCount
    }
    this.#drops.tellRest()
  }

  async close(): Promise<void> {
    await this.flush()
    this.#drops.tellRest()
    await this.#closeFile()
  }

  async #flush(): Promise<void> {
    // Lines that came while others were written follow at once.
    while (!this.#isDone) {
      if (this.#mustReopen) {
        this.#mustReopen = false
        await this.#closeFile()
      }
      const chunk = this.#nextChunk()
      if (chunk !== null) await this.#writeChunk(chunk)
    }
    // In the same turn in which nothing was left: what comes in the next needs a flush of its own.
    this.#flushing = null
  }

  /** The lines that come now belong to another. Null when there are none. */
  #nextChunk(): LineChunk | null {
    const full = this.#full.shift()
    if (full !== undefined) return full
    const chunk = this.#chunk
    this.#chunk = null
    return chunk
  }

  /** Never rejects. */
  async #writeChunk(chunk: LineChunk): Promise<void> {
    let rest = chunk.bytes
    this.#unwritten = rest
    try {
      this.#file ??= await this.#patiently(() => this.#options.files.open(this.name))
      // A line that was broken off, on a full disk, say, must not swallow the one after it.
      if (this.#isTorn) await this.#append(this.#file, LINE_END)
      this.#isTorn = false
      await this.#append(this.#file, rest, (left) => {
        rest = left
        this.#unwritten = left
      })
    } catch (thrown) {
      this.#isTorn ||= isInLine(chunk.bytes, rest)
      if (!this.#hasGivenUp) this.#drops.add(lineEndsIn(rest), messageOf(thrown))
      // The next try begins anew: the folder may have been deleted.
      await this.#closeFile()
    }
    this.#unwritten = null
    this.#pendingBytes -= chunk.byteCount
    if (chunk.capacityBytes !== this.#chunkBytes) return
    chunk.clear()
    this.#spare = chunk
  }

  /** `onLeft` hears what is left after each write. */
  async #append(file: LineFile, bytes: Uint8Array, onLeft?: (left: Uint8Array) => void): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      const bytes = rest
      rest = rest.subarray(await this.#patiently(() => file.append(bytes)))
      onLeft?.(rest)
    }
  }

  /** Calls the system, again and again as long as it says that this is not the time for it. */
  async #patiently<Result>(call: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        const result = await this.#called(call)
        this.#obstacle = null
        return result
      } catch (thrown) {
        const code = systemErrorCode(thrown)
        if (this.#hasGivenUp || !FOR_NOW.has(code)) throw thrown
        this.#obstacle = `nobody reads it (${code})`
      }
      await new Promise<void>((resolve) => this.#options.clock.after(AGAIN_DELAY_MS, resolve))
    }
  }

  async #called<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#callingSince = this.#options.clock.nowMs()
    try {
      return await call()
    } finally {
      this.#callingSince = null
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file
    this.#file = null
    // Its lines are written; what closing has to say helps nobody.
    if (file !== null) await this.#called(() => file.close()).catch(() => {})
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#options.clock.after(SINK_LIMITS.flushPeriodMs, () => void this.flush())
  }
}

/** Whether what is left of the bytes of whole lines begins within one. */
function isInLine(bytes: Uint8Array, left: Uint8Array): boolean {
  const written = bytes.length - left.length
  return written > 0 && bytes[written - 1] !== LF
}

function lineEndsIn(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) if (byte === LF) count += 1
  return count
}

/** What a client sent must not begin a line of its own. */
function oneLine(line: string): string {
  if (!line.includes('\n') && !line.includes('\r')) return line
  return line.replaceAll('\n', '\\n').replaceAll('\r', '\\r')
}
