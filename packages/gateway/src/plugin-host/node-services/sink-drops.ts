import type { Log } from '@cardea/sdk'
import type { NodeClock } from '../../base/node-clock.ts'
import { SINK_LIMITS } from '../../config/limits.ts'

export interface SinkDropsOptions {
  /** Of the file. */
  readonly name: string
  readonly clock: NodeClock
  readonly log: Log
}

/** Counts the lines that never came to a file. The log tells the count now and then, and always the last one. */
export class SinkDrops {
  readonly #options: SinkDropsOptions
  #count = 0
  #told = 0
  #reason = ''
  /** It has been told a moment ago; what comes meanwhile is told after it. */
  #cancelPause: (() => void) | null = null

  constructor(options: SinkDropsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#count
  }

  add(lines: number, reason: string): void {
    this.#count += lines
    this.#reason = reason
    if (this.#cancelPause === null) this.#tell()
  }

  /** The last ones: nothing is written any more. */
  addLast(lines: number, reason: string): void {
    this.#endPause()
    this.#count += lines
    this.#told = this.#count
    const { name, log } = this.#options
    log.warn(`The last lines for "${name}" are dropped: ${reason}`, { lines, dropped: this.#count })
  }

  /** What has not been told is told now: there may be no later. */
  tellRest(): void {
    this.#endPause()
    this.#warn()
  }

  #tell(): void {
    if (!this.#warn()) return
    this.#cancelPause = this.#options.clock.after(SINK_LIMITS.complaintPeriodMs, () => {
      this.#cancelPause = null
      this.#tell()
    })
  }

  /** Whether there was anything to tell. */
  #warn(): boolean {
    if (this.#count === this.#told) return false
    this.#told = this.#count
    const { name, log } = this.#options
    log.warn(`Lines for "${name}" are dropped: ${this.#reason}`, { dropped: this.#count })
    return true
  }

  #endPause(): void {
    this.#cancelPause?.()
    this.#cancelPause = null
  }
}
