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
export function listenError(
  address: { readonly host: string; readonly port: number },
  errno: number,
): GatewayError {
  const name = getSystemErrorName(errno)
  const where = address.host.includes(':') ? `[${address.host}]` : address.host
  const why = CURES[name] ?? name
  return new GatewayError('LISTEN_FAILED', `Cannot listen on ${where}:${address.port}: ${why}.`)
}
