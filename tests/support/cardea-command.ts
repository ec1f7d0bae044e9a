import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { ExitStatus } from './gateway.ts'
import { killProcessesWithEnvironment } from './processes.ts'
import { waitFor } from './wait-for.ts'

/** The launcher, as the package installs it. */
export const CARDEA = join(import.meta.dirname, '../../packages/gateway/bin/cardea.js')
const MARKER = 'CARDEA_TEST_COMMAND'

export interface CommandOptions {
  /** The working directory. */
  readonly cwd: string
  /** The Node that runs the launcher; default the one that runs the tests. */
  readonly node?: string
  /** The launcher's path; default `CARDEA`. */
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
  const child = spawn(options.node ?? process.execPath, [options.bin ?? CARDEA, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...options.env, [MARKER]: marker },
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
