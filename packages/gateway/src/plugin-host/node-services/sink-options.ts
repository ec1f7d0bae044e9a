import type { SinkOptions } from '@cardea/sdk'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { SinkWish } from '../../protocol/node-services.ts'
import { STDOUT } from './line-file.ts'

/** What `host.sink` is given, checked. */

export const NO_WISH: SinkWish = { bytesMax: null, periodMs: null, keep: null }

/** Folders and names that begin with a letter, a digit or `_`: none of them is `..`, hidden or absolute. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/
/** Names that rotation gives. */
const ROTATED = /\.\d+$/

/** Throws TypeError on what is no file of the folder, and not stdout. */
export function checkName(name: string): void {
  if (name === STDOUT) return
  if (typeof name !== 'string' || name.length > SINK_LIMITS.nameUnitsMax || !NAME.test(name)) {
    throw new TypeError(
      `"${String(name).slice(0, SINK_LIMITS.nameUnitsMax)}" is not a file of the logs folder; use letters, digits, ` +
        `"_", "-" and ".", with "/" between folders, at most ${SINK_LIMITS.nameUnitsMax} characters, or "-" for stdout`,
    )
  }
  if (ROTATED.test(name)) {
    throw new TypeError(`"${name}" has the name of a rotated file; leave the number out`)
  }
}

/** What the options say, and `before` where they say nothing. Throws RangeError on what cannot be. */
export function wishOf({ rotateBytes, rotatePeriodMs, keep }: SinkOptions, before: SinkWish): SinkWish {
  if (rotateBytes !== undefined && !(Number.isSafeInteger(rotateBytes) && rotateBytes >= 0)) {
    throw new RangeError(`rotateBytes cannot be ${rotateBytes}; use a whole number from 0`)
  }
  const { rotatePeriodMsMin } = SINK_LIMITS
  if (
    rotatePeriodMs !== undefined &&
    rotatePeriodMs !== 0 &&
    !(Number.isSafeInteger(rotatePeriodMs) && rotatePeriodMs >= rotatePeriodMsMin)
  ) {
    throw new RangeError(
      `rotatePeriodMs cannot be ${rotatePeriodMs}; use 0 or a whole number from ${rotatePeriodMsMin}`,
    )
  }
  if (keep !== undefined && !(Number.isInteger(keep) && keep >= 0 && keep <= SINK_LIMITS.keepMax)) {
    throw new RangeError(`keep cannot be ${keep}; use a whole number from 0 to ${SINK_LIMITS.keepMax}`)
  }
  return {
    bytesMax: rotateBytes ?? before.bytesMax,
    periodMs: rotatePeriodMs ?? before.periodMs,
    keep: keep ?? before.keep,
  }
}
