import { readFileSync } from 'node:fs'

/**
 * How many files (sockets are some) the system lets this process open; infinite where it does not say. Node has raised
 * the soft limit to the hard one by now.
 */
export function openFilesMax(limitsFile = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files +([0-9]+) /m.exec(readFileSync(limitsFile, 'latin1'))?.[1]
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    // There is no /proc where it is not Linux.
    return Number.POSITIVE_INFINITY
  }
}
