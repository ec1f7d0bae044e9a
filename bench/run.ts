import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exitCodeOf, judgeComparison, showVerdicts, type Verdict } from './bars.ts'
import { judgeChanges, measureChanges, reportChanges } from './changes.ts'
import { compare } from './compare.ts'
import { judgeHarness, measureHarness, reportHarness } from './harness.ts'
import { judgeBuiltIns, measureBuiltIns, reportBuiltIns } from './in-process/built-ins.ts'
import { measureInProcess, reportInProcess } from './in-process.ts'
import { judgeMemory, measureMemory, reportMemory } from './memory.ts'
import { type Options, parseOptions, USAGE } from './options.ts'
import { PEERS } from './peers/all.ts'
import { cardea } from './peers/cardea.ts'
import { firstLineOf } from './processes.ts'
import { report } from './report.ts'
import { chart } from './svg.ts'

const RESULTS_DIRECTORY = fileURLToPath(new URL('results/', import.meta.url))

const PROGRAMS = [
  { name: 'wrk', args: ['-v'], install: 'apt-get install wrk' },
  { name: 'taskset', args: ['--version'], install: 'apt-get install util-linux' },
  { name: 'prlimit', args: ['--version'], install: 'apt-get install util-linux' },
]

/** Returns the exit code. */
async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    say(USAGE)
    return 0
  }
  const options = parseOptions(process.argv.slice(2))
  if (options.what === 'in-process') return runInProcess(options)
  if (options.what === 'plugins') return runBuiltIns(options)
  if (options.what !== 'harness') await requirePrograms()
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort())
  if (options.what === 'harness') return runHarness(options, interrupt.signal)
  if (options.what === 'changes') return runChanges(options, interrupt.signal)
  return options.what === 'memory'
    ? runMemory(options, interrupt.signal)
    : runComparison(options, interrupt.signal)
}

async function requirePrograms(): Promise<void> {
  if (process.platform !== 'linux')
    throw new Error('The bench reads /proc and pins to cores; it needs Linux.')
  if (availableParallelism() < 2)
    throw new Error('The bench needs two cores: one for the proxy, one for the load.')
  for (const { name, args, install } of PROGRAMS) {
    if ((await firstLineOf(name, args)) === null) {
      throw new Error(`${name} is not installed; get it with: ${install}`)
    }
  }
}

async function runComparison(options: Options, signal: AbortSignal): Promise<number> {
  const { scenarios, timing, proxyCore, loadCore } = options
  const peers = options.peers ?? PEERS
  const results = await compare({ peers, scenarios, timing, proxyCore, loadCore, signal, say })
  const text = report(results)
  await writeResults(options, {
    'results.json': `${JSON.stringify(results, null, 2)}\n`,
    'results.md': text,
    'chart.svg': chart(results),
  })
  say(`\n${text}`)
  return options.check ? announce(judgeComparison(results.rows), options.partial) : 0
}

async function runMemory(options: Options, signal: AbortSignal): Promise<number> {
  const { timing, proxyCore, loadCore } = options
  const rows = await measureMemory({
    peers: options.peers ?? [cardea],
    timing,
    proxyCore,
    loadCore,
    signal,
    say,
  })
  const text = reportMemory(rows)
  await writeResults(options, {
    'memory.json': `${JSON.stringify({ at: new Date().toISOString(), rows }, null, 2)}\n`,
    'memory.md': text,
  })
  say(`\n${text}`)
  return options.check ? announce(judgeMemory(rows.find(({ peer }) => peer === cardea.name)), false) : 0
}

async function runInProcess(options: Options): Promise<number> {
  const exchanges = options.quick ? 100_000 : 1_000_000
  const timings = await measureInProcess(exchanges)
  const text = reportInProcess(timings)
  const found = { at: new Date().toISOString(), exchanges, timings }
  await writeResults(options, {
    'in-process.json': `${JSON.stringify(found, null, 2)}\n`,
    'in-process.md': text,
  })
  say(`\n${text}`)
  return 0
}

async function runBuiltIns(options: Options): Promise<number> {
  const exchanges = options.quick ? 100_000 : 1_000_000
  const rows = await measureBuiltIns(options.builtIns, exchanges)
  const text = reportBuiltIns(rows)
  const found = { at: new Date().toISOString(), exchanges, rows }
  await writeResults(options, { 'plugins.json': `${JSON.stringify(found, null, 2)}\n`, 'plugins.md': text })
  say(`\n${text}`)
  return options.check ? announce(judgeBuiltIns(rows), options.partial) : 0
}

async function runHarness(options: Options, signal: AbortSignal): Promise<number> {
  const result = await measureHarness({ runs: options.timing.repeats, signal })
  const text = reportHarness(result)
  const found = { at: new Date().toISOString(), ...result }
  await writeResults(options, {
    'harness.json': `${JSON.stringify(found, null, 2)}\n`,
    'harness.md': text,
  })
  say(`\n${text}`)
  return options.check ? announce(judgeHarness(result), false) : 0
}

async function runChanges(options: Options, signal: AbortSignal): Promise<number> {
  const result = await measureChanges({ changes: options.changes, timing: options.timing, signal, say })
  const text = `${reportChanges(result)}\nLoad average ${loadavg()
    .map((load) => load.toFixed(1))
    .join(' ')}\n`
  const found = { at: new Date().toISOString(), ...result, stages: Object.fromEntries(result.stages) }
  await writeResults(options, { 'changes.json': `${JSON.stringify(found)}\n`, 'changes.md': text })
  say(`\n${text}`)
  return options.check ? announce(judgeChanges(result), false) : 0
}

async function writeResults({ out }: Options, files: Readonly<Record<string, string>>): Promise<void> {
  const directory = out ?? RESULTS_DIRECTORY
  await mkdir(directory, { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  say(`\nWritten to ${directory}: ${Object.keys(files).join(', ')}`)
}

/** Returns the exit code. */
function announce(verdicts: readonly Verdict[], partial: boolean): number {
  say(showVerdicts(verdicts))
  return exitCodeOf(verdicts, partial)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
