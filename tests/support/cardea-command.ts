import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { ExitStatus } from './gateway.ts'
import { killProcessesWithEnvironment } from './processes.ts'
import { LAUNCHER, programArguments, programEnvironment } from './program.ts'
import { waitFor } from './wait-for.ts'

const MARKER = 'CARDEA_TEST_COMMAND'

export interface CommandOptions {
  /** The working directory. */
  readonly cwd: string
  /** A Node that runs the launcher. */
  readonly node?: string
  /** The launcher's path. With neither it is passed over: what it would start is started, by the Node of the tests. */
  readonly bin?: string
  readonly env?: Readonly<Record<string, string>>
  /** Descriptors to write to instead: what is written there is not in the result. */
  readonly stdout?: number
  readonly stderr?: number
}

/** A `cardea` command that runs, or has run. */
export interface CardeaCommand {
  readonly pid: number
  readonly stdout: string
  readonly stderr: string
  /** Resolves when the process has ended and its output is complete. */
  readonly exited: Promise<ExitStatus>
  signal(signal: NodeJS.Signals): void
  /** Resolves with the port of the start output's first line. Throws when the command ends before. */
  readyPort(): Promise<number>
}

/** Runs `cardea` with these arguments, whatever they are. All its processes are killed when the test ends. */
export function startCommand(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  options: CommandOptions,
): CardeaCommand {
  const marker = randomUUID()
  const output = { stdout: '', stderr: '' }
  const { node = process.execPath } = options
  const child = spawn(node, [...programOf(args, options), ...args], {
    cwd: options.cwd,
    env: { ...programEnvironment(), ...options.env, [MARKER]: marker },
    stdio: ['ignore', options.stdout ?? 'pipe', options.stderr ?? 'pipe'],
  })
  t.after(() => killProcessesWithEnvironment(MARKER, marker))
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  let ended: ExitStatus | null = null
  const exited = once(child, 'close').then(([code, signal]) => {
    ended = { code, signal }
    return ended
  })
  return {
    pid: child.pid ?? 0,
    exited,
    get stdout() {
      return output.stdout
    },
    get stderr() {
      return output.stderr
    },
    signal: (signal) => void child.kill(signal),
    async readyPort() {
      const ready = await waitFor(
        () => ended ?? /^Cardea is listening on http:\/\/\S+:(\d+)$/m.exec(output.stdout),
        'the start output',
      )
      if (Array.isArray(ready)) return Number(ready[1])
      throw new Error(`The command ended instead: ${JSON.stringify(ready)}\n${output.stderr}`)
    },
  }
}

function programOf([first, second]: readonly string[], { node, bin }: CommandOptions): readonly string[] {
  if (bin !== undefined) return [bin]
  // Plugins' tests are run by the launcher itself.
  const isTest = first === 'plugin' && second === 'test'
  return node !== undefined || isTest ? [LAUNCHER] : programArguments()
}

export interface CommandResult extends ExitStatus {
  readonly stdout: string
  readonly stderr: string
}

/** Runs `cardea` to its end. */
export async function runCommand(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const command = startCommand(t, args, options)
  const status = await command.exited
  return { ...status, stdout: command.stdout, stderr: command.stderr }
}
