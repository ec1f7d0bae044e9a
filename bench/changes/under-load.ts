import { type Load, startWrk, type WrkResult, wrkFaults } from '../load/wrk.ts'
import type { Timing } from '../measure.ts'
import { BODY } from './site.ts'

/** The same seconds of load twice, one after the other: with a change after the other, and without any. */
export interface LoadTurn {
  readonly quiet: WrkResult
  readonly changing: WrkResult
  readonly changes: number
}

export interface LoadTurns {
  readonly port: number
  readonly timing: Timing
  /** wrk runs on any of these, as taskset reads them. */
  readonly cores: string
  readonly signal: AbortSignal
  /** Makes one change and resolves when it is live. */
  change(): Promise<void>
  say(line: string): void
}

/**
 * Loads the gateway with as many requests as it takes, in `timing.repeats` turns. Each has both halves, once one first and
 * once the other, so that what the machine does to one it does to the other. Throws when a request fails.
 */
export async function measureUnderLoad(turns: LoadTurns): Promise<LoadTurn[]> {
  const { timing, say } = turns
  const measured: LoadTurn[] = []
  for (let turn = 0; turn < timing.repeats; turn++) {
    const isQuietFirst = turn % 2 === 0
    const before = isQuietFirst ? await loaded(turns, null) : null
    const { result: changing, changes } = await loaded(turns, turns.change)
    const { result: quiet } = before ?? (await loaded(turns, null))
    measured.push({ quiet, changing, changes })
    const p99s = [quiet, changing].map(({ p99Microseconds }) => (p99Microseconds / 1_000).toFixed(2))
    say(`  ${turn + 1}/${timing.repeats} p99 ${p99s[0]} ms, with ${changes} changes ${p99s[1]} ms`)
  }
  return measured
}

/** `change`: made again and again while the load lasts. */
async function loaded(
  { port, timing, cores, signal }: LoadTurns,
  change: (() => Promise<void>) | null,
): Promise<{ readonly result: WrkResult; readonly changes: number }> {
  const load: Load = {
    url: `http://127.0.0.1:${port}/`,
    method: 'GET',
    requestBytes: 0,
    closes: false,
    fields: {},
    connections: timing.connections,
    seconds: timing.seconds,
    core: cores,
    signal,
  }
  await using wrk = startWrk(load)
  let hasEnded = false
  const end = (): void => {
    hasEnded = true
  }
  wrk.result.then(end, end)
  let changes = 0
  for (; change !== null && !hasEnded; changes++) await change()
  const result = await wrk.result
  const faults = wrkFaults(result, BODY.length)
  if (faults.length > 0) throw new Error(`Under load: ${faults.join('; ')}`)
  return { result, changes }
}
