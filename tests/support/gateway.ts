import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import {
  descendantsOf,
  killProcessesWithEnvironment,
  type ProcessInfo,
  signalProcesses,
} from './processes.ts'
import { programArguments, programEnvironment } from './program.ts'
import { type FileContents, type TempDir, withTempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

const MARKER = 'CARDEA_TEST_GATEWAY'

export interface GatewayOptions {
  /**
   * YAML text, or an object that is written as JSON. An object without `listen` gets a free port of 127.0.0.1; YAML
   * text should ask for port 0 itself.
   */
  readonly config: string | Readonly<Record<string, unknown>>
  /** Plugin folders: `{ hello: { 'plugin.json': {…}, 'plugin.ts': '…' } }`. */
  readonly plugins?: Readonly<Record<string, Readonly<Record<string, FileContents>>>>
  /** Further arguments of `cardea serve`. */
  readonly args?: readonly string[]
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  /** From the start to the ready line. Default as for `waitFor`. */
  readonly readyDeadlineMs?: number
  /** The program to start, of one file; only the tests of this helper have another one. */
  readonly program?: string
}

export interface ExitStatus {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** What `startGateway` needs of a test's context: a program can bring its own. */
export interface TestScope {
  after(run: () => unknown): void
  diagnostic(text: string): void
  readonly passed: boolean
}

/** A running gateway: the real program in real processes. */
export interface TestGateway {
  /** Of the first listener, as the ready line says it: `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  /** The folder with cardea.yaml, plugins/ and .cardea/; the gateway's working directory. */
  readonly dir: TempDir
  /** The process that was started. */
  readonly pid: number
  /** Everything written so far. */
  readonly stdout: string
  readonly stderr: string
  /** The processes below `pid` that live now. */
  processes(): ProcessInfo[]
  /** Their ids; with an argument, those whose command or title contains it. */
  pids(commandPart?: string): number[]
  /** SIGTERM, then the exit status. May be called again. */
  stop(): Promise<ExitStatus>
  /** Resolves when the started process has ended, however. */
  readonly exited: Promise<ExitStatus>
}

/**
 * Starts `cardea serve` on a config in a new folder, and waits for its ready line. When the test ends, every process of
 * it is gone and the folder removed; what it wrote to stderr is shown if the test failed.
 *
 * @throws Error with its output when it ends, or says nothing, before it is ready.
 */
export async function startGateway(t: TestScope, options: GatewayOptions): Promise<TestGateway> {
  const dir = await withTempDir()
  return startGatewayIn(t, dir, options, () => writeFiles(dir, options))
}

/** The same in the folder of a gateway that has ended, with what stands there. */
export async function startGatewayIn(
  t: TestScope,
  dir: TempDir,
  options: Omit<GatewayOptions, 'config' | 'plugins'> = {},
  prepare: () => Promise<void> = async () => {},
): Promise<TestGateway> {
  const marker = randomUUID()
  const output = { stdout: '', stderr: '' }
  t.after(async () => {
    await killProcessesWithEnvironment(MARKER, marker)
    await dir[Symbol.asyncDispose]()
    if (!t.passed && output.stderr !== '') t.diagnostic(`stderr of the gateway:\n${output.stderr}`)
  })
  await prepare()
  const child = startProgram(dir, options, marker)
  const exited = watch(child, output)
  const url = await readyUrl(exited, output, options.readyDeadlineMs)
  const pid = child.pid ?? 0
  const processes = (): ProcessInfo[] => descendantsOf(pid)
  return {
    url,
    port: Number(new URL(url).port),
    dir,
    pid,
    exited,
    processes,
    get stdout() {
      return output.stdout
    },
    get stderr() {
      return output.stderr
    },
    pids: (part = '') => processes().flatMap((found) => (found.command.includes(part) ? [found.pid] : [])),
    stop() {
      if (child.exitCode === null && child.signalCode === null) signalProcesses([pid], 'SIGTERM')
      return exited
    },
  }
}

async function writeFiles(dir: TempDir, { config, plugins = {} }: GatewayOptions): Promise<void> {
  const withListener =
    typeof config === 'string' ? config : { listen: [{ host: '127.0.0.1', port: 0 }], ...config }
  await dir.write({ 'cardea.yaml': withListener })
  for (const [name, files] of Object.entries(plugins)) {
    const inFolder = Object.entries(files).map(([file, contents]) => [`plugins/${name}/${file}`, contents])
    await dir.write(Object.fromEntries(inFolder))
  }
}

function startProgram(
  dir: TempDir,
  options: Omit<GatewayOptions, 'config' | 'plugins'>,
  marker: string,
): ChildProcess {
  const program = options.program === undefined ? programArguments() : [options.program]
  const config = join(dir.path, 'cardea.yaml')
  return spawn(process.execPath, [...program, 'serve', '--config', config, ...(options.args ?? [])], {
    cwd: dir.path,
    env: { ...programEnvironment(), ...options.env, [MARKER]: marker },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function watch(child: ChildProcess, output: { stdout: string; stderr: string }): Promise<ExitStatus> {
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}

async function readyUrl(
  exited: Promise<ExitStatus>,
  output: { readonly stdout: string; readonly stderr: string },
  deadlineMs: number | undefined,
): Promise<string> {
  let ended: ExitStatus | null = null
  exited.then((status) => {
    ended = status
  })
  const written = (): string => `stdout:\n${output.stdout}\nstderr:\n${output.stderr}`
  try {
    const ready = await waitFor(
      () => ended ?? /^Cardea is listening on (http:\/\/\S+:\d+)/m.exec(output.stdout),
      'the ready line of the gateway',
      deadlineMs,
    )
    if (Array.isArray(ready)) return ready[1] ?? ''
  } catch (cause) {
    throw new Error(`The gateway is not ready in time. ${written()}`, { cause })
  }
  throw new Error(`The gateway ended before it was ready: ${JSON.stringify(ended)}. ${written()}`)
}
