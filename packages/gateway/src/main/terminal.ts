import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'

/** The gateway was started in a terminal. */
const hadTerminal = [0, 1, 2].some((fd) => isatty(fd))

/**
 * The terminal that the gateway was started in is gone: a SIGHUP came from its end, and not from somebody who has moved
 * log files away. False also where there never was one.
 */
export function hasLostTerminal(): boolean {
  if (!hadTerminal) return false
  try {
    // Of a terminal that was closed the open fails with ENXIO or EIO.
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
}
