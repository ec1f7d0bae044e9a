/** A timer that is due comes in the turn after one that took long, so this is seldom waited for. */
const LOST_AFTER_MS = 100

/**
 * Resolves in the next turn of the event loop. A plugin that blocks in a `setImmediate` of its own and is ended takes all
 * that wait behind it in the same turn with it: Node forgets them. A timer comes instead then.
 */
export function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const lost = setTimeout(resolve, LOST_AFTER_MS)
  setImmediate(() => {
    clearTimeout(lost)
    resolve()
  })
  return promise
}
