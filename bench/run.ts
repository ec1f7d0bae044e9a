import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exitCodeOf, judgeRatios, showVerdicts } from './bars.ts'
import { compare } from './compare.ts'
import { type Options, parseOptions, USAGE } from './options.ts'
import { PEERS } from './peers/all.ts'
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
  await requirePrograms()
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort())
  return runComparison(options, interrupt.signal)
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
  const directory = options.out ?? RESULTS_DIRECTORY
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(directory, 'results.md'), text)
  await writeFile(join(directory, 'chart.svg'), chart(results))
  say(`\n${text}\nWritten to ${directory}: results.json, results.md, chart.svg`)
  if (!options.check) return 0
  const verdicts = judgeRatios(results.rows)
  say(`\n${showVerdicts(verdicts)}`)
  return exitCodeOf(verdicts, options.partial)
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
