import type { Log } from '@cardea/sdk'
import { ERRORS, type ErrorCode } from '../base/errors.ts'
import type { Sweeper, Swept } from './sweeper.ts'

const SAID_AGAIN_AFTER_MS = 10_000

/** A request, or a client, that was answered before any plugin could see it. */
export interface Refusal {
  readonly code: ErrorCode
  /** A sentence of ours, without anything that the client sent. */
  readonly detail: string
  readonly clientIp: string
  readonly requestId: string
}

interface Told {
  latest: Refusal
  /** Since the last line. */
  count: number
  quietUntilMs: number
}

/**
 * Tells the operator what was refused and why, since no plugin hears of it. Of each code there is one line in ten seconds
 * at most: whoever wants to can be refused as often as the network allows, and must not be able to fill the disk.
 */
export class RefusalLog implements Swept {
  sweepIndex = -1
  readonly #log: Log
  readonly #sweeper: Sweeper
  readonly #told = new Map<ErrorCode, Told>()
  /** Some wait to be told. */
  #waiting = false

  constructor(log: Log, sweeper: Sweeper) {
    this.#log = log
    this.#sweeper = sweeper
    sweeper.add(this)
  }

  note(refusal: Refusal): void {
    const told = this.#toldOf(refusal)
    told.latest = refusal
    told.count++
    if (this.#sweeper.nowMs >= told.quietUntilMs) this.#tell(told)
    else this.#waiting = true
  }

  #toldOf(refusal: Refusal): Told {
    const known = this.#told.get(refusal.code)
    if (known !== undefined) return known
    const told = { latest: refusal, count: 0, quietUntilMs: 0 }
    this.#told.set(refusal.code, told)
    return told
  }

  #tell(told: Told): void {
    const { latest, count } = told
    told.count = 0
    told.quietUntilMs = this.#sweeper.nowMs + SAID_AGAIN_AFTER_MS
    const { source, title } = ERRORS[latest.code]
    const text = `${count === 1 ? 'A request was' : `${count} requests were`} refused: ${title}`
    const fields = { ...latest, count }
    // What clients do wrong is no trouble of the gateway's.
    if (source === 'client') this.#log.info(text, fields)
    else this.#log.warn(text, fields)
  }

  sweep(nowMs: number): void {
    if (!this.#waiting) return
    this.#waiting = false
    for (const told of this.#told.values()) {
      if (told.count === 0) continue
      if (nowMs >= told.quietUntilMs) this.#tell(told)
      else this.#waiting = true
    }
  }

  /** Tells what is still left to tell. */
  report(): void {
    for (const told of this.#told.values()) if (told.count > 0) this.#tell(told)
  }
}
