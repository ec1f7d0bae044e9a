import { writeSync } from 'node:fs'
import { keepFromBlocking, openAnew } from '../base/own-outputs.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { LOG_LIMITS } from '../config/limits.ts'

/** Takes some of the bytes at once, and returns how many; throws what the system says. */
export type Write = (bytes: Uint8Array) => number

const { pendingBytesMax, writeBytesMax, retryMs, retryMsMax, endFlushMs } = LOG_LIMITS
const LINE_END = Buffer.from('\n')
/** Whoever reads is slow. */
const SLOW: ReadonlySet<string> = new Set(['EAGAIN', 'EBUSY', 'EINTR'])
/** Nobody reads a pipe, which may change: a FIFO outlives its readers. */
const UNREAD: ReadonlySet<string> = new Set(['EPIPE', 'ENXIO'])
const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

/**
 * Writes lines in order and whole: at once where they are taken, so that a process which dies has written its last words.
 * Else they wait, up to a bound, and those beyond it are lost and counted: no process waits for who reads its log. What
 * cannot be written at all, to a full disk, is lost too.
 */
export class LineWriter {
  readonly #open: () => Write
  #write: Write | null = null
  #lines: Uint8Array[] = []
  /** Lines before it are written, and of the one there perhaps a part. */
  #next = 0
  /** Of all that is not written. */
  #pendingBytes = 0
  /** The line that is next was begun. */
  #isCut = false
  /** A line was begun, and its end is lost. */
  #isTorn = false
  /** Lines, since that was told last. */
  #lost = 0
  #lostInAll = 0
  /** What `onLost` writes meanwhile waits its turn. */
  #isDraining = false
  #retryMs: number = retryMs
  #retryAtMs = 0
  #retryTimer: NodeJS.Timeout | undefined
  /** Called when lines can be written again: how many were lost since the last call, and since the start. */
  onLost: (lines: number, linesInAll: number) => void = () => {}

  /** `open` is called with the first line, and again when it has thrown. */
  constructor(open: () => Write) {
    this.#open = open
  }

  /** What has line ends within is kept together like one line. Never throws. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    const bytesMax = this.#lost > 0 ? pendingBytesMax / 2 : pendingBytesMax
    if (this.#pendingBytes + bytes.length > bytesMax) this.#lose(1)
    else {
      this.#lines.push(bytes)
      this.#pendingBytes += bytes.length
    }
    if (!this.#isDraining && performance.now() >= this.#retryAtMs) this.#drain()
  }

  /** The process ends: what waits for a slow reader is lost unless that takes it soon. Never throws. */
  end(): void {
    const endsAtMs = performance.now() + endFlushMs
    while (this.#drain() === 'slow' && performance.now() < endsAtMs) Atomics.wait(pause, 0, 0, retryMs)
  }

  #drain(): 'done' | 'slow' | 'stuck' {
    clearTimeout(this.#retryTimer)
    this.#retryAtMs = 0
    this.#isDraining = true
    try {
      while (this.#pendingBytes > 0) this.#writeSome()
      return 'done'
    } catch (thrown) {
      const code = systemErrorCode(thrown)
      const isSlow = SLOW.has(code)
      if (isSlow || UNREAD.has(code)) this.#retry()
      else this.#giveUp()
      return isSlow ? 'slow' : 'stuck'
    } finally {
      this.#isDraining = false
    }
  }

  #writeSome(): void {
    this.#write ??= this.#open()
    if (this.#isTorn) this.#write(LINE_END)
    this.#isTorn = false
    this.#advance(this.#write(this.#batch()))
    this.#retryMs = retryMs
    if (this.#lost > 0 && this.#pendingBytes <= pendingBytesMax / 2) this.#tellLost()
  }

  /** As many lines as are written together, one at least. */
  #batch(): Uint8Array {
    const lines = this.#lines.slice(this.#next, this.#next + 1)
    let bytes = lines[0]?.length ?? 0
    for (let i = this.#next + 1; i < this.#lines.length; i++) {
      const line = this.#lines[i]
      if (line === undefined || bytes + line.length > writeBytesMax) break
      lines.push(line)
      bytes += line.length
    }
    return lines.length === 1 && lines[0] !== undefined ? lines[0] : Buffer.concat(lines)
  }

  #advance(written: number): void {
    this.#pendingBytes -= written
    for (let left = written; left > 0; ) {
      const line = this.#lines[this.#next] ?? LINE_END
      this.#isCut = left < line.length
      if (this.#isCut) {
        this.#lines[this.#next] = line.subarray(left)
        return
      }
      left -= line.length
      this.#next++
    }
    if (this.#pendingBytes > 0 && this.#next < COMPACTED_FROM) return
    this.#lines = this.#lines.slice(this.#next)
    this.#next = 0
  }

  #retry(): void {
    this.#retryAtMs = performance.now() + this.#retryMs
    // Whoever has nothing else to do may end.
    this.#retryTimer = setTimeout(() => this.#drain(), this.#retryMs).unref()
    this.#retryMs = Math.min(2 * this.#retryMs, retryMsMax)
  }

  #giveUp(): void {
    this.#lose(this.#lines.length - this.#next)
    this.#isTorn ||= this.#isCut
    this.#isCut = false
    this.#lines = []
    this.#next = 0
    this.#pendingBytes = 0
  }

  #lose(lines: number): void {
    this.#lost += lines
    this.#lostInAll += lines
  }

  #tellLost(): void {
    const lost = this.#lost
    this.#lost = 0
    this.onLost(lost, this.#lostInAll)
  }
}

/** So many lines are let go of together: moving those that wait costs time. */
const COMPACTED_FROM = 1_000

/** Of this process. */
export const stderrLines = new LineWriter(() => {
  const own = openAnew(2)
  if (own !== null) return (bytes) => writeSync(own, bytes)
  return (bytes) => {
    // Any process that shares it may have changed that since the last line.
    if (!process.stderr.isTTY) keepFromBlocking(process.stderr)
    return writeSync(2, bytes)
  }
})

process.on('exit', () => stderrLines.end())
