import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Verdict } from './bars.ts'
import type { Timing } from './measure.ts'
import { perIdleConnection, startBulkUpstream, underLoad, withSlowReader } from './memory/phases.ts'
import type { Peer } from './peers/peer.ts'
import { freePort } from './processes.ts'
import { startProxy } from './proxy.ts'
import { table } from './report.ts'
import { SMALL } from './scenarios.ts'
import { startUpstream } from './upstream.ts'

export interface MemoryBench {
  readonly peers: readonly Peer[]
  readonly timing: Timing
  readonly proxyCore: number
  readonly loadCore: number
  readonly signal: AbortSignal
  say(line: string): void
}

/** All in bytes of the worker's resident memory; null where it could not be measured. */
export interface MemoryRow {
  readonly peer: string
  readonly title: string
  readonly underLoad: number | null
  readonly perIdleConnection: number | null
  readonly slowDownload: number | null
  readonly slowUpload: number | null
}

type Phase = Exclude<keyof MemoryRow, 'peer' | 'title'>

const PHASES = {
  underLoad: { title: 'worker under small requests', unit: 'MB', max: 110 },
  perIdleConnection: { title: 'one of 5,000 idle connections', unit: 'KB', max: 8 },
  slowDownload: { title: 'worker, 1 GiB to a slow client', unit: 'MB', max: 150 },
  slowUpload: { title: 'worker, 1 GiB to a slow upstream', unit: 'MB', max: 150 },
} as const satisfies Record<Phase, { title: string; unit: 'MB' | 'KB'; max: number }>

const PHASE_NAMES = Object.keys(PHASES) as Phase[]
const BYTES_PER_UNIT = { MB: 1e6, KB: 1e3 }

/** Measures the peers one after another, each phase with a fresh process. What fails is said, and the run goes on. */
export async function measureMemory(bench: MemoryBench): Promise<MemoryRow[]> {
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const upstream = cleanUp.use(await startUpstream(join(directory, 'upstream'), bench.loadCore))
  const bulkPort = await freePort()
  cleanUp.use(startBulkUpstream(bulkPort, bench.loadCore))
  const rows: MemoryRow[] = []
  for (const peer of bench.peers) {
    const found: Record<Phase, number | null> = {
      underLoad: null,
      perIdleConnection: null,
      slowDownload: null,
      slowUpload: null,
    }
    for (const phase of PHASE_NAMES) {
      const upstreamPort = phase.startsWith('slow') ? bulkPort : upstream.port
      found[phase] = await measurePhase(peer, phase, upstreamPort, join(directory, peer.name, phase), bench)
    }
    rows.push({ peer: peer.name, title: peer.title, ...found })
  }
  return rows
}

async function measurePhase(
  peer: Peer,
  phase: Phase,
  upstreamPort: number,
  directory: string,
  bench: MemoryBench,
): Promise<number | null> {
  const { proxyCore: core, loadCore, signal, timing, say } = bench
  try {
    await using proxy = await startProxy(peer, 'plain', SMALL, { directory, core, upstreamPort })
    const context = { proxy, connections: timing.connections, seconds: timing.seconds, loadCore, signal }
    const bytes = await runPhase(phase, context)
    say(`${peer.title}, ${PHASES[phase].title}: ${show(phase, bytes)}`)
    return bytes
  } catch (error) {
    signal.throwIfAborted()
    say(
      `${peer.title}, ${PHASES[phase].title}: not measured: ${error instanceof Error ? error.message : error}`,
    )
    return null
  }
}

function runPhase(phase: Phase, context: Parameters<typeof underLoad>[0]): Promise<number> {
  switch (phase) {
    case 'underLoad':
      return underLoad(context)
    case 'perIdleConnection':
      return perIdleConnection(context)
    case 'slowDownload':
      return withSlowReader(context, 'down')
    case 'slowUpload':
      return withSlowReader(context, 'up')
  }
}

/** A Markdown table: peers down, phases across. */
export function reportMemory(rows: readonly MemoryRow[]): string {
  const head = ['', ...PHASE_NAMES.map((phase) => PHASES[phase].title)]
  const body = rows.map((row) => [row.title, ...PHASE_NAMES.map((phase) => show(phase, row[phase]))])
  return `${table(head, body).join('\n')}\n`
}

/** The bars of the worker's memory. */
export function judgeMemory(row: MemoryRow | undefined): Verdict[] {
  return PHASE_NAMES.map((phase) => {
    const { title, unit, max } = PHASES[phase]
    const bytes = row?.[phase] ?? null
    const met = bytes !== null && bytes <= max * BYTES_PER_UNIT[unit]
    const outcome = bytes === null ? 'not measured' : met ? 'met' : 'missed'
    return { says: title, bar: `≤ ${max} ${unit}`, found: show(phase, bytes), outcome }
  })
}

function show(phase: Phase, bytes: number | null): string {
  const { unit } = PHASES[phase]
  return bytes === null ? '–' : `${(bytes / BYTES_PER_UNIT[unit]).toFixed(unit === 'KB' ? 1 : 0)} ${unit}`
}
