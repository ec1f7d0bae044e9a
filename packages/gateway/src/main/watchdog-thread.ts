import { writeSync } from 'node:fs'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { NOBODY } from '../base/running-mark.ts'
import { WATCHDOG_LIMITS } from '../config/watchdog-limits.ts'
import {
  type Stall,
  WATCHDOG_DESCRIPTOR,
  WATCHDOG_SYMBOL,
  WatchdogCell,
  type WatchdogData,
  type WatchdogMessage,
  type WatchdogReport,
} from '../protocol/watchdog.ts'
import { MainThreadProbe, type ProbeArgument, type ProbedFrame } from './main-thread-probe.ts'
import { mainThreadLoad, type ThreadLoad, waitedMostly } from './thread-load.ts'

/**
 * The thread that notices when a worker's event loop stands still: it looks at a counter of the main thread, and only
 * when that has not moved for the stall limit does it open the inspector, look whose code runs, and end it if it is a
 * plugin's. Where the debugger does not get in (a native call that does not return), it ends the process.
 */

const LIMITS = WATCHDOG_LIMITS
const { cells: cellBuffer, mark: markBuffer, heapBytesMax } = workerData as WatchdogData
const cells = new Int32Array(cellBuffer)
const mark = new Float64Array(markBuffer)

/** As far as one late poll may count: a process that was suspended is not one that stands still. */
const PAUSE_MS_MAX = 5 * LIMITS.pollMs

class EventLoopWatch {
  #beats = -1
  #silentMs = 0
  #lastPollAt = performance.now()
  /** What the process had when the silence was noticed; 0: there is none. */
  #rssBytes = 0

  get silentMs(): number {
    return this.#silentMs
  }

  get stallMs(): number {
    return Atomics.load(cells, WatchdogCell.stallMs)
  }

  /** Returns whether the main thread has given a sign of life since the last call. */
  poll(): boolean {
    const now = performance.now()
    const beats = Atomics.load(cells, WatchdogCell.beats)
    const isAlive = beats !== this.#beats
    this.#silentMs = isAlive ? 0 : this.#silentMs + Math.min(now - this.#lastPollAt, PAUSE_MS_MAX)
    this.#beats = beats
    this.#lastPollAt = now
    return isAlive
  }

  /** A part of what it allocates since the silence was noticed: what fills the memory must not be waited for. */
  get isGrowing(): boolean {
    if (this.#silentMs <= 2 * LIMITS.beatMs) {
      this.#rssBytes = 0
      return false
    }
    const rssBytes = process.memoryUsage.rss()
    if (this.#rssBytes === 0) this.#rssBytes = rssBytes
    return rssBytes - this.#rssBytes > heapBytesMax * LIMITS.heapShareMax
  }

  get nextPollMs(): number {
    const left = this.stallMs - this.#silentMs
    return Math.max(1, Math.min(LIMITS.pollMs, this.#silentMs === 0 ? LIMITS.pollMs : left))
  }
}

const loop = new EventLoopWatch()

async function watch(): Promise<never> {
  loop.poll()
  tell({ kind: 'watching' })
  for (;;) {
    // No timer: that would wake the event loop of this thread ten times a second, in which nothing is ever to be done.
    Atomics.wait(cells, WatchdogCell.stallMs, loop.stallMs, loop.nextPollMs)
    const isStalled = !loop.poll() && loop.silentMs >= loop.stallMs
    const isGrowing = loop.isGrowing
    if (!isStalled && !isGrowing) continue
    await withInspector((probe) => attend(probe, isGrowing))
    // What the inspector has left to do it does now.
    await turn()
  }
}

async function withInspector(look: (probe: MainThreadProbe) => Promise<void>): Promise<void> {
  Atomics.store(cells, WatchdogCell.isAttached, 1)
  try {
    using probe = new MainThreadProbe()
    await look(probe)
  } finally {
    Atomics.store(cells, WatchdogCell.isAttached, 0)
    Atomics.notify(cells, WatchdogCell.isAttached)
  }
}

/** Looks at the main thread until it goes on, or somebody is found who can be ended, or it has stood for too long. */
async function attend(probe: MainThreadProbe, isUrgent: boolean): Promise<void> {
  let isConfirmed = isUrgent
  let seen: Stall | null = null
  for (let looksInVain = 0; ; ) {
    let frames = await stopped(probe.pause(), isUrgent)
    if (frames !== null && stallOf(frames).codeHashes.length === 0) frames = await afterStep(probe)
    if (frames === null) return
    if (loop.poll()) {
      probe.resume()
      if (seen !== null) tell({ kind: 'passed', stall: seen })
      return
    }
    const stall = stallOf(frames)
    if (isConfirmed && stall.codeHashes.length > 0) return await endPlugin(probe, stall, frames)
    probe.resume()
    if (seen === null || stall.codeHashes.length > 0) seen = stall
    if (stall.codeHashes.length === 0) looksInVain++
    if (looksInVain === LIMITS.looksMax) report({ kind: 'standing', stall })
    if (loop.silentMs > LIMITS.hopelessMs) kill('it stands still in code of the gateway itself')
    if (!isConfirmed) await letRun()
    else await sleep(looksInVain < LIMITS.looksMax ? LIMITS.lookAgainMs : LIMITS.pollMs)
    isConfirmed = true
  }
}

/** Where the main thread stands a step further: where it stood between two microtasks, that is in the next one. */
async function afterStep(probe: MainThreadProbe): Promise<readonly ProbedFrame[] | null> {
  const frames = await Promise.race([probe.step(), sleep(LIMITS.lookAgainMs, null)])
  // Some loops have no place for a step to end at.
  return frames ?? stopped(probe.pause(), false)
}

/** Gives the main thread the time to go on; more of it on a machine that is short of cores. */
async function letRun(): Promise<void> {
  const before = process.cpuUsage()
  for (let rounds = 1; rounds <= LIMITS.starvedFactor; rounds++) {
    await sleep(LIMITS.confirmMs)
    const cpuMs = cpuMsSince(before)
    if (cpuMs >= LIMITS.confirmCpuMs || cpuMs < rounds * LIMITS.asleepCpuMs) return
  }
}

/**
 * Where the main thread stands; null when it went on before it was stopped. Ends the process when it cannot be stopped: one
 * that `isGrowing` may collect garbage for long before it can.
 */
async function stopped(
  paused: Promise<readonly ProbedFrame[]>,
  isGrowing: boolean,
): Promise<readonly ProbedFrame[] | null> {
  const since = { at: performance.now(), cpu: process.cpuUsage(), load: mainThreadLoad() }
  for (let waits = 1; ; waits++) {
    const frames = await Promise.race([paused, sleep(LIMITS.lookAgainMs, null)])
    if (frames !== null) return frames
    if (loop.poll()) return null
    const waitsMax = isGrowing || mark[0] === NOBODY ? LIMITS.unknownLooksMax : LIMITS.looksMax
    if (waits < waitsMax || (isStarved(since) && waits < waitsMax * LIMITS.starvedFactor)) continue
    kill('its main thread is in a native call that does not return')
  }
}

interface Since {
  readonly at: number
  readonly cpu: NodeJS.CpuUsage
  readonly load: ThreadLoad | null
}

/**
 * The process has had a part of a core since then: neither enough to collect garbage between two places where it could be
 * stopped, nor so little that it sleeps. One that had next to none may have waited for it, where the kernel tells that.
 */
function isStarved({ at, cpu, load }: Since): boolean {
  if (waitedMostly(load, mainThreadLoad(), performance.now() - at)) return true
  const cpuMs = cpuMsSince(cpu)
  return cpuMs > LIMITS.sleepingCpuMs && cpuMs < LIMITS.stuckCpuMs
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

async function endPlugin(
  probe: MainThreadProbe,
  stall: Stall,
  frames: readonly ProbedFrame[],
): Promise<void> {
  try {
    await probe.call(`globalThis[Symbol.for(${JSON.stringify(WATCHDOG_SYMBOL)})]`, [
      { value: stall },
      ...stackOf(frames),
    ])
  } catch (thrown) {
    kill(`what a plugin broke cannot be mended: ${thrown instanceof Error ? thrown.message : thrown}`)
  }
  await probe.endRunning()
  tell({ kind: 'ended' })
  for (let waits = 1; !loop.poll(); waits++) {
    if (waits === LIMITS.looksMax) kill('ending the plugin did not help')
    await sleep(LIMITS.lookAgainMs)
  }
}

const PLUGIN_SCRIPT = /#([0-9a-f]{12})$/

function codeHashOf({ path }: ProbedFrame): string | null {
  return PLUGIN_SCRIPT.exec(path)?.[1] ?? null
}

function stallOf(frames: readonly ProbedFrame[]): Stall {
  const codeHashes = new Set(frames.map(codeHashOf).filter((hash) => hash !== null))
  const shown = frames.slice(0, LIMITS.framesMax)
  return {
    stalledMs: Math.round(loop.silentMs),
    frames: shown.map(({ functionName, path, line, column }) => ({ functionName, path, line, column })),
    codeHashes: [...codeHashes],
  }
}

/** Calls in a row of plugins are one; those of Node and of V8 have no receiver that anybody asks for. */
function stackOf(frames: readonly ProbedFrame[]): ProbeArgument[] {
  const stack: ProbeArgument[] = []
  let isInPlugin = false
  for (const frame of frames) {
    const wasInPlugin = isInPlugin
    isInPlugin = codeHashOf(frame) !== null
    if (isInPlugin && wasInPlugin) continue
    if (stack.length === LIMITS.receiversMax) break
    const isOurs = frame.path !== '' && !frame.path.startsWith('node:')
    if (isInPlugin) stack.push({ value: 'plugin' })
    else if (isOurs && frame.receiver !== null) stack.push({ objectId: frame.receiver })
    else stack.push({ value: null })
  }
  return stack
}

function tell(message: WatchdogMessage): void {
  parentPort?.postMessage(message)
}

/** To the master; to stderr when nobody listens there. */
function report(message: WatchdogReport): void {
  const line = `${JSON.stringify(message)}\n`
  try {
    writeSync(WATCHDOG_DESCRIPTOR, line)
  } catch {
    try {
      writeSync(process.stderr.fd, line)
    } catch {
      // Nobody reads that either; what is to follow must not hang on it.
    }
  }
}

function kill(reason: string): never {
  report({ kind: 'killed', stalledMs: Math.round(loop.silentMs), mark: mark[0] ?? NOBODY, reason })
  process.kill(process.pid, 'SIGKILL')
  throw new Error(reason)
}

// An answer of the inspector that is waited for does not keep a thread alive.
parentPort?.ref()
void watch()
