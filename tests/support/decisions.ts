import { readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { signalProcesses } from './processes.ts'
import type { TempDir } from './temp-dir.ts'

/** The newest generation that is decided in a gateway's folder; 0 for none. */
export function decidedIn(dir: TempDir): number {
  const numbers = readdirSync(generationsIn(dir)).map((name) =>
    Number(/^(\d+)\.record$/.exec(name)?.[1] ?? 0),
  )
  return Math.max(0, ...numbers)
}

/**
 * Stops a process in the moment in which the next generation is decided there: nothing that follows from the decision has
 * happened yet, or hardly anything. Resolves then.
 */
export function stopAtDecision(dir: TempDir, pid: number): Promise<void> {
  const name = `${decidedIn(dir) + 1}.record`
  return new Promise((resolve) => {
    const watcher = watch(generationsIn(dir), (_, file) => {
      if (file !== name) return
      signalProcesses([pid], 'SIGSTOP')
      watcher.close()
      resolve()
    })
  })
}

function generationsIn({ path }: TempDir): string {
  return join(path, '.cardea/generations')
}
