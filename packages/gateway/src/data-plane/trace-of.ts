import type { FinishRecord } from '@cardea/sdk'
import type { ExchangeTrace } from '../protocol/trace.ts'

/** What a person wants to see of a finished exchange. */
export function traceOf(record: FinishRecord, worker: number): ExchangeTrace {
  const { id, generation, method, url, route, status, target, plugins, error, aborted, durations } = record
  return {
    id,
    worker,
    generation,
    method,
    url,
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
