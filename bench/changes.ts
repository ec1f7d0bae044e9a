import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ChangeReport } from '../packages/gateway/src/protocol/control.ts'
import { ChangeWatch } from '../tests/support/change-watch.ts'
import type { Verdict } from './bars.ts'
import { Poller } from './changes/poller.ts'
import { now } from './changes/polling.ts'
import { PLUGIN_COUNT, Site, WORKERS } from './changes/site.ts'
import { type LoadTurn, measureUnderLoad } from './changes/under-load.ts'
import type { Timing } from './measure.ts'
import { readTreeCpu } from './proc.ts'
import { freePort, startPinned } from './processes.ts'
import { table } from './report.ts'
import { percentile, type Spread, spread } from './statistics.ts'

const BIN = fileURLToPath(new URL('../packages/gateway/bin/cardea.js', import.meta.url))
/** Gateway, clients and load share these. */
const CORES = '0-1'
/**
 * Changes before the first that counts: the first builds, trials and stages run code that is not compiled yet, and V8
 * compiles it on the cores that requests need. *Measured*: of 1,000 changes the p99 of requests is 2.7 ms in the first
 * tenth and 1.5 to 2 ms from the second on; the requests without changes come last, when all that is over.
 */
const WARM_UP_CHANGES = 100
const BARS = { medianMs: 100, p99Ms: 300, skewP99Ms: 50, requestRatio: 2 }

export interface ChangesBench {
  readonly changes: number
  /** Of the turns under load. */
  readonly timing: Timing
  readonly signal: AbortSignal
  say(line: string): void
}

/** All in milliseconds, one value a change or a request. */
export interface ChangesResult {
  /** From just before the save to the first answer that was made by what was saved. */
  readonly toFirstAnswer: readonly number[]
  /** The same while the gateway has as many requests as it takes. */
  readonly toFirstAnswerLoaded: readonly number[]
  /** Between the workers' swaps. */
  readonly skew: readonly number[]
  /** By stage, in the order they ran. */
  readonly stages: ReadonlyMap<string, readonly number[]>
  /** Of the requests of a client that is alone. */
  readonly loneQuiet: readonly number[]
  readonly loneChanging: readonly number[]
  readonly loadTurns: readonly LoadTurn[]
  /** CPU time of all the gateway's processes for one change, what requests need left out. */
  readonly cpuPerChangeMs: number
}

interface MadeChange {
  readonly report: ChangeReport
  /** From just before the save to the first answer that was made by what was saved. */
  readonly ms: number
}

/**
 * Saves files of a gateway with 20 plugins and two workers, one change after the other, while a client asks over one
 * connection, and then under load. Gateway and clients share all cores: esbuild, the trial and the workers are processes of
 * their own.
 */
export async function measureChanges(bench: ChangesBench): Promise<ChangesResult> {
  const { changes, timing, signal, say } = bench
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const port = await freePort()
  const site = await Site.create(directory, port)
  const args = [BIN, 'serve', '--config', site.configFile]
  const gateway = cleanUp.use(
    await startPinned({ command: process.execPath, args }, { core: CORES, directory }),
  )
  const poller = cleanUp.use(await Promise.race([Poller.start(port), gateway.died]))
  const watch = cleanUp.use(await ChangeWatch.start(directory))
  const change = async (): Promise<MadeChange> => {
    signal.throwIfAborted()
    let savedAt = 0
    const report = await watch.change(() => {
      savedAt = now()
      return site.save()
    })
    return { report, ms: (await poller.firstAt(site.mark)) - savedAt }
  }
  for (let index = 0; index < WARM_UP_CHANGES; index++) await change()
  const made: MadeChange[] = []
  await poller.takeLatencies()
  const cpuBefore = await readTreeCpu(gateway.pid)
  for (let index = 0; index < changes; index++) {
    made.push(await change())
    if ((index + 1) % 100 === 0) say(`${index + 1} changes`)
  }
  const loneChanging = await poller.takeLatencies()
  const cpuBetween = await readTreeCpu(gateway.pid)
  const loneQuiet = await poller.latenciesOf(loneChanging.length)
  const cpuQuiet = (await readTreeCpu(gateway.pid)) - cpuBetween
  const cpuOfRequests = (cpuQuiet / loneQuiet.length) * loneChanging.length
  const toFirstAnswerLoaded: number[] = []
  const changeLoaded = async (): Promise<void> => void toFirstAnswerLoaded.push((await change()).ms)
  const loadTurns = await measureUnderLoad({ port, timing, cores: CORES, signal, change: changeLoaded, say })
  return {
    toFirstAnswer: made.map(({ ms }) => ms),
    toFirstAnswerLoaded,
    skew: made.flatMap(({ report }) => report.skewMs ?? []),
    stages: stagesOf(made.map(({ report }) => report)),
    loneQuiet,
    loneChanging,
    loadTurns,
    cpuPerChangeMs: (cpuBetween - cpuBefore - cpuOfRequests) / 1e6 / changes,
  }
}

function stagesOf(reports: readonly ChangeReport[]): Map<string, number[]> {
  const stages = new Map<string, number[]>()
  for (const { stage, ms } of reports.flatMap((report) => report.stages)) {
    const known = stages.get(stage)
    if (known === undefined) stages.set(stage, [ms])
    else known.push(ms)
  }
  return stages
}

/** Markdown. */
export function reportChanges(result: ChangesResult): string {
  const row = (title: string, values: readonly number[]): string[] => [
    title,
    ...[0.5, 0.9, 0.99, 1].map((share) => show(percentile(values, share))),
  ]
  const rows = [
    row('save to first answer', result.toFirstAnswer),
    ...[...result.stages].map(([stage, values]) => row(`stage ${stage}`, values)),
    row('between the workers', result.skew),
    row('a lone request, no changes', result.loneQuiet),
    row('a lone request, changes all the time', result.loneChanging),
    row('save to first answer under load', result.toFirstAnswerLoaded),
  ]
  const what = `${result.toFirstAnswer.length} changes, ${PLUGIN_COUNT} plugins, ${WORKERS} workers`
  const cpu = `CPU time of all processes for one change: ${show(result.cpuPerChangeMs)} ms`
  const lines = table(['ms', 'median', 'p90', 'p99', 'most'], rows)
  return `${what}\n\n${lines.join('\n')}\n\n${cpu}\n\n${reportLoad(result.loadTurns).join('\n')}\n`
}

/** Medians of the turns, with the lowest and the highest. */
function reportLoad(turns: readonly LoadTurn[]): string[] {
  const row = (title: string, half: 'quiet' | 'changing'): string[] => {
    const of = (value: (result: LoadTurn['quiet']) => number): string =>
      showSpread(spread(turns.map((turn) => value(turn[half]))))
    return [
      title,
      of(({ p50Microseconds }) => p50Microseconds / 1_000),
      of(({ p99Microseconds }) => p99Microseconds / 1_000),
      of(({ requests, durationMicroseconds }) => requests / (durationMicroseconds / 1e6)),
    ]
  }
  const head = ['under load', 'median ms', 'p99 ms', 'requests/s']
  const rows = [row('no changes', 'quiet'), row('changes all the time', 'changing')]
  const changes = turns.reduce((sum, turn) => sum + turn.changes, 0)
  const ratio = showSpread(spread(p99Ratios(turns)))
  return [
    ...table(head, rows),
    '',
    `p99, changing / quiet: ${ratio} in ${turns.length} turns, ${changes} changes`,
  ]
}

function p99Ratios(turns: readonly LoadTurn[]): number[] {
  return turns.map(({ quiet, changing }) => changing.p99Microseconds / quiet.p99Microseconds)
}

export function judgeChanges(result: ChangesResult): Verdict[] {
  const verdict = (says: string, found: number, max: number, unit: string): Verdict => ({
    says,
    bar: `≤ ${max}${unit}`,
    found: `${show(found)}${unit}`,
    outcome: found <= max ? 'met' : 'missed',
  })
  const p99 = (values: readonly number[]): number => percentile(values, 0.99)
  const loaded = spread(p99Ratios(result.loadTurns)).median
  const lone = p99(result.loneChanging) / p99(result.loneQuiet)
  return [
    verdict('save to first answer, median', percentile(result.toFirstAnswer, 0.5), BARS.medianMs, ' ms'),
    verdict('save to first answer, p99', p99(result.toFirstAnswer), BARS.p99Ms, ' ms'),
    verdict('between the workers, p99', p99(result.skew), BARS.skewP99Ms, ' ms'),
    verdict('request p99 under load, changing / quiet', loaded, BARS.requestRatio, ''),
    verdict('request p99 of a lone client, changing / quiet', lone, BARS.requestRatio, ''),
  ]
}

function showSpread({ median, min, max }: Spread): string {
  return `${show(median)} (${show(min)}–${show(max)})`
}

function show(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0)
}
