/** What plugin code returned, if that is to be awaited, or null. Throws what a `then` that is no method throws. */
export function promiseOf(value: unknown): Promise<unknown> | null {
  if (typeof value !== 'object' || value === null) return null
  const isPlain = Object.getPrototypeOf(value) === Promise.prototype && !Object.hasOwn(value, 'then')
  if (isPlain) return value as Promise<unknown>
  // Another's `then` may throw, or call back at once; behind a promise of ours it does neither.
  if (typeof (value as { then?: unknown }).then !== 'function') return null
  return new Promise((resolve) => resolve(value))
}
