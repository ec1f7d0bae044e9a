/**
 * A worker's main thread and its watchdog thread, and what that thread says to the master past a main thread that stands
 * still.
 */

/** What the thread is started with. */
export interface WatchdogData {
  /** Int32, by `WatchdogCell`. */
  readonly cells: SharedArrayBuffer
  /** `runningMark` of the main thread. */
  readonly mark: SharedArrayBuffer
  /** The most that the main thread's heap may take. */
  readonly heapBytesMax: number
}

export const WatchdogCell = {
  /** Counted up by the main thread every `beatMs`. */
  beats: 0,
  /** Its limit. */
  stallMs: 1,
  /** 1 while the thread has the inspector. */
  isAttached: 2,
} as const

/** `Symbol.for` of this is the property of the main thread's global object at which the thread finds `SeizeFunction`. */
export const WATCHDOG_SYMBOL = 'cardea.watchdog'

/** Called while the main thread stands still. `stack`: `'plugin'`, a receiver or null for each call, innermost first. */
export type SeizeFunction = (stall: Stall, ...stack: readonly ('plugin' | object | null)[]) => void

/** The event loop stands still. */
export interface Stall {
  readonly stalledMs: number
  /** The innermost call first; not more than there is use for. */
  readonly frames: readonly StallFrame[]
  /** First digits of the code hashes of the plugins on the stack, the innermost first. */
  readonly codeHashes: readonly string[]
}

export interface StallFrame {
  readonly functionName: string
  /** As a script is named: a plugin's is `ENTRY_FILE#CODE_HASH`. */
  readonly path: string
  /** From 1. */
  readonly line: number
  readonly column: number
}

/** To the main thread, once it runs again. */
export type WatchdogMessage =
  /** The thread watches from now on. */
  | { readonly kind: 'watching' }
  /** What was seized has been ended. */
  | { readonly kind: 'ended' }
  /** It stood still for longer than the limit and went on by itself. */
  | { readonly kind: 'passed'; readonly stall: Stall }

/** To the master, one line of JSON each, on this descriptor. */
export const WATCHDOG_DESCRIPTOR = 4

export type WatchdogReport =
  /** The event loop stands still, and no plugin is on the stack. */
  | { readonly kind: 'standing'; readonly stall: Stall }
  /** The thread ends the process. `mark` (see `runningMark`) says whose code it runs; 0: nobody knows. */
  | { readonly kind: 'killed'; readonly stalledMs: number; readonly mark: number; readonly reason: string }

/** Null for what is none: plugin code may write to any descriptor. */
export function watchdogReportIn(line: string): WatchdogReport | null {
  try {
    const report = JSON.parse(line) as WatchdogReport
    return report.kind === 'standing' || report.kind === 'killed' ? report : null
  } catch {
    return null
  }
}
