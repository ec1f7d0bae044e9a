import { readdirSync, readFileSync } from 'node:fs'
import { waitFor } from './wait-for.ts'

/** Processes as Linux shows them in /proc; the process tests run on Linux only. */
export interface ProcessInfo {
  readonly pid: number
  readonly parentPid: number
  /** The arguments joined by blanks, or the title that the process gave itself. */
  readonly command: string
}

/**
 * The processes below `rootPid`, itself not included, nearest first. Zombies have ended, and do not count. It is asked
 * again and again, so it reads what it has to and no more: a machine has hundreds of processes.
 */
export function descendantsOf(rootPid: number): ProcessInfo[] {
  const found: ProcessInfo[] = []
  for (let parents = [rootPid]; parents.length > 0; ) {
    const children = parents.flatMap(childrenOf).map(readProcess)
    const next = children.filter((child) => child !== null)
    found.push(...next)
    parents = next.map(({ pid }) => pid)
  }
  return found
}

/**
 * The processes that were started with `variable=value` in their environment, however deep and whether or not their
 * parent still lives. That is how a test finds what it left behind.
 */
export function processesWithEnvironment(variable: string, value: string): ProcessInfo[] {
  const entry = `${variable}=${value}`
  return listPids()
    .filter((pid) => readProcFile(pid, 'environ')?.split('\0').includes(entry))
    .map(readProcess)
    .filter((found) => found !== null)
}

/** Kills what was started with `variable=value`, and what that starts meanwhile; resolves with all that it killed. */
export async function killProcessesWithEnvironment(variable: string, value: string): Promise<ProcessInfo[]> {
  const killed: ProcessInfo[] = []
  for (;;) {
    const left = processesWithEnvironment(variable, value).filter(({ pid }) => pid !== process.pid)
    if (left.length === 0) return killed
    killed.push(...left)
    await killProcesses(left.map(({ pid }) => pid))
  }
}

export function isAlive(pid: number): boolean {
  return readProcess(pid) !== null
}

/** Whether SIGSTOP has it. */
export function isStopped(pid: number): boolean {
  return statOf(pid)?.[0] === 'T'
}

/** Sends the signal to each process; those that have ended meanwhile are passed over. */
export function signalProcesses(pids: Iterable<number>, signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

/** Kills each process and resolves when the last has ended. */
export async function killProcesses(pids: readonly number[]): Promise<void> {
  signalProcesses(pids, 'SIGKILL')
  await haveEnded(pids)
}

/**
 * What was below the process that has just ended, as it was shown before. Those that it had started itself must be gone by
 * now: throws Error if one is not. What those had started (esbuild, the trial) ends because it sees that, a moment later.
 */
export async function haveEndedWith(parentPid: number, processes: readonly ProcessInfo[]): Promise<void> {
  const left = processes.filter((found) => found.parentPid === parentPid && isAlive(found.pid))
  if (left.length > 0) throw new Error(`Process ${parentPid} did not wait for ${JSON.stringify(left)}`)
  await haveEnded(processes.map(({ pid }) => pid))
}

/** Resolves when all of them are gone. */
export async function haveEnded(pids: readonly number[]): Promise<void> {
  await waitFor(() => !pids.some(isAlive), `the processes ${pids.join(', ')} to end`)
}

function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** What the main thread started; Node starts processes nowhere else. */
function childrenOf(pid: number): number[] {
  return (readProcFile(pid, `task/${pid}/children`) ?? '').trim().split(' ').filter(Boolean).map(Number)
}

/** Of those that follow the name: proc(5), num_threads. */
const THREADS_FIELD = 17

function readProcess(pid: number): ProcessInfo | null {
  const fields = statOf(pid)
  if (fields === null) return null
  const [state, parentPid] = fields
  // A killed process is a zombie as soon as its main thread is; what it had open goes with the last of the others.
  if (state === 'X' || (state === 'Z' && Number(fields[THREADS_FIELD]) <= 1)) return null
  const command = (readProcFile(pid, 'cmdline') ?? '').replaceAll('\0', ' ').trim()
  return { pid, parentPid: Number(parentPid), command }
}

/** What /proc has of it from its state on. */
function statOf(pid: number): string[] | null {
  const stat = readProcFile(pid, 'stat')
  // The second field is the name in parentheses and may hold anything; the rest starts after the last one.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? null
}

/** Null when the process ended meanwhile, or belongs to someone else. */
function readProcFile(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return null
  }
}
