import { readdir, readFile } from 'node:fs/promises'

/** What /proc says about processes: CPU time, resident memory, who started whom. Linux only. */

/** The kernel's unit in /proc/PID/stat (USER_HZ); 100 on every Linux that Node runs on. */
const NANOSECONDS_PER_TICK = 1e9 / 100

export interface ProcessUsage {
  readonly pid: number
  /** Nanoseconds on a core per thread, from schedstat. */
  readonly threads: ReadonlyMap<number, number>
  /** CPU time of the whole process, ended threads included, to one tick (10 ms). */
  readonly tickNanoseconds: number
  readonly residentBytes: number
  readonly residentPeakBytes: number
}

/** CPU time of a process. */
interface StatTicks {
  readonly cpuTicks: number
  /** Of those it has started, and they have ended, and theirs. */
  readonly endedTicks: number
}

export type TreeUsage = ReadonlyMap<number, ProcessUsage>

/** Reads /proc/PID/stat. The command name stands in parentheses and may itself hold any of them, and spaces. */
export function parseStat(text: string): StatTicks & { readonly parent: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    parent: Number(fields[1]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    endedTicks: Number(fields[13]) + Number(fields[14]),
  }
}

/** Nanoseconds on a core, the first number of /proc/PID/task/TID/schedstat. */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ', 1)[0])
}

/** Resident memory and its peak in bytes, from /proc/PID/status. Both 0 for a process that is ending. */
export function parseStatus(text: string): { residentBytes: number; residentPeakBytes: number } {
  const kibibytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  return { residentBytes: kibibytes('VmRSS') * 1024, residentPeakBytes: kibibytes('VmHWM') * 1024 }
}

/** Nanoseconds that a core was not idle, time stolen by the hypervisor included, from /proc/stat. */
export function parseCoreBusy(text: string, core: number): number {
  const fields = new RegExp(`^cpu${core} (.*)$`, 'm').exec(text)?.[1]?.split(' ').map(Number)
  if (fields === undefined) throw new Error(`There is no core ${core}.`)
  const [user = 0, nice = 0, system = 0, _idle, _iowait, interrupt = 0, softInterrupt = 0, stolen = 0] =
    fields
  return (user + nice + system + interrupt + softInterrupt + stolen) * NANOSECONDS_PER_TICK
}

export async function readCoreBusy(core: number): Promise<number> {
  return parseCoreBusy(await readFile('/proc/stat', 'utf8'), core)
}

/** `root` and everything below it, given who started whom. */
export function descendants(root: number, parents: ReadonlyMap<number, number>): number[] {
  const found = [root]
  for (let at = 0; at < found.length; at++) {
    for (const [pid, parent] of parents) if (parent === found[at]) found.push(pid)
  }
  return found
}

/**
 * CPU nanoseconds that a process tree used between two readings. Processes and threads that are new count whole.
 * When a thread ended in between, its share is gone from schedstat: then that process is counted in ticks.
 * Throws if a process ended, for its share is nowhere to be found.
 */
export function cpuNanosecondsBetween(before: TreeUsage, after: TreeUsage): number {
  for (const pid of before.keys()) {
    if (!after.has(pid)) throw new Error(`Process ${pid} of the proxy ended during the measurement.`)
  }
  let total = 0
  for (const usage of after.values()) total += processNanoseconds(before.get(usage.pid), usage)
  return total
}

function processNanoseconds(before: ProcessUsage | undefined, after: ProcessUsage): number {
  if (before === undefined) return sum(after.threads.values())
  const whole = [...before.threads.keys()].every((tid) => after.threads.has(tid))
  const precise = sum(after.threads.values()) - sum(before.threads.values())
  // Kernels without CONFIG_SCHED_INFO leave schedstat at zero.
  return whole && precise > 0 ? precise : after.tickNanoseconds - before.tickNanoseconds
}

/** The process that used most CPU between two readings: the worker that served the load. */
export function busiestBetween(before: TreeUsage, after: TreeUsage): ProcessUsage {
  let busiest: ProcessUsage | undefined
  let most = -1
  for (const usage of after.values()) {
    const used = processNanoseconds(before.get(usage.pid), usage)
    if (used > most) [most, busiest] = [used, usage]
  }
  if (busiest === undefined) throw new Error('The proxy has no process left.')
  return busiest
}

export function residentBytes(tree: TreeUsage): number {
  return sum([...tree.values()].map((usage) => usage.residentBytes))
}

/** Reads the usage of `root` and its descendants. Processes that end while being read are left out. */
export async function readTree(root: number): Promise<TreeUsage> {
  return readUsages(await treePids(root))
}

/** As `readTree()`, of processes that are known: a reading that is cheap. */
export async function readUsages(pids: readonly number[]): Promise<TreeUsage> {
  const usages = await Promise.all(pids.map(readProcess))
  return new Map(usages.filter((usage) => usage !== null).map((usage) => [usage.pid, usage]))
}

/** CPU nanoseconds of `root` and its descendants so far, those that have ended included, to one tick (10 ms). */
export async function readTreeCpu(root: number): Promise<number> {
  const ticks = (await treePids(root)).map(async (pid) => {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
    if (text === null) return 0
    const { cpuTicks, endedTicks } = parseStat(text)
    return cpuTicks + endedTicks
  })
  return sum(await Promise.all(ticks)) * NANOSECONDS_PER_TICK
}

/** `root` and its descendants as they are now. */
export async function treePids(root: number): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => null)
    if (text !== null) parents.set(Number(name), parseStat(text).parent)
  }
  return descendants(root, parents)
}

/** Null when there is no such process any more. */
export async function readProcess(pid: number): Promise<ProcessUsage | null> {
  try {
    const threads = new Map<number, number>()
    for (const tid of await readdir(`/proc/${pid}/task`)) {
      const text = await readFile(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').catch(() => null)
      if (text !== null) threads.set(Number(tid), parseSchedstat(text))
    }
    const stat = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'))
    const status = parseStatus(await readFile(`/proc/${pid}/status`, 'utf8'))
    return { pid, threads, tickNanoseconds: stat.cpuTicks * NANOSECONDS_PER_TICK, ...status }
  } catch {
    return null
  }
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
