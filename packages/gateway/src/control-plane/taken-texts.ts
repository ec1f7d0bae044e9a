import { readFileSync, statSync } from 'node:fs'
import { WATCH_LIMITS } from '../config/watch-limits.ts'

interface Taken {
  readonly size: number
  /** Null: too large to be kept. */
  readonly bytes: Buffer | null
}

const LINE_FEED = 0x0a

/**
 * What files said when they were last taken, to tell one that somebody is writing just now. Half of a list in YAML is a
 * list, and half of a file of keys is one: taken at their word they would drop routes, and let nobody in.
 */
export class TakenTexts {
  /** Null: there was none. */
  readonly #taken = new Map<string, Taken | null>()

  /** As the file is now. Where there is none, what was taken before stays. */
  take(path: string): void {
    this.#taken.set(path, read(path) ?? this.#taken.get(path) ?? null)
  }

  /** For whoever touches any file: only those that were taken once count. */
  takeAgain(path: string): void {
    if (this.#taken.has(path)) this.take(path)
  }

  forget(path: string): void {
    this.#taken.delete(path)
  }

  /** Whether the file has lost its end since it was taken. One that is empty is for others to judge. */
  isHalfWritten(path: string): boolean {
    const before = this.#taken.get(path) ?? null
    const now = before === null ? null : read(path)
    if (before === null || now === null || now.size === 0) return false
    if (before.bytes === null || now.bytes === null) return now.size < before.size
    return hasLostItsEnd(before.bytes, now.bytes)
  }
}

function hasLostItsEnd(before: Buffer, now: Buffer): boolean {
  if (now.length < before.length && now.equals(before.subarray(0, now.length))) return true
  if (before.at(-1) === LINE_FEED && now.at(-1) !== LINE_FEED) return true
  // An edit before the place that the writer has come to: the text begins otherwise, and breaks off at the end of a line.
  return linesOf(now) < linesOf(before) && !lastLine(now).equals(lastLine(before))
}

function linesOf(text: Buffer): number {
  let lines = 0
  for (let at = text.indexOf(LINE_FEED); at >= 0; at = text.indexOf(LINE_FEED, at + 1)) lines++
  return lines
}

function lastLine(text: Buffer): Buffer {
  const end = text.at(-1) === LINE_FEED ? text.length - 1 : text.length
  return text.subarray(text.subarray(0, end).lastIndexOf(LINE_FEED) + 1, end)
}

function read(path: string): Taken | null {
  try {
    const found = statSync(path)
    // A pipe would never end.
    if (!found.isFile()) return null
    const { size } = found
    if (size > WATCH_LIMITS.comparedBytesMax) return { size, bytes: null }
    const bytes = readFileSync(path)
    return { size: bytes.length, bytes }
  } catch {
    return null
  }
}
