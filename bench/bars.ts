import { BUILT_IN_CASES } from './in-process/built-in-cases.ts'
import { cpuAdded, cpuRatio, findRow, type Row } from './results.ts'

/** The bars that a comparison is held to: CPU per request of Cardea against that of another row of the same run. */

interface Bar {
  readonly says: string
  readonly ratioMax: number
  readonly scenario: string
  readonly base: { readonly peer: string; readonly variant: 'plain' }
  readonly variant: 'plain' | 'plugins'
}

const plain = (peer: string) => ({ peer, variant: 'plain' }) as const

const BARS: readonly Bar[] = [
  {
    says: 'empty chain / HAProxy',
    ratioMax: 1.4,
    scenario: 'small',
    base: plain('haproxy'),
    variant: 'plain',
  },
  { says: 'empty chain / nginx', ratioMax: 1.8, scenario: 'small', base: plain('nginx'), variant: 'plain' },
  { says: 'empty chain / Caddy', ratioMax: 0.25, scenario: 'small', base: plain('caddy'), variant: 'plain' },
  {
    says: 'five plugins / empty chain',
    ratioMax: 1.1,
    scenario: 'plugins',
    base: plain('cardea'),
    variant: 'plugins',
  },
  { says: '64 KiB / nginx', ratioMax: 1.3, scenario: '64k', base: plain('nginx'), variant: 'plain' },
  {
    says: 'one connection per request / HAProxy',
    ratioMax: 1.8,
    scenario: 'close',
    base: plain('haproxy'),
    variant: 'plain',
  },
]

export interface Verdict {
  readonly says: string
  /** With its unit, as the reader sees it. */
  readonly bar: string
  readonly found: string
  readonly outcome: 'met' | 'missed' | 'not measured'
}

/** Every bar, whether or not this run measured it. */
export function judgeComparison(rows: readonly Row[]): Verdict[] {
  return [...judgeRatios(rows), ...judgeBuiltInRows(rows)]
}

function judgeRatios(rows: readonly Row[]): Verdict[] {
  return BARS.map(({ says, ratioMax, scenario, base, variant }) => {
    const ratio = cpuRatio(
      findRow(rows, scenario, 'cardea', variant),
      findRow(rows, scenario, base.peer, base.variant),
    )
    const bar = `≤ ${ratioMax}`
    if (ratio === null) return { says, bar, found: '–', outcome: 'not measured' }
    return { says, bar, found: ratio.median.toFixed(2), outcome: ratio.median <= ratioMax ? 'met' : 'missed' }
  })
}

function judgeBuiltInRows(rows: readonly Row[]): Verdict[] {
  return BUILT_IN_CASES.map(({ name, addedMicrosecondsMax }) => {
    const added = cpuAdded(findRow(rows, name, 'cardea', 'built-in'), findRow(rows, name, 'cardea', 'plain'))
    const verdict = { says: `${name}, end to end`, bar: `≤ ${addedMicrosecondsMax} µs` }
    if (added === null) return { ...verdict, found: '–', outcome: 'not measured' }
    const outcome = added.median <= addedMicrosecondsMax ? 'met' : 'missed'
    return { ...verdict, found: `${added.median.toFixed(2)} µs`, outcome }
  })
}

/** One line per bar. */
export function showVerdicts(verdicts: readonly Verdict[]): string {
  const width = Math.max(...verdicts.map(({ says }) => says.length))
  return verdicts
    .map(
      ({ says, bar, found, outcome }) => `${outcome.padEnd(12)} ${says.padEnd(width)}  ${found} (bar ${bar})`,
    )
    .join('\n')
}

/** A bar that was not measured is not met, unless the user asked for a part only. */
export function exitCodeOf(verdicts: readonly Verdict[], partial: boolean): 0 | 1 {
  const bad = verdicts.some(({ outcome }) => outcome === 'missed' || (outcome === 'not measured' && !partial))
  return bad ? 1 : 0
}
