import { lookup } from 'node:dns/promises'
import * as net from 'node:net'
import { GatewayError, messageOf } from '../base/errors.ts'
import { ListenError } from '../base/listen-error.ts'
import type { ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'

/** A bound address. The master holds it as long as the gateway lives; only workers accept on it. */
export interface ListeningSocket {
  readonly address: ListenAddress
  readonly handle: ListenHandle
}

/** What `node:cluster` itself binds with; a `net.Server` would accept in the master. */
type CreateServerHandle = (
  host: string,
  port: number,
  addressType: 4 | 6,
  fd: number,
  flags: number,
) => ListenHandle | number

const createServerHandle = (net as unknown as { _createServerHandle: CreateServerHandle })._createServerHandle

/** Binds the listener's address, without listening yet. Throws LISTEN_FAILED. */
export async function openListeningSocket(listener: ListenerPlan): Promise<ListeningSocket> {
  const { address, family } = await resolve(listener)
  const handle = createServerHandle(address, listener.port, family, -1, 0)
  if (typeof handle === 'number') throw new ListenError(listener, handle)
  // libuv puts EADDRINUSE off until somebody asks.
  const bound: { port?: number } = {}
  const error = handle.getsockname(bound)
  if (error !== 0) {
    handle.close()
    throw new ListenError(listener, error)
  }
  return { address: { host: listener.host, port: bound.port ?? listener.port }, handle }
}

async function resolve(listener: ListenerPlan): Promise<{ address: string; family: 4 | 6 }> {
  const literal = net.isIP(listener.host)
  if (literal !== 0) return { address: listener.host, family: literal === 4 ? 4 : 6 }
  try {
    const { address, family } = await lookup(listener.host)
    return { address, family: family === 6 ? 6 : 4 }
  } catch (cause) {
    const detail = `Cannot listen on "${listener.host}": the name has no address (${messageOf(cause)}). Write an IP address`
    throw new GatewayError('LISTEN_FAILED', detail, { cause })
  }
}
