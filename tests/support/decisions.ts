import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isStopped } from './processes.ts'
import type { TempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

/** The environment of a gateway that `stopAtDecision` is for. */
export const STOPS_AT_DECISION = {
  NODE_OPTIONS: `--require=${join(import.meta.dirname, 'stop-at-decision.cjs')}`,
}

/** The newest generation that is decided in a gateway's folder; 0 for none. */
export function decidedIn(dir: TempDir): number {
  const names = readdirSync(join(dir.path, '.cardea/generations'))
  const numbers = names.map((name) => Number(/^(\d+)\.record$/.exec(name)?.[1] ?? 0))
  return Math.max(0, ...numbers)
}

/**
 * Has that supervisor stop itself in the moment in which the next generation is decided: nothing that follows from the
 * decision has happened yet. Resolves when it has stopped. The gateway was started with STOPS_AT_DECISION.
 */
export async function stopAtDecision(dir: TempDir, supervisor: number): Promise<void> {
  writeFileSync(join(dir.path, '.cardea/stop-at-decision'), '')
  await waitFor(() => isStopped(supervisor), 'the next generation to be decided')
}
