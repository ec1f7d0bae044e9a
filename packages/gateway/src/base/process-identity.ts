import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { systemErrorCode } from './system-error.ts'

/** Tells a process from a later one with its number. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it was started, in a form of the system's own; null where that cannot be known. */
  readonly started: string | null
}

/** What the system says of the process that has a number. */
interface Sight {
  readonly started: string | null
  /** It has ended, and keeps its number until its parent takes note of that: in a container maybe for ever. */
  readonly isZombie: boolean
}

const UNKNOWN: Sight = { started: null, isZombie: false }

export function identityOf(pid: number): ProcessIdentity {
  return { pid, started: look(pid).started }
}

/**
 * Whether exactly this process still runs, and has not merely not been reaped. Where nothing but its number can be known, a
 * process of that number will do.
 */
export function isRunning({ pid, started }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is there, and belongs to somebody else.
    if (systemErrorCode(error) !== 'EPERM') return false
  }
  const now = look(pid)
  if (now.isZombie) return false
  return now.started === null || started === null || now.started === started
}

function look(pid: number): Sight {
  if (process.platform === 'win32') return UNKNOWN
  try {
    return process.platform === 'linux' ? lookOnLinux(pid) : lookByPs(pid)
  } catch {
    return UNKNOWN
  }
}

/** proc_pid_stat(5): field 3, and field 22, in ticks since boot, thus with the boot's own id. */
function lookOnLinux(pid: number): Sight {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  // The name, field 2, stands in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields[19]
  return { started: ticks === undefined ? null : `${boot} ${ticks}`, isZombie: fields[0] === 'Z' }
}

function lookByPs(pid: number): Sight {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
  const columns = ['-o', 'state=', '-o', 'lstart=', '-p', String(pid)]
  const [state = '', ...started] = execFileSync('ps', columns, { env, encoding: 'utf8' }).trim().split(/\s+/)
  return { started: started.join(' ') || null, isZombie: state.startsWith('Z') }
}
