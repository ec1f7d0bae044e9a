import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Verdict } from './bars.ts'
import { NAME, TESTS, writeHundred } from './harness/hundred.ts'
import { table } from './report.ts'
import { spread } from './statistics.ts'

const BIN = fileURLToPath(new URL('../packages/gateway/bin/cardea.js', import.meta.url))
const SECONDS_MAX = 2
/** Of a run that fails: the end has its summary and its last failure. */
const OUTPUT_SHOWN = 2_000
const ALL_PASSED = new RegExp(`^ℹ pass ${TESTS}$`, 'm')

export interface HarnessBench {
  /** Runs that count; the first of all is looked at by itself. */
  readonly runs: number
  readonly signal: AbortSignal
}

/** All in seconds, from the start of the command to its end. */
export interface HarnessResult {
  /** Also makes the program and compiles it, when nobody ran it since the sources changed. */
  readonly first: number
  readonly further: readonly number[]
}

/** Times `cardea plugin test`. Throws when a test of it does not pass: what fails may well be fast. */
export async function measureHarness({ runs, signal }: HarnessBench): Promise<HarnessResult> {
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  await writeHundred(join(directory, 'plugins', NAME))
  const first = await timeRun(directory, signal)
  const further: number[] = []
  while (further.length < runs) further.push(await timeRun(directory, signal))
  return { first, further }
}

async function timeRun(cwd: string, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [BIN, 'plugin', 'test', NAME], {
    cwd,
    signal,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const seconds = (performance.now() - startedAt) / 1000
  if (code === 0 && ALL_PASSED.test(output)) return seconds
  throw new Error(
    `cardea plugin test ended with ${code}, and without ${TESTS} passed tests: …${output.slice(-OUTPUT_SHOWN)}`,
  )
}

/** Markdown. */
export function reportHarness({ first, further }: HarnessResult): string {
  const { median, min, max } = spread(further)
  const row = [first, median, min, max].map(show)
  const lines = table(['s', 'first run', 'median', 'least', 'most'], [[`${TESTS} tests`, ...row]])
  return `${lines.join('\n')}\n`
}

export function judgeHarness({ further }: HarnessResult): Verdict[] {
  const { median } = spread(further)
  return [
    {
      says: `cardea plugin test, ${TESTS} harness tests`,
      bar: `< ${SECONDS_MAX} s`,
      found: `${show(median)} s`,
      outcome: median < SECONDS_MAX ? 'met' : 'missed',
    },
  ]
}

function show(seconds: number): string {
  return seconds.toFixed(2)
}
