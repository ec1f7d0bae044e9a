import type { Stats } from 'node:fs'
import { realpath, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { SinkWish } from '../../protocol/node-services.ts'
import { disagreementOf, type RotationRules, rulesOf } from './rotation-rules.ts'

export interface SinkRotationOptions {
  /** Where the files are, absolute. */
  readonly directory: string
  readonly log: Log
  readonly clock: NodeClock
  /** Unix time in milliseconds. */
  unixMs(): number
  /** Every worker is to open the file again. */
  reopen(file: string): void
}

interface Watched {
  /** Of each worker in which something live writes to it. */
  readonly wishes: Map<number, readonly SinkWish[]>
  rules: RotationRules
  /** What was said of wishes that do not agree, so that it is said once. */
  disagreement: string | null
  /** It was told already that the file is gone. */
  isMissing: boolean
  /** Unix time at which the file was seen first since it was begun; null before the first look. */
  seenMs: number | null
  /** Which file had the name at the last look; null: none that workers may still write to. */
  identity: string | null
  /** The error that was logged last, so that it is not logged every second. */
  complaint: string
}

/**
 * Renames files that have grown to their size or are of a span of time that is over: FILE to FILE.1, FILE.1 to FILE.2, and so on. The workers append by
 * themselves; what they still write to a renamed file before they hear of it is at its end, and nothing is lost.
 */
export class SinkRotation {
  readonly #options: SinkRotationOptions
  readonly #files = new Map<string, Watched>()
  #cancelTimer: (() => void) | null = null
  #isClosed = false

  constructor(options: SinkRotationOptions) {
    this.#options = options
  }

  /** What a worker wants of a file from now on. One that nobody writes to any more is left alone. */
  hear(worker: number, file: string, wishes: readonly SinkWish[]): void {
    const watched = this.#files.get(file) ?? newlyWatched()
    if (wishes.length > 0) watched.wishes.set(worker, wishes)
    else watched.wishes.delete(worker)
    this.#apply(file, watched)
  }

  workerRetiring(worker: number, as: number): void {
    for (const { wishes } of this.#files.values()) {
      const own = wishes.get(worker)
      if (own !== undefined) wishes.set(as, own)
      wishes.delete(worker)
    }
  }

  workerEnded(worker: number): void {
    for (const [file, watched] of this.#files) {
      if (watched.wishes.delete(worker)) this.#apply(file, watched)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  /** Looks at every file once. Never rejects. */
  async check(): Promise<void> {
    for (const [file, watched] of this.#files) {
      if (this.#isClosed) return
      try {
        await this.#checkFile(file, watched)
        watched.complaint = ''
      } catch (thrown) {
        const complaint = messageOf(thrown)
        if (complaint !== watched.complaint) {
          this.#options.log.error(`Cannot rotate the log file "${file}": ${complaint}`, { error: thrown })
        }
        watched.complaint = complaint
      }
    }
  }

  #apply(file: string, watched: Watched): void {
    if (watched.wishes.size === 0) {
      this.#files.delete(file)
      return
    }
    this.#files.set(file, watched)
    watched.rules = rulesOf([...watched.wishes.values()].flat())
    // Workers go from one generation to the next one by one: only what is live in one of them is of one config.
    const disagreement =
      [...watched.wishes.values()].map(disagreementOf).find((found) => found !== null) ?? null
    if (disagreement !== null && disagreement !== watched.disagreement) {
      this.#options.log.warn(
        `Instances disagree on how the log file "${file}" is rotated: ${disagreement}; what loses the fewest lines ` +
          'holds. Give them equal options, or a file each',
      )
    }
    watched.disagreement = disagreement
    this.#startTimer()
  }

  #startTimer(): void {
    if (this.#isClosed) return
    this.#cancelTimer ??= this.#options.clock.after(SINK_LIMITS.rotationPeriodMs, async () => {
      await this.check()
      this.#cancelTimer = null
      this.#startTimer()
    })
  }

  async #checkFile(file: string, watched: Watched): Promise<void> {
    const path = join(this.#options.directory, file)
    const found = await statOf(path)
    if (found === null) {
      // Somebody has moved or deleted it; workers would write into the void for ever. Told once: they may have nothing
      // to write.
      if (!watched.isMissing) this.#options.reopen(file)
      watched.isMissing = true
      this.#begin(watched)
      return
    }
    watched.isMissing = false
    const identity = `${found.dev}:${found.ino}`
    if (watched.identity !== null && watched.identity !== identity) {
      // Somebody has moved it and put another in its place, as logrotate does.
      this.#begin(watched)
      this.#options.reopen(file)
    }
    watched.identity = identity
    watched.seenMs ??= this.#options.unixMs()
    // Where a file system does not tell when a file was begun, the time of its last change stands for it, or none.
    const begunMs = Math.min(found.birthtimeMs > 0 ? found.birthtimeMs : watched.seenMs, watched.seenMs)
    if (!isDue(watched.rules, found.size, begunMs, this.#options.unixMs())) return
    // Behind a link are the files that it was made for, rotated ones too.
    await rotate(await realpath(path), watched.rules.keep)
    this.#begin(watched)
    this.#options.reopen(file)
  }

  /** The file that had the name so far is not the one that will have it. */
  #begin(watched: Watched): void {
    watched.seenMs = null
    watched.identity = null
  }
}

function newlyWatched(): Watched {
  return {
    wishes: new Map(),
    rules: rulesOf([]),
    disagreement: null,
    isMissing: false,
    seenMs: null,
    identity: null,
    complaint: '',
  }
}

function isDue({ bytesMax, periodMs }: RotationRules, size: number, begunMs: number, nowMs: number): boolean {
  if (bytesMax > 0 && size >= bytesMax) return true
  // An empty one of yesterday is as good as one of today.
  return periodMs > 0 && size > 0 && Math.floor(begunMs / periodMs) < Math.floor(nowMs / periodMs)
}

/**
 * Makes room up to the first number that is free, so that a process that died in the middle of this costs no file but
 * the one that would go anyway.
 */
async function rotate(path: string, keep: number): Promise<void> {
  if (keep === 0) {
    await rm(path, { force: true })
    return
  }
  let last = 1
  while (last < keep && (await statOf(`${path}.${last}`)) !== null) last += 1
  for (let number = last; number > 1; number -= 1) await rename(`${path}.${number - 1}`, `${path}.${number}`)
  await rename(path, `${path}.1`)
  // More were kept before.
  for (let number = keep + 1; (await statOf(`${path}.${number}`)) !== null; number += 1) {
    await rm(`${path}.${number}`, { force: true })
  }
}

/** Null when there is no such file. */
async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}
