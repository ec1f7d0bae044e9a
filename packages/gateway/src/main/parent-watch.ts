import { workerData } from 'node:worker_threads'
import { endProcessGroup } from './process-group.ts'

/**
 * A thread beside plugin code that may block the event loop for ever: it ends the process when its parent is gone, which
 * 'disconnect' then never says.
 */

const { parentPid, pollMs } = workerData as { readonly parentPid: number; readonly pollMs: number }

setInterval(() => {
  if (process.ppid !== parentPid) endProcessGroup()
}, pollMs)
