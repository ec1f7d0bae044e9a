import { statSync } from 'node:fs'
import { WATCH_LIMITS } from '../config/watch-limits.ts'
import { TakenTexts } from './taken-texts.ts'

/**
 * Something changed and has been quiet since. `files`: what was saved; none where files were only to be looked at. `firstSignAt`:
 * `performance.now()` of the first event.
 */
export type OnQuiet = (files: readonly string[], firstSignAt: number) => void

interface Sign {
  /** `performance.now()` of the last event. */
  readonly at: number
  /** By that event. */
  readonly isGone: boolean
  /** By any event; else it is only to be looked at. */
  readonly isSaved: boolean
}

/**
 * An editor's or git's burst of events becomes one call: it comes when nothing has happened for `WATCH_LIMITS.quietMs`, and
 * later while somebody seems to be writing still: a file is empty, since many editors truncate first and write then, has
 * lost its end, or all that happened is that something went, which may come back, or under another name.
 */
export class Burst {
  /** Who watches files has them taken at the start. */
  readonly texts = new TakenTexts()
  readonly #onQuiet: OnQuiet
  readonly #touched = new Map<string, Sign>()
  #firstSignAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(onQuiet: OnQuiet) {
    this.#onQuiet = onQuiet
  }

  touch(path: string, isGone = false): void {
    this.#note(path, { isGone, isSaved: true })
  }

  /** Nobody has saved it, as far as is known, but it may be in the middle of a write all the same. */
  look(path: string): void {
    this.#note(path, { isGone: false, isSaved: this.#touched.get(path)?.isSaved ?? false })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#touched.clear()
  }

  #note(path: string, sign: Omit<Sign, 'at'>): void {
    const now = performance.now()
    if (this.#touched.size === 0) this.#firstSignAt = now
    this.#touched.set(path, { ...sign, at: now })
    // A source of events that never rests must not put a change off for ever.
    this.#wait(Math.min(WATCH_LIMITS.quietMs, this.#firstSignAt + WATCH_LIMITS.burstMs - now))
  }

  #wait(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#settle(), Math.max(0, delayMs))
  }

  #settle(): void {
    const delayMs = this.#delayMs(performance.now())
    if (delayMs > 0) {
      this.#wait(delayMs)
      return
    }
    const touched = [...this.#touched]
    this.#touched.clear()
    for (const [path] of touched) this.texts.take(path)
    const saved = touched.flatMap(([path, { isSaved }]) => (isSaved ? [path] : []))
    this.#onQuiet(saved, this.#firstSignAt)
  }

  /** How long there is something to wait for; 0 or less: nothing. */
  #delayMs(now: number): number {
    const sinceFirst = now - this.#firstSignAt
    let [written, other] = [0, 0]
    let goneAt: number | null = 0
    for (const [path, { at, isGone }] of this.#touched) {
      if (this.texts.isHalfWritten(path)) written = Math.max(written, at + WATCH_LIMITS.halfWrittenMs - now)
      else if (isEmptyFile(path)) other = WATCH_LIMITS.emptyFileMs
      goneAt = isGone && goneAt !== null ? Math.max(goneAt, at) : null
    }
    if (goneAt !== null) other = Math.max(other, goneAt + WATCH_LIMITS.goneMs - now)
    return Math.max(
      Math.min(written, WATCH_LIMITS.slowWriterMs - sinceFirst),
      Math.min(other, WATCH_LIMITS.burstMs - sinceFirst),
    )
  }
}

function isEmptyFile(path: string): boolean {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    return found?.isFile() === true && found.size === 0
  } catch {
    return false
  }
}
