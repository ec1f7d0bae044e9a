import { GatewayError } from '../../base/errors.ts'

/** Nothing that the target could help: the gateway has no more files or memory for another socket. */
const OWN_SHORTAGES: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

/** Why a connection never stood. */
export function connectFailure(error: Error | null, detail: string): GatewayError {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new GatewayError('UPSTREAM_DNS_FAILED', detail, { cause: error })
  if (OWN_SHORTAGES.has(code)) {
    const shortage = `No connection to the upstream can be opened here (${code})`
    return new GatewayError('GATEWAY_OVERLOADED', shortage, { cause: error })
  }
  return new GatewayError('UPSTREAM_CONNECT_FAILED', detail, { cause: error })
}
