/**
 * Whose code the main thread runs, written before a plugin is called and cleared after: all that is left to say whose
 * fault it is when the thread hangs in a native call, where no debugger gets in. Another thread of the process reads it.
 */
export const runningMark = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT))

export const NOBODY = 0

const MARK_DIGITS = 12

/** Of an instance's key; never `NOBODY`, short of one key in 2^48. */
export function markOf(key: string): number {
  return Number.parseInt(key.slice(0, MARK_DIGITS), 16) || NOBODY
}

export function isMarkOf(mark: number, key: string): boolean {
  return mark !== NOBODY && markOf(key) === mark
}
