import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fieldsOf } from './in-process/built-in-cases.ts'
import { type Load, runWrk, type WrkResult, wrkFaults } from './load/wrk.ts'
import { busiestBetween, cpuNanosecondsBetween, readCoreBusy, readTree, residentBytes } from './proc.ts'
import type { RunningProxy } from './proxy.ts'
import { isLogged, pathOf, type Scenario, type Variant } from './scenarios.ts'
import { acceptedConnections, type Upstream } from './upstream.ts'

/** After wrk has gone: what it cut off is still being cleared away, and belongs to the load. */
export const SETTLE_MS = 100

/** Above this many upstream connections per request, a proxy does not reuse them. */
export const REUSE_SHARE_MAX = 0.05

/** Above this share of the proxy's core taken by others, the reader is told. */
export const OTHERS_SHARE_MAX = 0.1

/** Less than half of the shortest line, for the last buffer may not be written yet. */
const LOGGED_BYTES_MIN = 20
const LOG_FAULT = 'its access log lacks requests'

export interface Timing {
  readonly warmUpSeconds: number
  readonly seconds: number
  readonly repeats: number
  readonly connections: number
}

/** One peer, one scenario, one repeat. */
export interface Sample {
  readonly round: number
  readonly requestsPerSecond: number
  readonly p50Microseconds: number
  /** Null where it cannot be told. */
  readonly p99Microseconds: number | null
  /** All processes and threads of the proxy. */
  readonly cpuMicrosecondsPerRequest: number
  /** How much of the proxy's core it used, 0 to 1. Well below 1, the load side was the bottleneck. */
  readonly coreShare: number
  /** How much of that core other programs took, 0 to 1: they cost cache, and so CPU time. */
  readonly othersShare: number
  readonly upstreamCpuMicrosecondsPerRequest: number
  readonly upstreamConnectionsPerRequest: number
  /** All processes of the proxy, at the end of the load. */
  readonly residentBytes: number
  /** The process that did the work. */
  readonly workerResidentBytes: number
  /** What makes this sample invalid; empty when it is valid. */
  readonly faults: readonly string[]
}

export interface Cell {
  readonly proxy: RunningProxy
  readonly upstream: Upstream
  readonly scenario: Scenario
  readonly variant: Variant
  readonly timing: Timing
  readonly proxyCore: number
  readonly loadCore: number
  readonly signal: AbortSignal
}

/** Warms up, discards that, and measures once. Rejects when the proxy ends or wrk cannot run. */
export async function measureCell(cell: Cell, round: number): Promise<Sample> {
  const { proxy, upstream, timing, proxyCore } = cell
  await load(cell, timing.warmUpSeconds)
  await delay(SETTLE_MS)
  const acceptedBefore = await acceptedConnections(upstream)
  const loggedBefore = await loggedBytes(cell)
  const upstreamBefore = await readTree(upstream.running.pid)
  const before = await readTree(proxy.running.pid)
  const busyBefore = await readCoreBusy(proxyCore)
  const startedAt = performance.now()
  const result = await load(cell, timing.seconds)
  const elapsedNanoseconds = (performance.now() - startedAt) * 1e6
  const busyNanoseconds = (await readCoreBusy(proxyCore)) - busyBefore
  await delay(SETTLE_MS)
  const after = await readTree(proxy.running.pid)
  const upstreamAfter = await readTree(upstream.running.pid)
  const cpuNanoseconds = cpuNanosecondsBetween(before, after)
  const accepted = (await acceptedConnections(upstream)) - acceptedBefore
  const logged = (await loggedBytes(cell)) - loggedBefore
  const requests = Math.max(result.requests, 1)
  return {
    round,
    requestsPerSecond: result.requests / (result.durationMicroseconds / 1e6),
    p50Microseconds: result.p50Microseconds,
    p99Microseconds: result.p99Microseconds,
    cpuMicrosecondsPerRequest: cpuNanoseconds / 1000 / requests,
    coreShare: cpuNanoseconds / elapsedNanoseconds,
    othersShare: Math.max(0, (busyNanoseconds - cpuNanoseconds) / elapsedNanoseconds),
    upstreamCpuMicrosecondsPerRequest: cpuNanosecondsBetween(upstreamBefore, upstreamAfter) / 1000 / requests,
    // The end of the warm-up cuts requests in flight, and a proxy then opens their connections anew.
    upstreamConnectionsPerRequest: Math.max(0, accepted - timing.connections) / requests,
    residentBytes: residentBytes(after),
    workerResidentBytes: busiestBetween(before, after).residentBytes,
    faults: sampleFaults(cell, result, logged),
  }
}

/** `logged`: bytes that were added to the access log. */
export function sampleFaults({ scenario, variant }: Cell, result: WrkResult, logged: number): string[] {
  const bytesMin = isLogged(scenario, variant) ? result.requests * LOGGED_BYTES_MIN : 0
  return [...wrkFaults(result, scenario.answerBytes), ...(logged < bytesMin ? [LOG_FAULT] : [])]
}

/** Before the first round: code is compiled, and where variants share a gateway, that of all of them. */
export async function warmUpFirst(cell: Cell): Promise<void> {
  await load(cell, 2 * cell.timing.warmUpSeconds)
}

export async function loggedBytes({ proxy, scenario, variant }: Cell): Promise<number> {
  return isLogged(scenario, variant) ? (await stat(proxy.accessLog)).size : 0
}

export async function loadOf(cell: Cell, seconds: number): Promise<Load> {
  const { scenario, variant, proxy, timing, loadCore, signal } = cell
  return {
    url: `http://127.0.0.1:${proxy.port}${pathOf(scenario, variant)}`,
    method: scenario.method,
    requestBytes: scenario.requestBytes,
    closes: scenario.closes,
    fields: scenario.builtIn === null ? {} : await fieldsOf(scenario.builtIn),
    connections: timing.connections,
    seconds,
    core: loadCore,
    signal,
  }
}

async function load(cell: Cell, seconds: number): Promise<WrkResult> {
  return runWrk(await loadOf(cell, seconds), cell.proxy.running.died)
}
