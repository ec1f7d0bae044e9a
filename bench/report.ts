import { OTHERS_SHARE_MAX, REUSE_SHARE_MAX } from './measure.ts'
import {
  cpuAdded,
  cpuRatio,
  faultsOf,
  findRow,
  type Measure,
  type Results,
  type Row,
  spreadOf,
} from './results.ts'
import { SCENARIOS } from './scenarios.ts'
import type { Spread } from './statistics.ts'

/** The Markdown of results.md, which is also what the terminal shows. */
export function report(results: Results): string {
  const { machine, timing } = results
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, ${results.startedAt}.`,
    `One core per proxy; upstream ${results.upstream}; ${timing.connections} connections, ${timing.repeats} × ${timing.seconds} s, interleaved; medians (lowest–highest).`,
    '',
    ...[...new Set(Object.values(results.versions))].map((version) => `- ${version}`),
    ...results.missing.map((sentence) => `- ${sentence}`),
    '',
    '## CPU per request: Cardea / peer',
    '',
    ...ratioTable(results.rows),
    ...builtInTable(results.rows),
  ]
  for (const scenario of SCENARIOS) {
    const rows = results.rows.filter((row) => row.scenario === scenario.name)
    if (rows.length > 0) lines.push('', `## ${scenario.title}`, '', ...scenarioTable(rows))
  }
  return `${lines.join('\n')}\n`
}

/** Peers down, scenarios across. Below 1, Cardea needs less. Lines of Markdown. */
export function ratioTable(rows: readonly Row[]): string[] {
  const others = rows.filter((row) => row.peer !== 'cardea')
  const scenarios = [...new Set(others.map((row) => row.scenario))]
  const peers = new Map(others.map((row) => [row.peer, row.title] as const))
  const head = ['', ...scenarios]
  const body = [...peers].map(([peer, title]) => [
    title,
    ...scenarios.map((scenario) => {
      const ratio = cpuRatio(findRow(rows, scenario, 'cardea'), findRow(rows, scenario, peer))
      return ratio === null
        ? '–'
        : `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`
    }),
  ])
  return table(head, body)
}

/** What each built-in plugin costs end to end. Lines of Markdown; none where none was measured. */
function builtInTable(rows: readonly Row[]): string[] {
  const body = SCENARIOS.flatMap(({ name, builtIn }) => {
    const row = findRow(rows, name, 'cardea', 'built-in')
    if (builtIn === null || row === undefined) return []
    const added = cpuAdded(row, findRow(rows, name, 'cardea', 'plain'))
    return [[name, show(added, (value) => value.toFixed(2)), `${builtIn.addedMicrosecondsMax}`]]
  })
  if (body.length === 0) return []
  const head = ['', 'added µs', 'bar']
  return ['', '## CPU per request that a built-in plugin adds', '', ...table(head, body)]
}

const COLUMNS = [
  '',
  'CPU µs/request',
  'requests/s',
  'p50 ms',
  'p99 ms',
  'core',
  'worker MB',
  'all MB',
  'remarks',
]

function scenarioTable(rows: readonly Row[]): string[] {
  const body = rows.map((row) => [
    row.title,
    show(spreadOf(row, 'cpuMicrosecondsPerRequest'), (value) => value.toFixed(1)),
    showMedian(row, 'requestsPerSecond', (value) => Math.round(value).toLocaleString('en')),
    showMedian(row, 'p50Microseconds', (value) => (value / 1000).toFixed(2)),
    showMedian(row, 'p99Microseconds', (value) => (value / 1000).toFixed(2)),
    showMedian(row, 'coreShare', (value) => `${Math.round(value * 100)} %`),
    showMedian(row, 'workerResidentBytes', megabytes),
    showMedian(row, 'residentBytes', megabytes),
    remarksOf(row),
  ])
  return table(COLUMNS, body)
}

function remarksOf(row: Row): string {
  const faults = faultsOf(row)
  const remarks: string[] = faults.length === 0 ? [] : [`**invalid**: ${faults.join('; ')}`]
  const connections = spreadOf(row, 'upstreamConnectionsPerRequest')?.median ?? 0
  if (connections > REUSE_SHARE_MAX)
    remarks.push(`${connections.toFixed(2)} upstream connections per request`)
  const others = spreadOf(row, 'othersShare')?.median ?? 0
  if (others > OTHERS_SHARE_MAX) remarks.push(`other programs took ${Math.round(others * 100)} % of the core`)
  return remarks.join('; ')
}

function show(spread: Spread | null, format: (value: number) => string): string {
  return spread === null ? '–' : `${format(spread.median)} (${format(spread.min)}–${format(spread.max)})`
}

function showMedian(row: Row, measure: Measure, format: (value: number) => string): string {
  const spread = spreadOf(row, measure)
  return spread === null ? '–' : format(spread.median)
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

/** A Markdown table, columns padded so that it reads well in a terminal too. The first column is text. */
export function table(head: readonly string[], body: readonly (readonly string[])[]): string[] {
  const rows = [head, ...body]
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, at) => (at === 0 ? (row[at] ?? '').padEnd(width) : (row[at] ?? '').padStart(width))).join(' | ')} |`
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...body.map(line)]
}
