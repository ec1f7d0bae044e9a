import { writeSync } from 'node:fs'
import { systemErrorCode } from '../base/system-error.ts'

/** A pipe whose reader is slow is tried again after this time. */
const RETRY_MS = 10
const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

/**
 * Writes lines to a descriptor at once: a process that dies has written its last words. What cannot be written, to a full
 * disk or for a reader that is gone, is lost: no process ends for its log, and none keeps lines until it can.
 *
 * @param write as `writeSync` of node:fs, bound to the descriptor; for tests
 */
export function lineWriter(
  descriptor: number,
  write: (bytes: Uint8Array) => number = (bytes) => writeSync(descriptor, bytes),
): (line: string) => void {
  /** Half a line was written: the next one begins with the end of it. */
  let isCut = false
  return (line) => {
    let rest: Uint8Array = Buffer.from(isCut ? `\n${line}` : line)
    while (rest.length > 0) {
      try {
        rest = rest.subarray(write(rest))
        isCut = rest.length > 0
      } catch (thrown) {
        if (!isBusy(thrown)) return
        Atomics.wait(pause, 0, 0, RETRY_MS)
      }
    }
  }
}

/** For people and logs alike. */
export const writeToStderr = lineWriter(2)

function isBusy(thrown: unknown): boolean {
  return ['EAGAIN', 'EBUSY', 'EINTR'].includes(systemErrorCode(thrown))
}
