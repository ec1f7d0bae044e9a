import { readFileSync, statSync } from 'node:fs'
import { sep } from 'node:path'
import { WATCH_LIMITS } from '../config/watch-limits.ts'

interface Taken {
  readonly size: number
  /** Null: too large to be kept, or there was no room. */
  readonly bytes: Buffer | null
}

const LINE_FEED = 0x0a

/**
 * What files said when they were last taken, to tell one that somebody is writing just now. Half of a list in YAML is a
 * list, half of a file of keys is one, and half of a plugin's may be a module: taken at their word they would drop routes, and let
 * in whom the other half keeps out.
 */
export class TakenTexts {
  readonly #taken = new Map<string, Taken>()
  /** Files that are asked for by name, and may come back. */
  readonly #named = new Set<string>()
  #keptBytes = 0

  /** The file is taken now, and what it said stays known when it goes: whoever writes it anew may be slow. */
  name(path: string): void {
    this.#named.add(path)
    this.take(path)
  }

  /** As it is now. What is gone is forgotten, unless it has been named. */
  take(path: string): void {
    const now = read(path)
    if (now !== null) this.#keep(path, now)
    else if (!this.#named.has(path)) this.#drop(path)
  }

  /** The file, or all that is in the folder. */
  forget(path: string): void {
    this.#named.delete(path)
    for (const taken of [...this.#taken.keys()]) {
      if (taken === path || taken.startsWith(`${path}${sep}`)) this.#drop(taken)
    }
  }

  /** Whether the file has lost its end since it was taken. One that is empty is for others to judge. */
  isHalfWritten(path: string): boolean {
    const before = this.#taken.get(path)
    const now = before === undefined ? null : read(path)
    if (before === undefined || now === null || now.size === 0) return false
    if (before.bytes === null || now.bytes === null) return now.size < before.size
    return hasLostItsEnd(before.bytes, now.bytes)
  }

  #keep(path: string, { size, bytes }: Taken): void {
    this.#drop(path)
    const length = bytes?.length ?? 0
    const isKept = this.#keptBytes + length <= WATCH_LIMITS.keptBytesMax
    if (isKept) this.#keptBytes += length
    this.#taken.set(path, { size, bytes: isKept ? bytes : null })
  }

  #drop(path: string): void {
    this.#keptBytes -= this.#taken.get(path)?.bytes?.length ?? 0
    this.#taken.delete(path)
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
