import { nextTurn } from './next-turn.ts'

/** Work in small steps, between which something else may have its turn. */
export type Steps<Result> = Generator<undefined, Result, undefined>

/** Does all of it at once. */
export function allSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Steps that are done before time is looked at: that costs as much as a short one. */
const STEPS_BETWEEN_LOOKS = 32

/**
 * Does steps for about `sliceMs` at once, and lets the event loop turn in between. Throws the signal's reason once it is
 * aborted; the steps are left as by a throw then, so that they let go of what they hold.
 */
export async function inSlices<Result>(
  steps: Steps<Result>,
  sliceMs: number,
  signal: AbortSignal,
): Promise<Result> {
  try {
    for (;;) {
      signal.throwIfAborted()
      const endsAt = performance.now() + sliceMs
      do {
        for (let count = 0; count < STEPS_BETWEEN_LOOKS; count++) {
          const step = steps.next()
          if (step.done === true) return step.value
        }
      } while (performance.now() < endsAt)
      await nextTurn()
    }
  } finally {
    // Nothing where it came to its end, or threw itself.
    steps.return(undefined as never)
  }
}
