import assert from 'node:assert/strict'
import type { Fault } from './faults.ts'
import type { Kind } from './plugins.ts'
import { type Stage, WORKERS } from './stage.ts'

/** What happened in one cell. */
export interface CellResult {
  readonly fault: string
  readonly kind: Kind
  /** What became of the change that brought the fault. */
  readonly outcome: string
  /** All answers from the fault until all was well again. */
  readonly answers: string
  readonly lost: number
  readonly unguarded: number
  /** From the mended file to all being well, in milliseconds. */
  readonly healedMs: number
}

/** Enough to go through whatever the fault left behind in each worker. */
const ANSWERS_MEANWHILE = 10

/** Brings the fault in, looks at what is served meanwhile, mends the files, and waits until all is well again. */
export async function runCell(stage: Stage, fault: Fault, kind: Kind): Promise<CellResult> {
  const { traffic, upstream } = stage
  await stage.isWell()
  const before = {
    answers: traffic.answers.length,
    lost: traffic.lost.length,
    unguarded: upstream.unguarded.length,
  }
  const versions = { guard: `/${stage.versionOf('security')}`, watch: `${stage.versionOf('observe')}` }

  const outcome = await fault.bring(stage, kind)
  const isAsBefore = fault.meanwhile?.[kind]
  await traffic.turns(
    isAsBefore ??
      (({ status, guard, watch }) => status === 200 && guard === versions.guard && watch === versions.watch),
    'what the fault leads to',
    WORKERS,
  )
  await traffic.flows(ANSWERS_MEANWHILE, WORKERS)

  await fault.mend?.(stage, kind)
  await stage.write(kind, stage.next(kind))
  const mendedAt = performance.now()
  await stage.isWell()
  const healedMs = performance.now() - mendedAt

  const unguarded = upstream.unguarded.slice(before.unguarded)
  assert.deepEqual(unguarded, [], 'requests came to the upstream without having passed the security plugin')
  const lost = traffic.lost.slice(before.lost)
  const lostMax = fault.killsWorker === true ? traffic.clients : 0
  assert.ok(lost.length <= lostMax, `${lost.length} requests were lost: ${lost.join('; ')}`)
  const allowed = fault.refusals?.[kind] ?? []
  const wrong = traffic.answers
    .slice(before.answers)
    .filter(({ status, code }) => status !== 200 && !(status === 503 && allowed.includes(code)))
  assert.deepEqual(wrong, [], 'requests were refused that should have been served')
  return {
    fault: fault.name,
    kind,
    outcome,
    answers: traffic.describe(before.answers),
    lost: lost.length,
    unguarded: unguarded.length,
    healedMs,
  }
}

/** The matrix for people, in the order of the faults' names. */
export function renderMatrix(faults: readonly string[], results: readonly CellResult[]): string {
  const sorted = results.toSorted((a, b) => faults.indexOf(a.fault) - faults.indexOf(b.fault))
  const rows = sorted.map(({ fault, kind, outcome, answers, lost, unguarded, healedMs }) => [
    fault,
    kind,
    outcome,
    answers,
    `${lost}`,
    `${unguarded}`,
    `${Math.round(healedMs)} ms`,
  ])
  const table = [['fault', 'plugin', 'change', 'answers', 'lost', 'unguarded', 'healed after'], ...rows]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  return table
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
