import { PROCESS_LIMITS, SINK_LIMITS } from '../config/limits.ts'
import type { DrainBounds } from '../protocol/drain-bounds.ts'

/**
 * How the time from the signal to the end of the gateway is shared out: all of it together is no longer than that. Short
 * deadlines are spent on exchanges, long ones leave a moment for what comes after.
 */
export function drainShares(drainMs: number): DrainBounds {
  const reserveMs = Math.min(PROCESS_LIMITS.drainReserveMs, drainMs / 5)
  const closingMs = Math.min(PROCESS_LIMITS.drainClosingMs, reserveMs / 4)
  const flushMs = Math.min(SINK_LIMITS.endFlushMs, reserveMs - 2 * closingMs)
  return { deadlineMs: drainMs - reserveMs, closingMs, flushMs, idleGraceMs: 0 }
}

/** Of a worker that is replaced: nobody waits for its end. */
export function replacedShares(): DrainBounds {
  const { replaceDrainMs, replaceIdleGraceMs, drainClosingMs } = PROCESS_LIMITS
  return {
    deadlineMs: replaceDrainMs,
    closingMs: drainClosingMs,
    flushMs: SINK_LIMITS.endFlushMs,
    idleGraceMs: replaceIdleGraceMs,
  }
}
