import { setTimeout as delay } from 'node:timers/promises'

const POLL_INTERVAL_MS = 10

/**
 * Resolves with the first truthy value of `condition`, asked again and again; a throw counts as "not yet".
 *
 * @param what completes the sentence "Waited for …" when the deadline passes.
 * @throws Error that names `what` and carries the condition's last error as its cause.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string,
  deadlineMs = 10_000,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const end = performance.now() + deadlineMs
  let lastError: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    if (performance.now() >= end)
      throw new Error(waitedInVain(what, deadlineMs, lastError), { cause: lastError })
    await delay(POLL_INTERVAL_MS)
  }
}

function waitedInVain(what: string, deadlineMs: number, lastError: unknown): string {
  const reason = lastError instanceof Error ? `: ${lastError.message}` : ''
  return `Waited ${deadlineMs} ms for ${what}${reason}`
}
