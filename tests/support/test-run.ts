import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { killProcessesWithEnvironment } from './processes.ts'
import { findProgram, missingProgram, programsNeeded } from './programs.ts'

const FOLDERS = ['packages', 'plugins', 'examples', 'bench', 'deploy', 'tests']
const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'fixtures'])
const MARKER = 'CARDEA_TEST_RUN'

/** One test, on a slow machine; what is waited for has deadlines of its own. */
const TEST_TIMEOUT_MS = 400_000

/** Test files that run at one time. Those of whole gateways are six processes each, which want a core now and then. */
const FILES_PER_CORE = 1.5

/**
 * As the gateway's own processes (see packages/gateway/bin/cardea.js). Their `--no-compilation-cache` is set by the few
 * files that measure what is collected: with it Node compiles its own modules anew in each process, where it otherwise
 * brings them compiled; *measured*, 54 ms of CPU for a small file and 160 for one with a data plane.
 */
const FLAGS = ['--disable-sigusr1']

/**
 * The test files below `root`, sorted, as paths relative to it. With filters only those whose path contains one of
 * them.
 */
export function findTestFiles(root: string, filters: readonly string[] = []): string[] {
  const found = FOLDERS.flatMap((folder) =>
    globSync('**/*.test.ts', {
      cwd: join(root, folder),
      exclude: (name) => SKIPPED_FOLDERS.has(name.split('/').at(-1) ?? ''),
    }).map((file) => join(folder, file)),
  ).sort()
  return filters.length === 0 ? found : found.filter((file) => filters.some((part) => file.includes(part)))
}

/** One line for each program that the test files declare and this machine lacks. */
export function missingPrograms(
  root: string,
  files: readonly string[],
  find: typeof findProgram = findProgram,
): string[] {
  const needed = new Set(files.flatMap((file) => programsNeeded(readFileSync(join(root, file), 'utf8'))))
  return [...needed].filter((program) => find(program) === null).map(missingProgram)
}

/**
 * Runs the test files with node:test, whose report goes to our stdout, and resolves with the exit code. What the tests
 * left running is killed, named, and makes a failure of a success.
 */
export async function runTests(root: string, files: readonly string[]): Promise<number> {
  const marker = randomUUID()
  const child = spawn(process.execPath, [...testRunnerFlags(), ...files], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    // A run inside a test of this very file is a run of its own.
    env: {
      // Test files lose their types once, as the gateway's do (packages/gateway/bin/cardea.js).
      NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'cardea'),
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      [MARKER]: marker,
    },
  })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', forward).on('SIGTERM', forward)
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    const left = await killProcessesWithEnvironment(MARKER, marker)
    for (const { pid, command } of left) process.stderr.write(`Left running and killed: ${pid} ${command}\n`)
    return left.length > 0 ? 1 : (code ?? 1)
  } finally {
    process.off('SIGINT', forward).off('SIGTERM', forward)
  }
}

function testRunnerFlags(): string[] {
  const preload = pathToFileURL(join(import.meta.dirname, 'open-handles.ts')).href
  return [
    ...FLAGS,
    `--import=${preload}`,
    '--test',
    '--test-reporter=spec',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    // Files wait for processes about half of their time; Node's default, one less than the cores, would have them idle.
    `--test-concurrency=${Math.ceil(availableParallelism() * FILES_PER_CORE)}`,
  ]
}

/** The sentence that ends a run that would test nothing, or null. */
export function nothingToRun(root: string, filters: readonly string[]): string | null {
  if (findTestFiles(root, filters).length > 0) return null
  const asked = filters.map((part) => JSON.stringify(part)).join(' or ')
  return filters.length === 0
    ? `No test file below ${relative('', root) || '.'}.`
    : `No test file has ${asked} in its path; \`npm test\` alone runs all.`
}
