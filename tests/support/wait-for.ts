import { setTimeout as delay } from 'node:timers/promises'

/**
 * What comes soon is found soon, and long waits leave the machine to what they wait for: the pause grows with the wait,
 * which gets longer by a tenth of itself at most.
 */
const POLL_SHARE = 0.1
const POLL_INTERVAL_MS_MIN = 5
const POLL_INTERVAL_MS_MAX = 50

/** Bites only when the condition never comes, so slow and busy machines have all the time they need. */
const DEADLINE_MS = 60_000

/**
 * Resolves with the first truthy value of `condition`, asked again and again; a throw counts as "not yet".
 *
 * @param what completes the sentence "Waited for …" when the deadline passes.
 * @throws Error that names `what` and carries the condition's last error as its cause.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const startedAt = performance.now()
  let lastError: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    const waitedMs = performance.now() - startedAt
    if (waitedMs >= deadlineMs)
      throw new Error(waitedInVain(what, deadlineMs, lastError), { cause: lastError })
    await delay(Math.min(Math.max(waitedMs * POLL_SHARE, POLL_INTERVAL_MS_MIN), POLL_INTERVAL_MS_MAX))
  }
}

function waitedInVain(what: string, deadlineMs: number, lastError: unknown): string {
  const reason = lastError instanceof Error ? `: ${lastError.message}` : ''
  return `Waited ${deadlineMs} ms for ${what}${reason}`
}
