import { getSystemErrorName } from 'node:util'
import { GatewayError } from './errors.ts'

/** What to do about the errors that people meet. */
const CURES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use. Choose another port, or stop what uses it',
  EACCES: 'this user may not use the port. Choose one above 1023, or grant CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'this machine does not have that address. Choose one of its own, or 0.0.0.0 for all',
  EAFNOSUPPORT: 'this machine does not speak that address family. Choose an IPv4 address such as 0.0.0.0',
}

/** LISTEN_FAILED for a negative errno. */
export class ListenError extends GatewayError {
  /** The system's name for it: `EADDRINUSE`. */
  readonly systemCode: string

  constructor({ host, port }: { readonly host: string; readonly port: number }, errno: number) {
    const systemCode = getSystemErrorName(errno)
    const where = host.includes(':') ? `[${host}]` : host
    super('LISTEN_FAILED', `Cannot listen on ${where}:${port}: ${CURES[systemCode] ?? systemCode}.`)
    this.systemCode = systemCode
  }
}

/** The system's name for what was thrown where an address was to be listened on; null where it was not the system. */
export function systemCodeOf(thrown: unknown): string | null {
  const error = thrown instanceof GatewayError && !(thrown instanceof ListenError) ? thrown.cause : thrown
  return error instanceof ListenError ? error.systemCode : null
}
