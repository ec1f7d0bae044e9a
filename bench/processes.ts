import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { treePids } from './proc.ts'

const run = promisify(execFile)

const STOP_GRACE_MS = 8_000
const LAST_LINES = 3
const STACK_LINE = /^\s+at /
const LAST_WORDS_MAX = 400

/** How to start a program. */
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A started program; disposing ends it and everything it started. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number
  readonly child: ChildProcess
  /** Rejects when the program ends although nobody stopped it; never resolves. */
  readonly died: Promise<never>
}

export interface Place {
  /** Or a list of cores as taskset reads it: `0-1`. */
  readonly core: number | string
  /** Holds the program's files; stdout and stderr go to `output.log` in it. */
  readonly directory: string
}

/**
 * Starts a program pinned to one core, with as many open files as this user may have. Pinning and limit are
 * inherited by all it starts.
 */
export async function startPinned(launch: Launch, place: Place): Promise<RunningProcess> {
  const outputFile = join(place.directory, 'output.log')
  const output = await open(outputFile, 'a')
  const nofile = await openFilesMax()
  const wrapped = ['-c', String(place.core), 'prlimit', `--nofile=${nofile}:${nofile}`, launch.command]
  const child = spawn('taskset', [...wrapped, ...launch.args], {
    cwd: place.directory,
    env: { ...process.env, ...launch.env },
    stdio: ['ignore', output.fd, output.fd],
  })
  await output.close()
  const pid = child.pid
  if (pid === undefined) throw new Error(`Cannot start ${launch.command}: taskset is missing (util-linux).`)
  let stopping = false
  const died = new Promise<never>((_resolve, reject) => {
    child.once('exit', (code, signal) => {
      if (stopping) return
      lastWordsIn(outputFile).then((words) => {
        reject(new Error(`${launch.command} ended (${signal ?? code}): ${words}`))
      })
    })
  })
  died.catch(() => {})
  const stop = () => {
    stopping = true
    return stopTree(child, pid)
  }
  return { pid, child, died, [Symbol.asyncDispose]: stop }
}

/** The end of a program's output, on one line: its directory is gone when someone could look. */
async function lastWordsIn(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const lines = text
    .split('\n')
    .filter((line) => line.trim() !== '' && !STACK_LINE.test(line))
    .slice(-LAST_LINES)
  return lines.join(' / ').slice(-LAST_WORDS_MAX) || 'it said nothing'
}

/** SIGTERM to the root, which ends its children; what is left after the grace time is killed. */
async function stopTree(child: ChildProcess, root: number): Promise<void> {
  const pids = await treePids(root)
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await Promise.race([ended, delay(STOP_GRACE_MS, undefined, { ref: false })])
  }
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself, as it should.
    }
  }
}

/** The hard limit of open files of this process. */
export async function openFilesMax(): Promise<number> {
  const { stdout } = await run('prlimit', ['--nofile', '--output=HARD', '--noheadings', '--raw'])
  const hard = Number(stdout.trim())
  // "unlimited" is not a number; a million is what the kernel allows by default.
  return Number.isFinite(hard) ? hard : 1_048_576
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('The kernel gave no port.')
  return address.port
}

/** The first line that `command args` prints on stdout or stderr, or null when there is no such program. */
export async function firstLineOf(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await run(command, [...args])
    return (stdout + stderr).split('\n', 1)[0]?.trim() ?? ''
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string }
    // wrk -v prints its version and exits 1.
    return code === 'ENOENT' ? null : (`${stdout ?? ''}${stderr ?? ''}`.split('\n', 1)[0] ?? '')
  }
}
