import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { systemErrorCode } from '../../base/system-error.ts'

/** Tells a process from a later one with its number. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it was started, in a form of the system's own; null where that cannot be known. */
  readonly started: string | null
}

export async function identityOf(pid: number): Promise<ProcessIdentity> {
  return { pid, started: await startOf(pid) }
}

/** Whether exactly this process still runs. Where nothing but its number can be known, a process of that number will do. */
export async function isRunning({ pid, started }: ProcessIdentity): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is there, and belongs to somebody else.
    if (systemErrorCode(error) !== 'EPERM') return false
  }
  const now = await startOf(pid)
  return now === null || started === null || now === started
}

async function startOf(pid: number): Promise<string | null> {
  if (process.platform === 'win32') return null
  try {
    return process.platform === 'linux' ? await startOnLinux(pid) : await startByPs(pid)
  } catch {
    return null
  }
}

/** proc_pid_stat(5): field 22, in ticks since boot, thus with the boot's own id. The name, field 2, may hold anything. */
async function startOnLinux(pid: number): Promise<string> {
  const [stat, boot] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
  ])
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return `${boot.trim()} ${fields[19]}`
}

async function startByPs(pid: number): Promise<string | null> {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { env })
  return stdout.trim() || null
}
