import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/**
 * A port of 127.0.0.1 that was free a moment ago. For a program that cannot take port 0; whatever can should take 0, since
 * another process may be faster here.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * Ports on which nobody listens, nor will: a free one may be another test's by the time somebody connects. They are below
 * those that the system gives out (RFC 6335, 6) and those of services.
 */
export const DEAD_PORTS = [1021, 1022] as const
