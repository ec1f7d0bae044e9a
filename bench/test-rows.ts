import type { Sample } from './measure.ts'
import type { Results, Row } from './results.ts'

/** Made-up results for tests. */

export function sampleOf(parts: Partial<Sample>): Sample {
  return {
    round: 0,
    requestsPerSecond: 10_000,
    p50Microseconds: 1_000,
    p99Microseconds: 2_000,
    cpuMicrosecondsPerRequest: 20,
    coreShare: 1,
    othersShare: 0,
    upstreamCpuMicrosecondsPerRequest: 5,
    upstreamConnectionsPerRequest: 0,
    residentBytes: 20e6,
    workerResidentBytes: 10e6,
    faults: [],
    ...parts,
  }
}

/** A row whose rounds cost what `cpu` lists. */
export function rowOf(peer: string, cpu: readonly number[], parts: Partial<Row> = {}): Row {
  const samples = cpu.map((cpuMicrosecondsPerRequest, round) =>
    sampleOf({ round, cpuMicrosecondsPerRequest }),
  )
  return { scenario: 'small', peer, variant: 'plain', title: peer, samples, problem: null, ...parts }
}

export function resultsOf(rows: readonly Row[]): Results {
  return {
    startedAt: '2026-01-02T03:04:05.000Z',
    machine: { cpu: 'A <fast> CPU', cores: 2, memoryBytes: 1e9, kernel: '6.1' },
    upstream: 'nginx',
    timing: { warmUpSeconds: 1, seconds: 2, repeats: 2, connections: 64 },
    versions: { nginx: 'nginx 1.22.1' },
    missing: ['Caddy is not installed and is left out; get it with: apt-get install caddy'],
    rows,
  }
}
