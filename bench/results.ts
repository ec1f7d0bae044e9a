import type { Sample, Timing } from './measure.ts'
import type { Variant } from './scenarios.ts'
import { type Spread, spread } from './statistics.ts'

/** What a run found, as it is written to results.json. */

export interface Row {
  readonly scenario: string
  readonly peer: string
  readonly variant: Variant
  readonly title: string
  readonly samples: readonly Sample[]
  /** Why it could not be measured, or null. */
  readonly problem: string | null
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
}

export interface Results {
  readonly startedAt: string
  readonly machine: Machine
  readonly upstream: string
  readonly timing: Timing
  /** Peer name to version. */
  readonly versions: Readonly<Record<string, string>>
  /** Sentences about peers that are not installed. */
  readonly missing: readonly string[]
  readonly rows: readonly Row[]
}

export type Measure = Exclude<keyof Sample, 'faults' | 'round'>

/** Everything that makes a row invalid, each once; empty when it is valid. */
export function faultsOf(row: Row): string[] {
  const faults = row.samples.flatMap((sample) => sample.faults)
  return [...new Set(row.problem === null ? faults : [row.problem, ...faults])]
}

export function isValid(row: Row): boolean {
  return row.samples.length > 0 && faultsOf(row).length === 0
}

/** Median and extremes of one measure, or null when no sample of the row has it. */
export function spreadOf(row: Row, measure: Measure): Spread | null {
  const values = row.samples.map((sample) => sample[measure]).filter((value) => value !== null)
  return values.length === 0 ? null : spread(values)
}

/**
 * CPU per request of `row` over that of `base`, taken round by round: what disturbed the machine in one round
 * disturbed both. Null unless both are valid and have rounds in common.
 */
export function cpuRatio(row: Row | undefined, base: Row | undefined): Spread | null {
  return cpuByRound(row, base, (cpu, baseCpu) => (baseCpu === 0 ? null : cpu / baseCpu))
}

/** Microseconds of CPU per request of `row` above those of `base`, taken round by round as by `cpuRatio()`. */
export function cpuAdded(row: Row | undefined, base: Row | undefined): Spread | null {
  return cpuByRound(row, base, (cpu, baseCpu) => cpu - baseCpu)
}

function cpuByRound(
  row: Row | undefined,
  base: Row | undefined,
  compare: (cpu: number, baseCpu: number) => number | null,
): Spread | null {
  if (row === undefined || base === undefined || !isValid(row) || !isValid(base)) return null
  const found = row.samples.flatMap(({ round, cpuMicrosecondsPerRequest }) => {
    const other = base.samples.find((candidate) => candidate.round === round)
    return other === undefined ? [] : [compare(cpuMicrosecondsPerRequest, other.cpuMicrosecondsPerRequest)]
  })
  const compared = found.filter((value) => value !== null)
  return compared.length === 0 ? null : spread(compared)
}

export function findRow(rows: readonly Row[], scenario: string, peer: string, variant?: Variant) {
  return rows.find(
    (row) =>
      row.scenario === scenario && row.peer === peer && (variant === undefined || row.variant === variant),
  )
}
