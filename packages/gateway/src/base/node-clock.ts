/** The time of node services; tests have their own. */
export interface NodeClock {
  /** Milliseconds on a scale that never goes back and that all processes of the machine share. */
  nowMs(): number
  /** Calls back once, unless the returned function is called before. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls back when everything of this turn of the event loop has been said. */
  atTurnEnd(callback: () => void): void
}

/** What `performance.now()` lacks to the machine's monotonic clock. */
const processStartMs = Number(process.hrtime.bigint() / 1_000n) / 1_000 - performance.now()

export const machineClock: NodeClock = {
  nowMs: () => processStartMs + performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  atTurnEnd: (callback) => void setImmediate(callback),
}
