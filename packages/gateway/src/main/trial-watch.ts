import { writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { STALL_DESCRIPTOR, type StallStack } from '../protocol/supervisor-trial.ts'
import { tellMainThreadStack } from './main-thread-stack.ts'
import { endProcessGroup } from './process-group.ts'

/**
 * A thread beside plugin code that may block the event loop for ever. It ends the process when its parent is gone, which
 * 'disconnect' then never says; and when the loop stands still it tells where, before the parent ends the process.
 */

export interface TrialWatchData {
  readonly parentPid: number
  /** How often it is asked for during a trial, and between trials. */
  readonly pollMs: number
  readonly idlePollMs: number
  /** An Int32 that the main thread counts up with each beat. */
  readonly beats: SharedArrayBuffer
}

/** From the main thread: a trial that begins, or null when it has ended. Answered once, with null: it takes them. */
export type TrialWatchOrder = {
  readonly id: number
  readonly beatMs: number
  /** Silence after which the stack is told. */
  readonly silenceMs: number
} | null

const { parentPid, pollMs, idlePollMs, beats } = workerData as TrialWatchData
const count = new Int32Array(beats)
let timer: NodeJS.Timeout | undefined

function watch(order: TrialWatchOrder): void {
  let lastCount = Atomics.load(count, 0)
  let silentSince = performance.now()
  let hasTold = false
  clearInterval(timer)
  timer = setInterval(
    () => {
      if (process.ppid !== parentPid) endProcessGroup()
      if (order === null) return
      const now = Atomics.load(count, 0)
      if (now !== lastCount) {
        lastCount = now
        silentSince = performance.now()
        hasTold = false
      } else if (!hasTold && performance.now() - silentSince >= order.silenceMs) {
        hasTold = true
        tell(order.id)
      }
    },
    order === null ? idlePollMs : Math.min(pollMs, order.beatMs),
  )
}

function tell(id: number): void {
  tellMainThreadStack((frames) => {
    const message: StallStack = { id, frames }
    try {
      writeSync(STALL_DESCRIPTOR, `${JSON.stringify(message)}\n`)
    } catch {
      // Nobody reads it: then the stall is told without its place.
    }
  })
}

watch(null)
parentPort?.on('message', (order: TrialWatchOrder) => watch(order))
parentPort?.postMessage(null)
// See trial.ts.
flushCompileCache()
