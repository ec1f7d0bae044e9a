import { constants, fstatSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'
import { systemErrorCode } from './system-error.ts'

/**
 * What this process inherited as stdout and stderr. A pipe that nobody reads, a terminal that was stopped by Ctrl-S: either
 * holds up for ever who writes to it without O_NONBLOCK. That flag belongs to what was opened, so it is shared with all
 * processes that inherited it, and each child that inherits it again takes it off (libuv does, *measured*).
 */

const NON_BLOCKING = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * The same pipe or terminal, opened once more by this process for itself, with O_NONBLOCK. Null where that is of no use (a file
 * on a disk, a device) or cannot be: a socket, what belongs to another user, a system without /proc. Throws ENXIO for a
 * pipe that has no reader.
 */
export function openAnew(descriptor: 1 | 2): number | null {
  if (!fstatSync(descriptor).isFIFO() && !isatty(descriptor)) return null
  try {
    return openSync(`/proc/self/fd/${descriptor}`, NON_BLOCKING)
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENXIO') throw thrown
    return null
  }
}

/** Sets O_NONBLOCK on what Node's stream writes to, by a part of it that its types do not have. */
export function keepFromBlocking(stream: object): void {
  const { _handle } = stream as { _handle?: { setBlocking?(isBlocking: boolean): unknown } | null }
  _handle?.setBlocking?.(false)
}

/** After a child has been started that inherits both. */
export function keepOutputsFromBlocking(): void {
  for (const stream of [process.stdout, process.stderr]) if (!stream.isTTY) keepFromBlocking(stream)
}
