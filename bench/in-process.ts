import { codecOperations } from './in-process/codec.ts'
import { bodyOperations, exchangeOperations } from './in-process/exchange.ts'
import { quotaOperations } from './in-process/quota.ts'
import { routingOperations } from './in-process/routing.ts'
import { type OperationTiming, timeOperations } from './in-process/timing.ts'
import { table } from './report.ts'

/** Times what the data plane does once per exchange, without sockets: nanoseconds and bytes allocated on the heap. */
export async function measureInProcess(count: number): Promise<OperationTiming[]> {
  const operations = [
    ...codecOperations(),
    ...routingOperations(),
    ...(await exchangeOperations()),
    ...bodyOperations(),
    ...quotaOperations(),
  ]
  return timeOperations(operations, count)
}

export function reportInProcess(timings: readonly OperationTiming[]): string {
  const body = timings.map(({ name, nanoseconds: { median, min, max }, allocatedBytes }) => [
    name,
    `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`,
    allocatedBytes.toFixed(0),
  ])
  return `${table(['', 'ns', 'bytes allocated'], body).join('\n')}\n`
}
