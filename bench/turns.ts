import { setTimeout as delay } from 'node:timers/promises'
import { startWrk, type WrkRun } from './load/wrk.ts'
import { type Cell, loadOf, loggedBytes, type Sample, SETTLE_MS, sampleFaults } from './measure.ts'
import {
  busiestBetween,
  cpuNanosecondsBetween,
  readCoreBusy,
  readTree,
  readUsages,
  residentBytes,
  type TreeUsage,
} from './proc.ts'
import { acceptedConnections } from './upstream.ts'

/**
 * Before the next variant has its turn. Short beside the minutes and the seconds in which a machine changes its speed, and
 * long beside what a change of turns costs the caches.
 */
const TURN_MS = 50
/** What was asked before a turn ended is answered by then: 64 requests, of some 20 µs each. */
const STILL_MS = 5

/** A variant in its turns. */
interface Contender {
  readonly cell: Cell
  readonly wrk: WrkRun
  hasEnded: boolean
  cpuNanoseconds: number
  turnsMs: number
}

/**
 * Measures variants that are routes of one gateway, all within the same seconds: each has a wrk of its own, and all but one of
 * them are stopped. One sample a cell, in their order. A request that a change of turns finds on its way waits for the next
 * turn, which is in the latencies, so that these samples have no p99.
 */
export async function measureTurns(cells: readonly Cell[], round: number): Promise<Sample[]> {
  const [first] = cells
  if (first === undefined) return []
  const { proxy, upstream, proxyCore } = first
  await delay(SETTLE_MS)
  const acceptedBefore = await acceptedConnections(upstream)
  const loggedBefore = await Promise.all(cells.map(loggedBytes))
  const upstreamBefore = await readTree(upstream.running.pid)
  const before = await readTree(proxy.running.pid)
  const busyBefore = await readCoreBusy(proxyCore)
  const startedAt = performance.now()
  const contenders = await takeTurns(cells, before)
  const elapsedNanoseconds = (performance.now() - startedAt) * 1e6
  const busyNanoseconds = (await readCoreBusy(proxyCore)) - busyBefore
  await delay(SETTLE_MS)
  const after = await readTree(proxy.running.pid)
  const upstreamCpu = cpuNanosecondsBetween(upstreamBefore, await readTree(upstream.running.pid))
  const accepted = (await acceptedConnections(upstream)) - acceptedBefore
  const results = await Promise.all(contenders.map(({ wrk }) => wrk.result))
  const requestsOfAll = Math.max(1, sum(results.map(({ requests }) => requests)))
  const ofAll = {
    round,
    p99Microseconds: null,
    othersShare: Math.max(0, (busyNanoseconds - cpuNanosecondsBetween(before, after)) / elapsedNanoseconds),
    upstreamCpuMicrosecondsPerRequest: upstreamCpu / 1000 / requestsOfAll,
    upstreamConnectionsPerRequest: Math.max(0, accepted - first.timing.connections) / requestsOfAll,
    residentBytes: residentBytes(after),
    workerResidentBytes: busiestBetween(before, after).residentBytes,
  }
  const loggedAfter = await Promise.all(cells.map(loggedBytes))
  return results.map((result, at) => {
    const { cell, cpuNanoseconds, turnsMs } = contenders[at] as Contender
    return {
      ...ofAll,
      requestsPerSecond: result.requests / (turnsMs / 1000),
      p50Microseconds: result.p50Microseconds,
      cpuMicrosecondsPerRequest: cpuNanoseconds / 1000 / Math.max(result.requests, 1),
      coreShare: cpuNanoseconds / (turnsMs * 1e6),
      faults: sampleFaults(cell, result, (loggedAfter[at] ?? 0) - (loggedBefore[at] ?? 0)),
    }
  })
}

/** Until every wrk has ended by itself. `before`: the proxy as it is now. */
async function takeTurns(cells: readonly Cell[], before: TreeUsage): Promise<Contender[]> {
  const pids = [...before.keys()]
  const contenders: Contender[] = []
  let usages = before
  const takeTurn = async (contender: Contender): Promise<void> => {
    if (contender.hasEnded) return
    const { cell, wrk } = contender
    const startedAt = performance.now()
    wrk.go()
    const turn = new AbortController()
    const isOver = delay(TURN_MS, false, { signal: turn.signal })
    contender.hasEnded = await Promise.race([isOver, wrk.result.then(() => true), cell.proxy.running.died])
    turn.abort()
    isOver.catch(() => {})
    wrk.halt()
    contender.turnsMs += performance.now() - startedAt
    await delay(STILL_MS)
    const now = await readUsages(pids)
    contender.cpuNanoseconds += cpuNanosecondsBetween(usages, now)
    usages = now
  }
  await using ending = new AsyncDisposableStack()
  for (const cell of cells) {
    const load = await loadOf(cell, cell.timing.seconds * cells.length)
    const wrk = ending.use(startWrk(load))
    const contender = { cell, wrk, hasEnded: false, cpuNanoseconds: 0, turnsMs: 0 }
    contenders.push(contender)
    await takeTurn(contender)
  }
  // There and back: what changes steadily counts for all alike.
  for (let turn = 1; contenders.some(({ hasEnded }) => !hasEnded); turn++) {
    for (const contender of turn % 2 === 1 ? contenders.toReversed() : contenders) await takeTurn(contender)
  }
  return contenders
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
