import { readdirSync } from 'node:fs'
import { constants, getPriority, setPriority } from 'node:os'

/** Niceness that is added. */
const LOWER_BY = constants.priority.PRIORITY_BELOW_NORMAL

/**
 * Lowers the priority of this process, of all its threads, and of whatever it starts from now on: what is left of the
 * cores is enough for it. Linux sets the priority of threads one by one, and V8 has begun some by now, which collect
 * garbage at the same time as others serve requests.
 */
export function lowerPriority(): void {
  const priority = Math.min(constants.priority.PRIORITY_LOW, getPriority() + LOWER_BY)
  setPriority(priority)
  for (const thread of threads()) {
    try {
      setPriority(thread, priority)
    } catch {
      // It has ended.
    }
  }
}

/** Of this process; none where there is no /proc: there priorities are those of processes. */
function threads(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    return []
  }
}
