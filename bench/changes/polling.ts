import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { waitFor } from '../../tests/support/wait-for.ts'

/**
 * The thread of a `Poller`: asks again and again over one connection. It has an event loop and a heap of its own, so
 * that what the bench does meanwhile is not taken for time that the gateway took.
 */

/** Between an answer and the next question: finer than what is measured, and far from a load. */
const PAUSE_MS = 1
const START_DEADLINE_MS = 60_000

export interface PollingSetup {
  readonly port: number
}

/** To the thread: send the latencies since the last time. */
export type PollingRequest = 'take'

/** From the thread. Times are milliseconds of `process.hrtime`, which all threads share. */
export type PollingReport =
  | { readonly kind: 'first'; readonly mark: string; readonly at: number }
  | { readonly kind: 'latencies'; readonly latencies: readonly number[] }

export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

async function poll(port: number, out: MessagePort): Promise<never> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  await waitFor(() => ask(port, agent), 'the first answer', START_DEADLINE_MS)
  const seen = new Set<string>()
  let latencies: number[] = []
  out.on('message', () => {
    report(out, { kind: 'latencies', latencies })
    latencies = []
  })
  for (;;) {
    const askedAt = now()
    const mark = await ask(port, agent)
    const at = now()
    latencies.push(at - askedAt)
    if (!seen.has(mark)) {
      seen.add(mark)
      report(out, { kind: 'first', mark, at })
    }
    await delay(PAUSE_MS)
  }
}

function report(out: MessagePort, message: PollingReport): void {
  out.postMessage(message)
}

/** The mark of the answer. Rejects when it is none. */
function ask(port: number, agent: Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const asked = request({ host: '127.0.0.1', port, agent }, (response) => {
    const mark = response.headers['x-mark']
    response.resume().on('error', reject)
    response.on('end', () => {
      if (response.statusCode === 200 && typeof mark === 'string') resolve(mark)
      else reject(new Error(`It was answered ${response.statusCode}`))
    })
  })
  asked.on('error', reject)
  asked.end()
  return promise
}

if (parentPort !== null) await poll((workerData as PollingSetup).port, parentPort)
