import { GatewayError } from '../../base/errors.ts'

/** Why a connection never stood. */
export function connectFailure(error: Error | null, detail: string): GatewayError {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new GatewayError('UPSTREAM_DNS_FAILED', detail, { cause: error })
  return new GatewayError('UPSTREAM_CONNECT_FAILED', detail, { cause: error })
}
