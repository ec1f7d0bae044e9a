/** What plugin code returned, if that is to be awaited, or null. Throws what a `then` that is no method throws. */
export function promiseOf(value: unknown): Promise<unknown> | null {
  if (typeof value !== 'object' || value === null) return null
  if (Object.getPrototypeOf(value) === Promise.prototype) return value as Promise<unknown>
  // Another's `then` may throw, or call back at once; behind a promise of ours it does neither.
  return typeof (value as { then?: unknown }).then === 'function' ? Promise.resolve(value) : null
}
