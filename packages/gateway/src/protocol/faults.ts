import type { CodeFailure } from './failure.ts'

/** What befell an instance in a worker, beyond the one exchange it befell. The supervisor decides what follows. */
export type FaultEvent =
  /** Failures since the last such event; sent once a second at most. */
  | {
      readonly kind: 'failures'
      readonly key: string
      readonly instance: string
      readonly plugin: string
      readonly count: number
      /** Of the last one. */
      readonly failure: CodeFailure
    }
  | {
      readonly kind: 'breaker'
      readonly key: string
      readonly instance: string
      readonly plugin: string
      readonly state: BreakerState
      /** Of the window that led to it. */
      readonly calls: number
      readonly faults: number
    }
  /** A hook kept the event loop past the stall limit and was ended. The worker wants to be replaced. */
  | {
      readonly kind: 'stall'
      readonly key: string
      readonly instance: string
      readonly plugin: string
      readonly stalledMs: number
      /** Where it was: `spin (/srv/plugins/a/plugin.ts:12:5)`, the innermost frame first. */
      readonly frames: readonly string[]
      /** As in `CodeFailure`. */
      readonly frame: string | null
    }
  /** Its code threw outside of its hooks, where nobody catches it. The worker wants to be replaced. */
  | {
      readonly kind: 'uncaught'
      readonly key: string
      readonly instance: string
      readonly plugin: string
      readonly failure: CodeFailure
    }
  /** It called `process.exit()` or the like, which was refused. The worker wants to be replaced. */
  | {
      readonly kind: 'exit'
      readonly key: string
      readonly instance: string
      readonly plugin: string
      readonly failure: CodeFailure
    }

/** What quarantines an instance, as the end of a sentence about it. */
export const HARMS = {
  stall: 'blocked the event loop',
  uncaught: 'threw where nobody catches it',
  exit: 'tried to end its worker',
} as const

export type HarmKind = keyof typeof HARMS

export function isHarm(fault: FaultEvent): fault is Extract<FaultEvent, { readonly kind: HarmKind }> {
  return Object.hasOwn(HARMS, fault.kind)
}

export type BreakerState = 'closed' | 'open' | 'half-open'
