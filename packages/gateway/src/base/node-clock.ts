/** The time of node services; tests have their own. */
export interface NodeClock {
  /** Milliseconds on a scale that never goes back and that all processes of the machine share. */
  nowMs(): number
  /** Calls back once, unless the returned function is called before. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls back when everything of this turn of the event loop has been said. */
  atTurnEnd(callback: () => void): void
}

const CLOCK_LOOKS = 5

/**
 * What `performance.now()` lacks to the machine's monotonic clock. Looked at between two of its readings, several times: Node
 * loads it with the first, and a process may lose its core between any two (*measured*: 13 ms between two workers, for good).
 */
function processStart(): number {
  let [earliestMs, latestMs] = [-Infinity, Infinity]
  for (let looks = 0; looks < CLOCK_LOOKS; looks++) {
    const before = performance.now()
    const machineMs = Number(process.hrtime.bigint() / 1_000n) / 1_000
    earliestMs = Math.max(earliestMs, machineMs - performance.now())
    latestMs = Math.min(latestMs, machineMs - before)
  }
  return (earliestMs + latestMs) / 2
}

const processStartMs = processStart()

export const machineClock: NodeClock = {
  nowMs: () => processStartMs + performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  atTurnEnd: (callback) => void setImmediate(callback),
}
