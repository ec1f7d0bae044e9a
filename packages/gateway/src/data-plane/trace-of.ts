import type { FinishRecord } from '@cardea/sdk'
import { isSecretKey, REDACTED } from '../base/secret-keys.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'

/**
 * What a person wants to see of a finished exchange, and may: values of the query whose names are those of secrets are left out.
 * `secretParameters`: names that plugins have said to be such.
 */
export function traceOf(
  record: FinishRecord,
  worker: number,
  secretParameters: readonly string[] = [],
): ExchangeTrace {
  const { id, generation, method, route, status, target, plugins, error, aborted, durations } = record
  return {
    id,
    worker,
    generation,
    method,
    url: withoutSecrets(record.url, secretParameters),
    route,
    status,
    totalMs: durations.total,
    upstreamMs: durations.upstream,
    target,
    plugins,
    error,
    aborted,
  }
}

/** Everything else of the query stays as it was sent. */
function withoutSecrets(url: string, secretParameters: readonly string[]): string {
  const at = url.indexOf('?')
  if (at === -1) return url
  const pairs = url.slice(at + 1).split('&')
  const shown = pairs.map((pair) => {
    const equals = pair.indexOf('=')
    // As plugins read it (URL Standard, application/x-www-form-urlencoded).
    const [name = ''] = new URLSearchParams(`?${pair}`).keys()
    const isSecret = equals !== -1 && (isSecretKey(name) || secretParameters.includes(name))
    return isSecret ? `${pair.slice(0, equals + 1)}${REDACTED}` : pair
  })
  return `${url.slice(0, at + 1)}${shown.join('&')}`
}
