import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { SinkRotation as Rules } from '../../protocol/node-services.ts'

export interface SinkRotationOptions {
  /** Where the files are, absolute. */
  readonly directory: string
  readonly log: Log
  readonly clock: NodeClock
  /** Every worker is to open the file again. */
  reopen(file: string): void
}

interface Watched {
  rules: Rules
  /** It was told already that the file is gone. */
  isMissing: boolean
  /** The error that was logged last, so that it is not logged every second. */
  complaint: string
}

/**
 * Renames files that have grown to their size: FILE to FILE.1, FILE.1 to FILE.2, and so on. The workers append by
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

  /** The last word counts when two plugins name one file. */
  watch(file: string, rules: Rules): void {
    const watched = this.#files.get(file)
    if (watched !== undefined) watched.rules = rules
    else this.#files.set(file, { rules, isMissing: false, complaint: '' })
    this.#startTimer()
  }

  /** As SIGHUP does for others: after an operator has moved files away. */
  reopenAll(): void {
    for (const file of this.#files.keys()) this.#options.reopen(file)
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
    const size = await sizeOf(path)
    if (size === null) {
      // Somebody has moved or deleted it; workers would write into the void for ever. Told once: they may have nothing
      // to write.
      if (!watched.isMissing) this.#options.reopen(file)
      watched.isMissing = true
      return
    }
    watched.isMissing = false
    const { bytesMax, keep } = watched.rules
    if (bytesMax === 0 || size < bytesMax) return
    await rotate(path, keep)
    this.#options.reopen(file)
  }
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
  while (last < keep && (await sizeOf(`${path}.${last}`)) !== null) last += 1
  for (let number = last; number > 1; number -= 1) await rename(`${path}.${number - 1}`, `${path}.${number}`)
  await rename(path, `${path}.1`)
}

/** Null when there is no such file. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}
