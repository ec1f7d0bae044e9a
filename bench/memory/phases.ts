import { readdir, readlink, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { runWrk } from '../load/wrk.ts'
import { busiestBetween, readProcess, readTree } from '../proc.ts'
import type { RunningProxy } from '../proxy.ts'
import { SMALL } from '../scenarios.ts'
import { startHelper } from './helper.ts'

const BULK_BYTES = 2 ** 30
const IDLE_COUNT = 5_000

/** A heap takes its time to grow to what a load needs: after two seconds a worker has not shown its peak. */
const PEAK_SECONDS = 20

/** V8 compacts the heap when it has been idle for 8 s. */
const SETTLE_MIN_MS = 10_000
const SETTLE_MAX_MS = 30_000
const SETTLE_STEP_MS = 500
const SETTLED_STEPS = 6
const SETTLED_SHARE = 0.005

export interface PhaseContext {
  readonly proxy: RunningProxy
  readonly connections: number
  readonly seconds: number
  readonly loadCore: number
  readonly signal: AbortSignal
}

/** The most resident memory of the worker, in bytes, while it serves small requests. */
export async function underLoad(context: PhaseContext): Promise<number> {
  return (await peakOfWorker(context.proxy, () => smallLoad(context, PEAK_SECONDS))).peakBytes
}

/**
 * Bytes of resident memory per idle keep-alive connection: the difference between the worker with and without them,
 * each time after some load and a rest in which V8 collects garbage.
 */
export async function perIdleConnection(context: PhaseContext): Promise<number> {
  const { proxy, loadCore } = context
  const { pid } = await peakOfWorker(proxy, () => smallLoad(context, context.seconds))
  const before = await settledBytes(pid)
  await using client = startHelper('idle-client.ts', [proxy.port, IDLE_COUNT], loadCore)
  await Promise.race([client.firstLine, proxy.running.died])
  await smallLoad(context, context.seconds)
  const after = await Promise.race([settledBytes(pid), client.died])
  const held = await countSockets(pid)
  if (held < IDLE_COUNT) throw new Error(`The worker holds only ${held} of ${IDLE_COUNT} connections.`)
  return (after - before) / IDLE_COUNT
}

/** The most resident memory of the worker, in bytes, while 1 GiB goes through it to a slow reader. */
export async function withSlowReader(context: PhaseContext, direction: 'down' | 'up'): Promise<number> {
  const { proxy, loadCore } = context
  const { peakBytes } = await peakOfWorker(proxy, async () => {
    await using client = startHelper('bulk-client.ts', [proxy.port, direction, BULK_BYTES], loadCore)
    const moved = Number(await Promise.race([client.firstLine, proxy.running.died]))
    if (moved !== BULK_BYTES) throw new Error(`${moved} of ${BULK_BYTES} bytes came through.`)
  })
  return peakBytes
}

/** The upstream of `withSlowReader`; disposing the helper ends it. */
export function startBulkUpstream(port: number, core: number) {
  return startHelper('bulk-upstream.ts', [port, BULK_BYTES], core)
}

async function smallLoad({ proxy, connections, loadCore, signal }: PhaseContext, seconds: number) {
  const { method, path, requestBytes, closes } = SMALL
  const url = `http://127.0.0.1:${proxy.port}${path}`
  const load = { url, method, requestBytes, closes, fields: {}, connections, seconds, core: loadCore, signal }
  await runWrk(load, proxy.running.died)
}

/** Runs `work` and tells which process did it, and the most memory it held meanwhile. */
async function peakOfWorker(
  proxy: RunningProxy,
  work: () => Promise<unknown>,
): Promise<{ pid: number; peakBytes: number }> {
  const before = await readTree(proxy.running.pid)
  // "5" sets the recorded peak back to what is held now. Where that fails, starting up counts too: never too little.
  await Promise.all(
    [...before.keys()].map((pid) => writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => {})),
  )
  await work()
  const { pid, residentPeakBytes } = busiestBetween(before, await readTree(proxy.running.pid))
  return { pid, peakBytes: residentPeakBytes }
}

/** Resident memory once it has stopped changing. */
async function settledBytes(pid: number): Promise<number> {
  const startedAt = performance.now()
  let steady = 0
  let last = 0
  for (;;) {
    await delay(SETTLE_STEP_MS)
    const usage = await readProcess(pid)
    if (usage === null) throw new Error('The worker ended.')
    steady = Math.abs(usage.residentBytes - last) <= last * SETTLED_SHARE ? steady + 1 : 0
    last = usage.residentBytes
    const elapsedMs = performance.now() - startedAt
    if ((elapsedMs >= SETTLE_MIN_MS && steady >= SETTLED_STEPS) || elapsedMs >= SETTLE_MAX_MS) return last
  }
}

async function countSockets(pid: number): Promise<number> {
  const directory = `/proc/${pid}/fd`
  const links = await Promise.all(
    (await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`).catch(() => '')),
  )
  return links.filter((link) => link.startsWith('socket:')).length
}
