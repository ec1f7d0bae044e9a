import type { Clock } from '../sweeper.ts'

interface Alarm {
  dueMs: number
  /** Null: once. */
  readonly periodMs: number | null
  readonly callback: () => void
}

/** Not 0, which stands for "none" where times are kept. */
const START_MS = 1_000_000

/**
 * Time that stands still until a test moves it. Between two alarms everything that needs no time runs to its end, so
 * that the same test always sees the same order.
 */
export class VirtualClock implements Clock {
  #nowMs = START_MS
  readonly #alarms = new Set<Alarm>()
  #advancing = false

  /** Milliseconds on a scale without meaning: only differences say something. */
  nowMs(): number {
    return this.#nowMs
  }

  unixMs(): number {
    return this.#nowMs
  }

  every(periodMs: number, callback: () => void): () => void {
    // What repeats without a pause would never let time pass.
    return this.#set(periodMs, Math.max(1, periodMs), callback)
  }

  /** Calls back once. Returns what cancels that. */
  after(delayMs: number, callback: () => void): () => void {
    return this.#set(delayMs, null, callback)
  }

  #set(delayMs: number, periodMs: number | null, callback: () => void): () => void {
    const alarm = { dueMs: this.#nowMs + delayMs, periodMs, callback }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }

  /**
   * Lets `durationMs` pass: what is due meanwhile happens in its order, each at its own time. Resolves when all that
   * follows from it without further time has happened too. `advance(0)` lets only that happen.
   */
  async advance(durationMs: number): Promise<void> {
    if (!(durationMs >= 0)) throw new RangeError(`The clock cannot go ${durationMs} ms; it never goes back`)
    if (this.#advancing) throw new Error('The clock is being advanced already; await the first advance()')
    this.#advancing = true
    try {
      const endMs = this.#nowMs + durationMs
      await settled()
      for (let alarm = this.#next(endMs); alarm !== null; alarm = this.#next(endMs)) {
        this.#nowMs = alarm.dueMs
        if (alarm.periodMs === null) this.#alarms.delete(alarm)
        else alarm.dueMs += alarm.periodMs
        alarm.callback()
        await settled()
      }
      this.#nowMs = endMs
    } finally {
      this.#advancing = false
    }
  }

  #next(endMs: number): Alarm | null {
    let first: Alarm | null = null
    for (const alarm of this.#alarms) {
      if (alarm.dueMs <= endMs && (first === null || alarm.dueMs < first.dueMs)) first = alarm
    }
    return first
  }
}

/** The event loop's next turn: every promise that needs nothing from outside has settled by then. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
